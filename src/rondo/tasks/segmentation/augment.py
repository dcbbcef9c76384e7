"""Training clips of labelled pictures, changed at random in the same way from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Change:
    """How a training clip may be changed.

    Args:
        crop: The share of the height and the width that is shown at a scale of 1; the picture that
            is trained on is so much smaller.
        scale: The standard deviation of the logarithm of the scale.
        flip: Whether half of the clips are mirrored.
        light: The standard deviation of the logarithm of the brightness, and of the contrast.
        gamma: The standard deviation of the logarithm of the power that values from 0 to 1 are
            raised to.
        colour: The same of each of red, green and blue.
    """

    crop: float = 1.0
    scale: float = 0.0
    flip: bool = True
    light: float = 0.2
    gamma: float = 0.0
    colour: float = 0.05


def changed(
    frames: Tensor, labels: Tensor, change: Change, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Returns a clip changed at random.

    Args:
        frames: uint8 (T, 3, H, W).
        labels: (T, H, W), whole numbers.
        change: How it may be changed.
        generator: Where random numbers come from.

    Returns:
        float32 (T, 3, H', W') with values 0 to 255, and the labels (T, H', W') of its pixels, of
        which each has that of the nearest pixel before.
    """
    height, width = frames.shape[2:]
    wanted = [max(1, round(change.crop * side)) for side in (height, width)]
    scale = math.exp(change.scale * _normal(generator))
    shown = [min(side, max(1, round(part / scale)))
             for side, part in zip((height, width), wanted, strict=True)]  # fmt: skip
    top, left = (
        int(torch.randint(side - part + 1, (), generator=generator))
        for side, part in zip((height, width), shown, strict=True)
    )
    box = (slice(top, top + shown[0]), slice(left, left + shown[1]))
    frames = _resized(frames[:, :, *box].float(), wanted, "bilinear")
    labels = _resized(labels[:, *box][:, None].float(), wanted, "nearest")[:, 0].long()
    if change.flip and torch.rand((), generator=generator) < 0.5:
        frames, labels = frames.flip(-1), labels.flip(-1)
    return _lit(frames, change, generator), labels


def _lit(frames: Tensor, change: Change, generator: torch.Generator) -> Tensor:
    """Frames in another light."""
    if change.gamma:
        frames = 255 * (frames / 255) ** math.exp(change.gamma * _normal(generator))
    mean = frames.mean()
    contrast = math.exp(change.light * _normal(generator))
    gain = math.exp(change.light * _normal(generator))
    colours = (change.colour * torch.randn(3, 1, 1, generator=generator)).exp()
    return (gain * colours * (mean + contrast * (frames - mean))).clamp(0, 255)


def _resized(values: Tensor, size: list[int], mode: str) -> Tensor:
    if list(values.shape[2:]) == size:
        return values
    if mode == "nearest":
        return interpolate(values, size, mode="nearest-exact")
    return interpolate(values, size, mode=mode, align_corners=False)


def _normal(generator: torch.Generator) -> float:
    return float(torch.randn((), generator=generator))
