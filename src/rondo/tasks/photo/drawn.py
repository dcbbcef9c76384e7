"""Portraits drawn by the program; they show no real person.

In go a seed and a size; out come small labelled pictures that a network can learn to tell apart
where no photo is at hand: in a test, a first lesson, a demonstration.

The two classes are called by the words of the photo task, "female" and "male", but they are made
up: a *drawn* sex label sets where ten cartoon factors (the length of the hair, the width of the
jaw, ...) lie on average, and each factor overlaps so much between the classes that none decides
alone. These are conventions of comic strips. They say nothing about people, and a network trained
on them must not be used on photos of people.

The idea: the factors of `FACTORS` are independent, normal with standard deviation 1 and means that
lie `separation` apart, so the best possible error of a reader who sees them exactly is known (see
`best_error`). All else (pose, light, colours, skin, background, things in front, blur, noise) is
independent of the label and moves and inverts the pixels, so that no pixel by itself tells much.
Known limits: see `portrait_shapes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from rondo.data.skipped import Skipped
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.lists import Photo, describe_labels
from rondo.tasks.photo.portrait_shapes import (
    Canvas,
    Colour,
    Palette,
    Pose,
    blend,
    draw_person,
    shade,
)
from rondo.tasks.photo.sets import Rows

FACTORS = {
    # name: (separation in standard deviations, value at -2.2, value at +2.2)
    "hair_length": (-2.4, -0.5, 1.75),
    "beard": (2.1, -0.7, 1.0),
    "jaw_width": (2.0, -1.2, 1.2),
    "neck_width": (2.0, 0.24, 0.72),
    "brow_thickness": (1.7, 0.02, 0.28),
    "lip_fullness": (-1.4, 0.015, 0.2),
    "eye_size": (-1.3, 0.09, 0.25),
    "lashes": (-1.0, -0.3, 1.0),
    "brow_height": (-0.8, 0.03, 0.26),
    "nose_size": (0.7, 0.07, 0.24),
}
"""What depends on the drawn label: positive separations mean larger in drawings labelled male."""

FREE_TRAITS = {
    # name: (least, most); the things put on show where the value is above zero
    "hair_volume": (0.04, 0.24),
    "hair_wave": (-1.0, 1.0),
    "hair_flare": (-0.6, 1.0),
    "hairline": (0.45, 0.8),
    "parting": (-0.8, 0.8),
    "shoulder_width": (1.0, 1.4),
    "neckline": (0.0, 0.5),
    "blush": (-0.2, 1.0),
    "mouth_width": (0.2, 0.34),
    "mouth_open": (-0.1, 0.1),
    "smile": (-0.05, 0.14),
    "gaze": (-0.8, 0.8),
    "brow_arch": (0.0, 0.1),
    "frown": (-0.08, 0.08),
    "glasses": (-0.75, 0.25),
    "sunglasses": (-0.95, 0.05),
    "hat": (-0.93, 0.07),
}
"""What is drawn alike for both labels: the ranges of a uniform distribution."""

SPLITS = ("train", "val", "test", "cross")
SKIN_TONES = ((70, 44, 32), (112, 72, 50), (160, 108, 78), (198, 146, 112), (226, 180, 148),
              (244, 212, 188))  # fmt: skip
HAIR_TONES = ((24, 20, 22), (62, 40, 28), (112, 70, 40), (150, 66, 36), (206, 164, 98),
              (236, 214, 160), (150, 148, 146), (230, 228, 226))  # fmt: skip
LIP_TONES = ((176, 52, 62), (122, 58, 96), (104, 66, 58), (206, 150, 150), (92, 64, 74))
IRIS_TONES = ((60, 38, 26), (96, 66, 40), (70, 110, 80), (70, 110, 160), (110, 120, 126))
_REACH = 2.2  # factors beyond this many standard deviations are drawn as if they lay there
_SUPERSAMPLING = 3


def best_error() -> float:
    """The error rate of the best possible reader of the factors, between 0 and 0.5."""
    distance = math.sqrt(sum(separation**2 for separation, _, _ in FACTORS.values()))
    return 0.5 * math.erfc(distance / 2 / math.sqrt(2))


def draw_portrait(
    rng: np.random.Generator, image_size: int, *, harsh: bool = False
) -> tuple[np.ndarray, int, dict[str, float]]:
    """Draws one made-up portrait; `harsh` means worse light, noise and pose.

    Returns:
        The pixels, uint8 (3, image_size, image_size); the drawn sex label, an index into `SEXES`;
        and the informative factors in standard deviations, by the names of `FACTORS`.
    """
    sex = _draw_sex(rng)
    factors = {
        name: (sex - 0.5) * separation + float(rng.normal())
        for name, (separation, _, _) in FACTORS.items()
    }
    palette = _draw_palette(rng)
    image = _draw_background(rng, _SUPERSAMPLING * image_size)
    canvas = Canvas(image, _draw_pose(rng, harsh))
    draw_person(canvas, _draw_traits(rng, factors), palette)
    _draw_occluders(rng, image, canvas, palette)
    return _photograph(rng, image, image_size, harsh), sex, factors


class DrawnPhotos:
    """The portraits of a split, each drawn when it is first asked for, and kept.

    Args:
        image_size: S, their width and height in pixels.
        split: A name in `SPLITS`; the portraits of "cross" are harsh.
        num_photos: N.
        seed: Portrait i depends on it, the split and i alone.
    """

    classes = SEXES
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, image_size: int, split: str, num_photos: int, seed: int) -> None:
        self.split, self.seed, self.is_harsh = split, seed, split == "cross"
        self._pixels = np.empty((num_photos, 3, image_size, image_size), np.uint8)
        self._is_drawn = np.zeros(num_photos, bool)

    def __len__(self) -> int:
        return len(self._pixels)

    def __str__(self) -> str:
        found = describe_labels((photo.label for photo in self.photos), self.classes)
        return f"{found}, {self._pixels.shape[-1]} pixels wide"

    @property
    def pixels(self) -> Tensor:
        """uint8 (N, 3, S, S), of all."""
        self._draw(range(len(self)))
        return torch.from_numpy(self._pixels)

    @cached_property
    def labels(self) -> Tensor:
        """int64 (N,), indices into `SEXES`, of all."""
        return self._labels(range(len(self)))

    @cached_property
    def photos(self) -> tuple[Photo, ...]:
        """N descriptions."""
        split, source = self.split, "drawn-harsh" if self.is_harsh else "drawn"
        return tuple(
            Photo(Path(f"drawn/{split}/{row:06d}"), label, split, source)
            for row, label in enumerate(self.labels.tolist())
        )

    def rows(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Pixels and labels of some portraits."""
        numbers = range(len(self))[rows] if isinstance(rows, slice) else rows
        self._draw(numbers)
        return torch.from_numpy(self._pixels[rows]), self._labels(numbers)

    def evidence(self) -> tuple[Tensor, Tensor]:
        """Those of the first portrait: what draws one otherwise draws all otherwise."""
        return self.rows([0])

    def _draw(self, rows: Sequence[int]) -> None:
        """Draws those of some portraits that are not drawn yet."""
        size = self._pixels.shape[-1]
        for row in rows:
            if not self._is_drawn[row]:
                self._pixels[row], *_ = draw_portrait(self._random(row), size, harsh=self.is_harsh)
                self._is_drawn[row] = True

    def _labels(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor([_draw_sex(self._random(row)) for row in rows], dtype=torch.int64)

    def _random(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, SPLITS.index(self.split), row])


def draw_photos(
    image_size: int,
    *,
    num_train: int,
    num_val: int,
    num_test: int,
    num_cross: int = 0,
    seed: int = 0,
) -> dict[str, DrawnPhotos]:
    """Returns the sets "train", "val" and "test", and "cross" where `num_cross` is above 0.

    Portrait i of a split depends on `seed`, the split and i alone, not on how many are drawn.
    The portraits of "cross" have the source "drawn-harsh", all others "drawn".

    Raises:
        ValueError: If a number or the size is out of range.
    """
    sizes = dict(zip(SPLITS, (num_train, num_val, num_test, num_cross), strict=True))
    _check_sizes(image_size, seed, sizes)
    return {
        split: DrawnPhotos(image_size, split, num_photos, seed)
        for split, num_photos in sizes.items()
        if split != "cross" or num_photos
    }


def _check_sizes(image_size: int, seed: int, sizes: dict[str, int]) -> None:
    if image_size < 16:
        raise ValueError(f"image_size must be at least 16 for a face to show, got {image_size}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    for split, num_photos in sizes.items():
        least = 0 if split == "cross" else 1
        if num_photos < least:
            raise ValueError(f"num_{split} must be at least {least}, got {num_photos}")


def _draw_sex(rng: np.random.Generator) -> int:
    """The drawn sex label, an index into `SEXES`; it is drawn before all else of a portrait."""
    return int(rng.integers(2))


def _draw_traits(rng: np.random.Generator, factors: dict[str, float]) -> dict[str, float]:
    """The geometry of a face in face units: the informative factors, and all else by chance."""
    traits = {
        name: low + (high - low) * (min(max(factors[name], -_REACH), _REACH) / _REACH + 1) / 2
        for name, (_, low, high) in FACTORS.items()
    }
    for name, (low, high) in FREE_TRAITS.items():
        traits[name] = float(rng.uniform(low, high))
    for name in ("beard", "lashes", "blush", "mouth_open"):  # below zero there is none to be seen
        traits[name] = max(traits[name], 0.0)
    traits["lit"] = float(rng.choice((-1.0, 1.0)))
    return traits


def _draw_palette(rng: np.random.Generator) -> Palette:
    """Colours that do not depend on the drawn label."""
    skin = _tone(rng, SKIN_TONES)
    hair = _tone(rng, HAIR_TONES) if rng.random() < 0.7 else _any_colour(rng)
    lips = blend(skin, LIP_TONES[rng.integers(len(LIP_TONES))], float(rng.uniform(0.3, 0.75)))
    iris = IRIS_TONES[rng.integers(len(IRIS_TONES))]
    return Palette(skin, hair, _any_colour(rng), iris, lips, _any_colour(rng))


def _tone(rng: np.random.Generator, tones: tuple[Colour, ...]) -> Colour:
    """A colour between two neighbours in a row of tones."""
    place = float(rng.uniform(0, len(tones) - 1.001))
    first = int(place)
    return blend(tones[first], tones[first + 1], place - first)


def _any_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.integers(15, 241, 3).tolist()
    return red, green, blue


def _draw_pose(rng: np.random.Generator, harsh: bool) -> Pose:
    reach = 1.5 if harsh else 1.0
    across, down = rng.uniform(-0.09, 0.09, 2) * reach
    return Pose(
        shift=(float(across), float(down) - 0.04),
        scale=float(rng.uniform(0.6, 0.75)),
        rotation=float(rng.normal(0, 0.08)) * reach,
        shear=float(rng.normal(0, 0.06)) * reach,
        yaw=float(rng.uniform(-0.12, 0.12)) * reach,
    )


def _draw_background(rng: np.random.Generator, canvas_size: int) -> Image.Image:
    """Soft patches of light and dark, with a few flat shapes on them."""
    base = np.asarray(_any_colour(rng))
    patches = np.clip(base + rng.normal(0, 45, (3, 3, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(patches).resize((canvas_size, canvas_size), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 5)):
        left, top, width, height = (rng.uniform((-0.2, -0.2, 0.1, 0.1), (0.9, 0.9, 0.7, 0.7))
                                    * canvas_size).tolist()  # fmt: skip
        outline = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        outline((left, top, left + width, top + height), fill=_any_colour(rng))
    return image


def _draw_occluders(
    rng: np.random.Generator, image: Image.Image, canvas: Canvas, palette: Palette
) -> None:
    """Sometimes lays a hand over the face or a bar across the picture."""
    chance = rng.random()
    if chance < 0.04:
        _draw_hand(rng, canvas, palette.skin)
    elif chance < 0.12:
        place, thickness = rng.uniform(-0.1, 1.0), rng.uniform(0.06, 0.16)
        low, high = place * image.width, (place + thickness) * image.width
        box = (0, low, image.width, high) if rng.random() < 0.5 else (low, 0, high, image.width)
        ImageDraw.Draw(image).rectangle(box, fill=_any_colour(rng))


def _draw_hand(rng: np.random.Generator, canvas: Canvas, skin: Colour) -> None:
    """Four fingers that rise from below, somewhere over a cheek or the chin."""
    foot = np.array([rng.uniform(-0.7, 0.4), 1.7])
    lean = rng.uniform(-0.25, 0.25)
    capsule = np.array([(0, 0), (0, -0.95), (0.03, -1.03), (0.08, -1.05), (0.13, -1.03),
                        (0.16, -0.95), (0.16, 0)])  # fmt: skip
    for finger in range(4):
        points = capsule * (1, 0.85 + 0.1 * (finger in (1, 2))) + (0.165 * finger, 0)
        points = points + np.stack([-lean * points[:, 1], 0 * points[:, 1]], axis=1)
        canvas.fill(points + foot, shade(skin, (0.92, 1.0)[finger % 2]))


def _photograph(
    rng: np.random.Generator, image: Image.Image, image_size: int, harsh: bool
) -> np.ndarray:
    """Reduces the drawing, blurs it, and adds light and noise; uint8 (3, S, S)."""
    reach = 1.8 if harsh else 1.0
    blur = float(rng.uniform(0, 0.7)) * reach * image_size / 64
    sharp = image.reduce(_SUPERSAMPLING)
    pixels = np.asarray(sharp.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    pixels = _light(rng, pixels, reach)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    pixels += noise * np.float32(rng.uniform(1, 8) * reach)
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(2, 0, 1))


def _light(rng: np.random.Generator, pixels: np.ndarray, reach: float) -> np.ndarray:
    """Changes saturation, colour cast and contrast, and lights the picture from one side."""
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + np.float32(rng.uniform(0, 1.1)) * (pixels - grey)
    cast = (rng.uniform(0.8, 1.2, 3) * rng.uniform(0.7, 1.15)).astype(np.float32)
    lift = np.float32(rng.uniform(0, 50))
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3) * reach
    line = np.linspace(-strength, strength, len(pixels), dtype=np.float32)
    light = 1 + math.cos(angle) * line[None, :] + math.sin(angle) * line[:, None]
    return lift + (1 - lift / 255) * cast * pixels * light[:, :, None]
