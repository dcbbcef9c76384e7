"""Street scenes that the program draws, with the class of every pixel: a camera passes by.

A world wider than the picture holds sky, houses, trees, a pavement and a road; cars and people move
on them, and the camera moves along. Every frame has noise of its own, so that a network which
remembers the frames before sees more than one which looks at a single frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from rondo.data.batch import Batch

CLASSES = ("sky", "house", "tree", "pavement", "road", "car", "person")
"""The classes of drawn scenes."""

WIDTH, HEIGHT = 64, 48
"""The size of a frame in pixels."""

NOISE = 40.0
"""The standard deviation of the noise on every value 0 to 255."""

SKY, HOUSE, TREE, PAVEMENT, ROAD, CAR, PERSON = range(len(CLASSES))

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the world."""


@dataclass(frozen=True)
class Thing:
    """Something that stands or moves in the world.

    Args:
        label: Its class.
        shape: "box" or "disc".
        box: Where it is at first.
        colour: Red, green and blue.
        speed: Pixels to the right from frame to frame.
    """

    label: int
    shape: str
    box: Box
    colour: tuple[int, int, int]
    speed: float = 0.0


@dataclass(frozen=True)
class World:
    """What there is, from the back to the front, and how the camera moves."""

    things: tuple[Thing, ...]
    camera: float

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The colours (H, W, 3) and labels (H, W) of a frame, without noise."""
        picture = Image.new("RGB", (WIDTH, HEIGHT))
        labels = Image.new("L", (WIDTH, HEIGHT))
        pens = ImageDraw.Draw(picture), ImageDraw.Draw(labels)
        for thing in self.things:
            left, top, right, bottom = thing.box
            moved = number * (thing.speed - self.camera)
            box = (round(left + moved), round(top), round(right + moved), round(bottom))
            fills: list[Any] = [thing.colour, thing.label]
            for pen, fill in zip(pens, fills, strict=True):
                (pen.rectangle if thing.shape == "box" else pen.ellipse)(box, fill=fill)
        return np.asarray(picture), np.asarray(labels)


def draw_scenes(num_clips: int, num_frames: int, generator: torch.Generator) -> Batch:
    """Draws clips: frames (B, T, 3, 48, 64) with values 0 to 255 and labels (B, T, 48, 64).

    Example:
        >>> import torch
        >>> from rondo.tasks.segmentation.drawn import draw_scenes
        >>> batch = draw_scenes(2, 3, torch.Generator().manual_seed(0))
        >>> batch.inputs.shape, batch.targets.shape
        (torch.Size([2, 3, 3, 48, 64]), torch.Size([2, 3, 48, 64]))
    """
    frames, labels = [], []
    for _ in range(num_clips):
        world = draw_world(num_frames, generator)
        drawn = [world.frame(number) for number in range(num_frames)]
        frames.append(np.stack([colours for colours, _ in drawn]))
        labels.append(np.stack([numbers for _, numbers in drawn]))
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3).float()
    noise = NOISE * torch.randn(pixels.shape, generator=generator)
    return Batch((pixels + noise).clamp(0, 255), torch.from_numpy(np.stack(labels)).long())


def draw_world(num_frames: int, generator: torch.Generator) -> World:
    """Draws a world that is wide enough for so many frames."""
    draw = _Dice(generator)
    camera = draw.between(-1.5, 1.5)
    far = abs(camera) * num_frames + 4
    left, right = -far, WIDTH + far
    horizon, kerb = draw.between(20, 28), draw.between(31, 36)
    things = [
        Thing(SKY, "box", (left, 0, right, HEIGHT), draw.colour((150, 180, 220), 35)),
        Thing(PAVEMENT, "box", (left, horizon, right, HEIGHT), draw.colour((150, 145, 140), 25)),
        Thing(ROAD, "box", (left, kerb, right, HEIGHT), draw.colour((95, 95, 105), 25)),
    ]
    place = left
    while place < right:
        width = draw.between(8, 22)
        if draw.between(0, 1) < 0.6:
            things.append(_house(place, width, horizon, draw))
        else:
            things += _tree(place, width, horizon, draw)
        place += width + draw.between(0, 6)
    for _ in range(math.ceil((right - left) / 30)):
        things.append(_person(draw.between(left, right), horizon, kerb, draw))
        things += _car(draw.between(left, right), kerb, draw)
    return World(tuple(things), camera)


def _house(left: float, width: float, ground: float, draw: _Dice) -> Thing:
    top = draw.between(3, 14)
    return Thing(HOUSE, "box", (left, top, left + width, ground), draw.colour((150, 105, 85), 45))


def _tree(left: float, width: float, ground: float, draw: _Dice) -> list[Thing]:
    middle, radius, top = left + width / 2, min(width / 2, 7), draw.between(6, 12)
    colour = draw.colour((70, 120, 60), 35)
    return [
        Thing(TREE, "box", (middle - 1, top + radius, middle + 1, ground), colour),
        Thing(TREE, "disc", (middle - radius, top, middle + radius, top + 2 * radius), colour),
    ]


def _person(left: float, horizon: float, kerb: float, draw: _Dice) -> Thing:
    feet, height = draw.between(horizon + 2, kerb), draw.between(8, 11)
    colour, speed = draw.colour((170, 90, 140), 50), draw.between(-0.8, 0.8)
    return Thing(PERSON, "disc", (left, feet - height, left + 3, feet), colour, speed)


def _car(left: float, kerb: float, draw: _Dice) -> list[Thing]:
    ground, colour = draw.between(kerb + 6, HEIGHT - 2), draw.colour((150, 60, 70), 60)
    speed = draw.between(-2, 2)
    bottom = (left, ground - 6, left + 14, ground)
    top = (left + 3, ground - 10, left + 10, ground - 6)
    return [Thing(CAR, "box", box, colour, speed) for box in (bottom, top)]


class _Dice:
    """Draws numbers and colours."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def colour(self, middle: tuple[int, int, int], spread: int) -> tuple[int, int, int]:
        drawn: Tensor = torch.randint(-spread, spread + 1, (3,), generator=self.generator)
        red, green, blue = (
            max(0, min(255, value + change))
            for value, change in zip(middle, drawn.tolist(), strict=True)
        )
        return red, green, blue
