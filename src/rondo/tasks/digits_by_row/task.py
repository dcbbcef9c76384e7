"""Digits by row: read an image of a digit from top to bottom, one row of 28 pixels a step.

After the last of 28 rows the network names the digit. The data are files in the form of MNIST
(IDX, packed with gzip or not): `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and
`t10k-...` for the test. The last sixth of the training images is for validation. A folder that
has the `t10k` files alone is split: the first 80 % train, the next 10 % validate, the last 10 %
test; such figures are not those of the literature.

Le et al., "A simple way to initialize recurrent networks of rectified linear units", 2015, read the
pixels one by one; by rows is the form of many tutorials.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from rondo.data.sources import Collection, Example
from rondo.tasks.digits_by_row.definition import RECIPE
from rondo.tasks.shows import show_classes
from rondo.training.task import Task, is_likeliest

NUM_CLASSES = 10
"""The digits."""

TYPE_UBYTE = 0x08
"""The number that stands for unsigned bytes in IDX files."""

PIECE_BYTES = 2**20
"""So much of a file is read at once, in bytes."""


def digits_by_row(data: str) -> Task:
    """The task on the images of a folder.

    Args:
        data: The folder.

    Raises:
        ValueError: Where the folder has no such files, or they hold something else.
        OSError: Where they cannot be read.
    """
    train, val, test = read_splits(Path(data))
    return Task(
        name="digits-by-row",
        source=Collection(train, val, test),
        input_size=train[0].inputs.shape[1],
        output_size=NUM_CLASSES,
        distance="cross_entropy",
        recipe=RECIPE,
        final=True,
        right=is_likeliest,
        unit="nats",
        show=show_classes("0123456789", is_picture=True),
    )


def read_splits(folder: Path) -> tuple[list[Example], list[Example], list[Example]]:
    """Returns the examples for training, validation and test."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise ValueError(f"{folder} {what}; digits need a folder with MNIST's files")
    test = read_examples(folder, "t10k")
    if (_file(folder, "train-images-idx3-ubyte")) is None:
        first, second = 8 * len(test) // 10, 9 * len(test) // 10
        splits = test[:first], test[first:second], test[second:]
    else:
        train = read_examples(folder, "train")
        first = 5 * len(train) // 6
        splits = train[:first], train[first:], test
    if not all(splits):
        raise ValueError(f"{folder} has too few images for training, validation and test")
    _check_splits(folder, *splits)
    return splits


def _check_splits(
    folder: Path, train: list[Example], val: list[Example], test: list[Example]
) -> None:
    """Raises `ValueError` where nothing can be learnt, or the test has images of another kind."""
    digits = {int(example.targets) for example in train}
    if len(digits) < 2:
        raise ValueError(
            f"{folder}: all training images are of the digit {digits.pop()}; two digits or more "
            "are needed"
        )
    sizes = {example.inputs.shape for example in (*train, *val, *test)}
    if len(sizes) > 1:
        words = " and ".join(sorted(f"{height} x {width}" for height, width in sizes))
        raise ValueError(f"{folder} has images of {words} pixels; all must have one size")


def read_examples(folder: Path, part: str) -> list[Example]:
    """Returns the images of a part of the data, rows of values 0 to 1, with their digits."""
    images = read_idx(folder, f"{part}-images-idx3-ubyte")
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte").long()
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{folder}: {part} must have images (N, 28, 28) and labels (N,), got "
            f"{tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if 0 in images.shape[1:]:
        raise ValueError(f"{folder}: {part} has images of {tuple(images.shape[1:])} pixels")
    if len(labels) and int(labels.max()) >= NUM_CLASSES:
        number = int((labels >= NUM_CLASSES).nonzero()[0])
        raise ValueError(
            f"{folder}: {part} has the label {int(labels[number])} for image {number}; digits are "
            f"0 to {NUM_CLASSES - 1}"
        )
    return [
        Example(image, label) for image, label in zip(images.float() / 255, labels, strict=True)
    ]


def read_idx(folder: Path, name: str) -> Tensor:
    """Returns the numbers of an IDX file, packed with gzip or not.

    Raises:
        ValueError: Where there is no such file, or it holds something else.
    """
    path = _file(folder, name)
    if path is None:
        raise ValueError(f"there is no {name} or {name}.gz in {folder}; digits need MNIST's files")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _numbers(stream)
    except (struct.error, EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no IDX file that can be read: {error}") from error


def _numbers(stream: BinaryIO | gzip.GzipFile) -> Tensor:
    """The numbers of an open file; no more is unpacked than its header names."""
    zeros, kind, num_dims = struct.unpack(">HBB", stream.read(4))
    if zeros or kind != TYPE_UBYTE:
        raise ValueError("it does not hold unsigned bytes")
    sizes = struct.unpack(f">{num_dims}I", stream.read(4 * num_dims))
    wanted = math.prod(sizes)
    content = bytearray()
    while len(content) <= wanted and (piece := stream.read(PIECE_BYTES)):
        content += piece
    if len(content) != wanted:
        has = "more" if len(content) > wanted else str(len(content))
        raise ValueError(f"its header names {wanted} numbers, but it has {has}")
    if not wanted:
        return torch.empty(sizes, dtype=torch.uint8)
    return torch.frombuffer(content, dtype=torch.uint8).view(sizes)


def _file(folder: Path, name: str) -> Path | None:
    found = [path for end in ("", ".gz") if (path := folder / f"{name}{end}").is_file()]
    return found[0] if found else None
