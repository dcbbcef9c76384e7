"""Pictures of two shapes that the program draws, with captions that say how they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

SIDE = 64
"""Width and height of a picture in pixels."""

COLOURS = {
    "red": (214, 48, 49),
    "green": (56, 158, 82),
    "blue": (52, 102, 211),
    "yellow": (236, 196, 60),
    "white": (240, 240, 238),
}

SHAPES = ("circle", "square", "triangle", "cross")

RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Where the first shape lies, seen from the second: to the right, and down."""

OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Shape:
    """A shape, such as a red circle."""

    colour: str
    form: str

    def __str__(self) -> str:
        return f"{self.colour} {self.form}"


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """A picture of two shapes.

    Attributes:
        pixels: uint8 (3, 64, 64).
        captions: Everything that may be told of it.
    """

    pixels: Tensor
    captions: tuple[str, ...]


def draw_scene(generator: torch.Generator) -> DrawnScene:
    """Draws a picture.

    Example:
        >>> import torch
        >>> scene = draw_scene(torch.Generator().manual_seed(3))
        >>> scene.captions[:2]
        ('a green circle is left of a blue cross', 'a blue cross is right of a green circle')
    """
    first, second = _shape(generator), _shape(generator)
    while second == first:
        second = _shape(generator)
    relation = list(RELATIONS)[_draw(len(RELATIONS), generator)]
    right, down = RELATIONS[relation]
    ground = _draw(70, generator)
    picture = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground + 10))
    pen = ImageDraw.Draw(picture)
    for shape, side in ((first, 1), (second, -1)):
        x, y = (
            32 + side * way * (15 + _draw(3, generator)) + _draw(7, generator) - 3
            for way in (right, down)
        )
        _draw_shape(pen, shape, x, y, 9 + _draw(4, generator))
    noise = 12 * torch.randn(3, SIDE, SIDE, generator=generator)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    back = OPPOSITES[relation]
    captions = (
        f"a {first} is {relation} a {second}",
        f"a {second} is {back} a {first}",
        f"there is a {first} {relation} a {second}",
        f"there is a {second} {back} a {first}",
    )
    return DrawnScene((pixels + noise).clamp(0, 255).byte(), captions)


def _shape(generator: torch.Generator) -> Shape:
    colour = list(COLOURS)[_draw(len(COLOURS), generator)]
    return Shape(colour, SHAPES[_draw(len(SHAPES), generator)])


def _draw(number: int, generator: torch.Generator) -> int:
    return int(torch.randint(number, (), generator=generator))


def _draw_shape(pen: ImageDraw.ImageDraw, shape: Shape, x: int, y: int, r: int) -> None:
    fill, box = COLOURS[shape.colour], (x - r, y - r, x + r, y + r)
    if shape.form == "circle":
        pen.ellipse(box, fill=fill)
    elif shape.form == "square":
        pen.rectangle(box, fill=fill)
    elif shape.form == "triangle":
        pen.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=fill)
    else:
        pen.rectangle((x - r, y - r // 3, x + r, y + r // 3), fill=fill)
        pen.rectangle((x - r // 3, y - r, x + r // 3, y + r), fill=fill)
