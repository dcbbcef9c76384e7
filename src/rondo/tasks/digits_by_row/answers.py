"""Digits that a run reads row by row: from IDX files, and from pictures of one digit each.

In go files, out come digits with their probabilities. A picture is turned upright, made grey, laid
on a square and brought to the size of the run's images; where its border is light it is inverted,
because the run has learnt from light digits on black.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondo.data.files import file_fault
from rondo.data.given import Unusable, each_file, source_name
from rondo.data.pictures import FILE_ENDINGS, PhotoError, read_picture, upright_rgb
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.digits_by_row.definition import DIGITS_BY_ROW
from rondo.tasks.digits_by_row.task import read_idx
from rondo.training.answers import Given, why_not
from rondo.training.run_folder import read_run

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
"""What stands in the names of MNIST's files of images and of labels."""

ENDINGS = (*FILE_ENDINGS, IMAGES, f"{IMAGES}.gz")
"""How the names of files end that are read in a folder."""

LIGHT = 127.5
"""The mean grey of a border above which a picture is inverted."""


@dataclass(frozen=True)
class ReadDigit:
    """What the network reads in an image.

    Args:
        source: The file, and the number of the image in it.
        digit: The likeliest digit; None where the image cannot be read.
        probability: Its probability.
        probabilities: The probability of each digit.
        label: The digit that the file of labels beside it names, if there is one.
        inverted: Whether the picture was dark on light, and was inverted.
        error: Why it cannot be read.
    """

    source: str
    digit: int | None = None
    probability: float | None = None
    probabilities: tuple[float, ...] | None = None
    label: int | None = None
    inverted: bool = False
    error: str | None = None


@dataclass(frozen=True, eq=False)
class DigitImage:
    """An image to read.

    Args:
        source: Where it comes from.
        rows: Values 0 to 1 (H, W); None where it cannot be read.
        label: The digit, if it is known.
        inverted: Whether it was inverted.
        error: Why it cannot be read.
    """

    source: str
    rows: Tensor | None
    label: int | None = None
    inverted: bool = False
    error: str | None = None


class Answers:
    """What `rondo predict` tells of a run that reads digits.

    Args:
        run: The run folder.

    Raises:
        RunError: If the run cannot be used.
    """

    columns = ("source", "digit", "probability", "label", "inverted", "probabilities", "error")
    head = f"{'digit':6} {'probability':>11}  image"

    def __init__(self, run: Path) -> None:
        _, self.model, origin = read_run(run, DIGITS_BY_ROW, SequenceModel)
        self.side: int = origin["arguments"]["input_size"]
        self.num_inverted = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """How many pictures were inverted."""
        if self.num_inverted == 0:
            return ()
        return (f"dark on light, so inverted before they were read: {self.num_inverted} pictures",)

    def iterate(self, sources: Sequence[Given]) -> Iterator[ReadDigit]:
        """Yields what is read in each image of each file."""
        for file in each_file(sources, ENDINGS, "picture and no IDX file of images"):
            for image in self._images_of(file):
                yield self._read(image)

    def line(self, answer: ReadDigit) -> str:
        """Returns a digit, or why there is none."""
        if answer.error is not None:
            return f"{'unread':6} {'-':>11}  {why_not(answer.source, answer.error)}"
        label = "" if answer.label is None else f" ({answer.label})"
        inverted = ", inverted" if answer.inverted else ""
        value = f"{100 * (answer.probability or 0):.1f} %"
        return f"{answer.digit:<6} {value:>11}  {answer.source}{label}{inverted}"

    @torch.no_grad()
    def _read(self, image: DigitImage) -> ReadDigit:
        if image.rows is None:
            return ReadDigit(image.source, error=image.error)
        self.num_inverted += image.inverted
        chances = self.model(image.rows[None])[0][0].double().softmax(-1)
        best, digit = chances.max(0)
        return ReadDigit(
            image.source,
            int(digit),
            float(best),
            tuple(chances.tolist()),
            image.label,
            image.inverted,
        )

    def _images_of(self, file: Path | BinaryIO | Unusable) -> Iterator[DigitImage]:
        name = source_name(file)
        if isinstance(file, Unusable):
            yield DigitImage(name, None, error=file.error)
        elif isinstance(file, Path) and IMAGES in file.name:
            yield from self._of_idx(file)
        else:
            yield self._of_picture(name, file)

    def _of_idx(self, file: Path) -> Iterator[DigitImage]:
        """The images of an IDX file, with the labels of the file beside it."""
        try:
            images, labels = _read_idx(file)
        except (ValueError, OSError, zlib.error) as error:
            yield DigitImage(str(file), None, error=getattr(error, "strerror", None) or str(error))
            return
        if images.ndim != 3 or images.shape[1:] != (self.side, self.side):
            found = tuple(images.shape)
            what = f"it must hold images (N, {self.side}, {self.side}), but holds {found}"
            yield DigitImage(str(file), None, error=what)
            return
        for number, image in enumerate(images):
            label = None if labels is None else int(labels[number])
            yield DigitImage(f"{file}#{number}", image.float() / 255, label)

    def _of_picture(self, name: str, file: Path | BinaryIO) -> DigitImage:
        try:
            grey = read_picture(file, lambda image: np.array(upright_rgb(image).convert("L")))
        except PhotoError as error:
            return DigitImage(name, None, error=f"{error.reason}; {error.advice}")
        rows, inverted = rows_of(grey, self.side)
        return DigitImage(name, rows, inverted=inverted)


def rows_of(grey: np.ndarray, side: int) -> tuple[Tensor, bool]:
    """Returns a grey picture as the network sees it, and whether it was inverted.

    Args:
        grey: uint8 (H, W).
        side: The side S of the result, values 0 to 1 (S, S).
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    inverted = bool(border.mean() > LIGHT)
    seen = 255 - grey if inverted else grey
    height, width = seen.shape
    most = max(height, width)
    top, left = (most - height) // 2, (most - width) // 2
    square = np.zeros((most, most), np.uint8)
    square[top : top + height, left : left + width] = seen
    small = Image.fromarray(square).resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).float() / 255, inverted


def _read_idx(file: Path) -> tuple[Tensor, Tensor | None]:
    """The images of a file and the labels of the file beside it, if there is one."""
    fault = file_fault(file)
    if fault is not None:
        raise ValueError(fault)
    name = file.name.removesuffix(".gz")
    images = read_idx(file.parent, name)
    beside = name.replace(IMAGES, LABELS)
    if not any((file.parent / f"{beside}{end}").is_file() for end in ("", ".gz")):
        return images, None
    labels = read_idx(file.parent, beside)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{beside} must hold a label for each of {len(images)} images, but holds "
            f"{tuple(labels.shape)}"
        )
    return images, labels
