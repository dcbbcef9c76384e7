"""Shapes of several colours, drawn: photos of any number of classes for tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SIDES = {"triangle": 3, "square": 4, "pentagon": 5, "star": 10, "circle": 40}


def class_names(num_classes: int) -> list[str]:
    """Names such as "red square", at most 40, sorted."""
    names = [f"{colour} {shape}" for shape in SIDES for colour in COLOURS]
    return sorted(names[:: len(names) // num_classes][:num_classes])


def draw_shape(name: str, number: int, image_size: int = 32) -> Image.Image:
    """A picture of a class: the same for the same number."""
    colour, shape = name.split(" ")
    rng = np.random.default_rng([number, *name.encode()])
    background = tuple(int(value) for value in rng.integers(20, 110, 3))
    image = Image.new("RGB", (image_size, image_size), background)
    centre, radius = image_size * rng.uniform(0.4, 0.6, 2), image_size * rng.uniform(0.25, 0.38)
    turn, sides = rng.uniform(0, 0.6), SIDES[shape]
    points = []
    for side in range(sides):
        length = radius * (0.45 if shape == "star" and side % 2 else 1)
        angle = turn + 2 * math.pi * side / sides
        points.append((centre[0] + length * math.cos(angle), centre[1] + length * math.sin(angle)))
    ImageDraw.Draw(image).polygon(points, fill=colour)
    return image


def write_classes(root: Path, num_classes: int, num_photos: int, image_size: int = 32) -> Path:
    """A folder for each class, with so many photos in it."""
    for name in class_names(num_classes):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(num_photos):
            draw_shape(name, number, image_size).save(folder / f"{number}.png")
    return root
