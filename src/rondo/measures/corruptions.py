"""What may be wrong with a photo: blur, noise, darkness, a wrong crop, a shift, compression.

In go pixels of aligned photos, out come the same photos, each as badly taken as a strength says.
The random numbers depend on the seed and on the kind of corruption alone, so a stronger corruption
of a photo differs from a weaker one in its strength and in nothing else.

The kinds follow Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", 2019, with strengths of our own; lengths are shares of the width, so
that they mean the same at every size of the photo.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, pad

from rondo.data.augment import resize
from rondo.data.seeds import generator_for

Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""From pixels 0..255 (N, 3, S, S), a strength and random numbers to pixels of the same kind."""


@dataclass(frozen=True)
class Corruption:
    """One way in which a photo may be bad.

    Args:
        name: What it is called.
        strengths: From weak to strong.
        unit: "%" or "".
        meaning: What a strength is.
        change: What it does.
    """

    name: str
    strengths: tuple[float, ...]
    unit: str
    meaning: str
    change: Change

    def describe(self, strength: float) -> str:
        """Returns for example `blur 2 %`."""
        return f"{self.name} {strength:g} {self.unit}".rstrip()


def corrupt(pixels: Tensor, corruption: Corruption, strength: float, seed: int) -> Tensor:
    """Returns corrupted photos.

    Args:
        pixels: uint8 (N, 3, S, S).
        corruption: One of `CORRUPTIONS`.
        strength: In the unit of the corruption.
        seed: Chooses its random numbers.

    Returns:
        uint8 (N, 3, S, S).
    """
    generator = generator_for(f"corruption {corruption.name}", seed)
    changed = corruption.change(pixels.cpu().float(), strength, generator)
    return changed.round().clamp(0, 255).to(torch.uint8)


def _blur(pixels: Tensor, percent: float, _: torch.Generator) -> Tensor:
    """Convolves with a Gaussian, rows and columns in turn; borders are reflected."""
    size = pixels.shape[-1]
    deviation = percent / 100 * size
    radius = min(size - 1, math.ceil(3 * deviation))
    kernel = (-0.5 * (torch.arange(-radius, radius + 1) / deviation).square()).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    flat = pad(pixels.flatten(0, 1).unsqueeze(1), 4 * [radius], mode="reflect")
    blurred = conv2d(conv2d(flat, kernel), kernel.transpose(2, 3))
    return blurred.view_as(pixels)


def _noise(pixels: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return pixels + deviation * torch.randn(pixels.shape, generator=generator)


def _darken(pixels: Tensor, percent: float, _: torch.Generator) -> Tensor:
    return pixels * (percent / 100)


def _crop(pixels: Tensor, percent: float, _: torch.Generator) -> Tensor:
    """Enlarges the middle to the whole photo."""
    size = pixels.shape[-1]
    margin = round((1 - percent / 100) * size / 2)
    return resize(pixels[..., margin : size - margin, margin : size - margin], size)


def _shift(pixels: Tensor, percent: float, generator: torch.Generator) -> Tensor:
    """Moves each photo some way in a direction of its own; the border is repeated."""
    num_photos, size = len(pixels), pixels.shape[-1]
    angle = 2 * math.pi * torch.rand(num_photos, 1, generator=generator)
    way = percent / 100 * size
    places = torch.arange(size)
    rows, columns = (
        (places - (way * part).round().long()).clamp(0, size - 1)
        for part in (angle.sin(), angle.cos())
    )
    photo = torch.arange(num_photos).view(-1, 1, 1, 1)
    colour = torch.arange(3).view(1, 3, 1, 1)
    return pixels[photo, colour, rows[:, None, :, None], columns[:, None, None, :]]


def _compress(pixels: Tensor, quality: float, _: torch.Generator) -> Tensor:
    """Writes each photo as JPEG and reads it back."""
    photos = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    read = np.stack([_through_jpeg(photo, int(quality)) for photo in photos])
    return torch.from_numpy(read).permute(0, 3, 1, 2).float()


def _through_jpeg(photo: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    with Image.open(buffer) as image:
        return np.array(image)


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("blur", (1.0, 2.0, 4.0), "%", "Gaussian, deviation in % of the width", _blur),
    Corruption("noise", (10.0, 25.0, 50.0), "", "normal, deviation on the scale 0 to 255", _noise),
    Corruption("darkness", (50.0, 25.0, 10.0), "%", "light that is left", _darken),
    Corruption("crop", (80.0, 65.0, 50.0), "%", "middle of the width that is left", _crop),
    Corruption("shift", (5.0, 10.0, 20.0), "%", "in % of the width, in any direction", _shift),
    Corruption("JPEG", (40.0, 15.0, 5.0), "", "quality", _compress),
)
"""The ways in which photos are made bad to see whether answers hold."""

MEANINGS = tuple(f"{one.name}: {one.meaning}" for one in CORRUPTIONS)
"""What the strengths of each are."""
