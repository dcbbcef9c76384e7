"""Answers of a run of `rondo train segmentation`, for pictures and videos."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rondo.data.lost_frames import (
    SHOWN,
    LostFramesWarning,
    by_number,
    gaps_in_names,
    numbers_text,
    runs_of,
)
from rondo.data.pictures import FILE_ENDINGS, PhotoError, read_picture, upright_rgb
from rondo.data.seeds import generator_for
from rondo.data.video import pictures_and_gaps
from rondo.errors import RunError
from rondo.measures.abstention import check_min_confidence
from rondo.models.reseg import ReSeg
from rondo.system.files import write_bytes
from rondo.tasks.segmentation.colours import colours
from rondo.tasks.segmentation.definition import SEGMENTATION, Answering
from rondo.tasks.segmentation.drawn import draw_scenes
from rondo.tasks.segmentation.scenes import VOID
from rondo.tasks.segmentation.task import size_of
from rondo.training.answers import Given, why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import read_run

NUM_SHOWN = 3
"""So many classes of a picture are told in a line."""

NUM_DRAWN_FRAMES = 8
"""The frames of a scene that is drawn for that word."""

MOST_PIXELS = 1_000_000
"""Larger pictures are made smaller before they are answered, where the run names no size."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture to name the pixels of.

    Args:
        source: Where it comes from, such as `street.png` or `drive.mp4#12`.
        pixels: uint8 (H, W, 3); None where it cannot be read.
        follows: Whether it is the next frame after the picture before.
        error: Why it cannot be read.
    """

    source: str
    pixels: np.ndarray | None
    follows: bool = False
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """An answer for a picture.

    Args:
        picture: The picture.
        labels: uint8 (H, W): the class of each pixel, 255 where it is not sure enough; None where
            the picture cannot be read.
    """

    picture: Picture
    labels: np.ndarray | None


class Segmenter:
    """The network of a run, with the names of its classes.

    Args:
        path: The run folder.
        min_confidence: Pixels whose class is less probable are given none.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, path: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        self.min_confidence = min_confidence
        self.config, self.model, origin = read_run(path, SEGMENTATION, ReSeg)
        self.classes: tuple[str, ...] = tuple(origin["classes"])
        size = self.config.options.size
        self.size = None if size is None else size_of(size)

    def pictures(self, words: Sequence[str | Path]) -> Iterator[Picture]:
        """Yields the pictures that words mean: files, folders whose files are frames, or "drawn".

        A video, and a folder too, is read in order; what cannot be read is a picture with an error.
        """
        for word in words:
            try:
                yield from _pictures_of(word)
            except (ValueError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                yield Picture(str(word), None, error=reason)

    def segment(self, pictures: Iterator[Picture]) -> Iterator[Segmentation]:
        """Yields the answer for each picture.

        The state goes on where a picture follows another and is as large as that.
        """
        state, size = None, None
        for picture in pictures:
            if picture.pixels is None:
                state = None
                yield Segmentation(picture, None)
            else:
                goes_on = picture.follows and picture.pixels.shape == size
                labels, state = self._labels(picture.pixels, state if goes_on else None)
                size = picture.pixels.shape
                yield Segmentation(picture, labels)

    @torch.no_grad()
    def _labels(self, pixels: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        image = Image.fromarray(pixels)
        wanted = self.size or _at_most(image.size)
        seen = np.array(image.resize(wanted, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        logits, state = self.model(torch.from_numpy(seen)[None, None], state)
        probability, labels = logits[0, 0].softmax(0).max(0)
        labels = torch.where(probability >= self.min_confidence, labels, VOID)
        found = Image.fromarray(labels.byte().numpy())
        return np.array(found.resize(image.size, Image.Resampling.NEAREST)), state

    def shares(self, labels: np.ndarray) -> dict[str, float]:
        """Returns the share of the pixels of each class, the most frequent first."""
        counts = np.bincount(labels.ravel(), minlength=VOID + 1)[: len(self.classes)]
        shares = dict(zip(self.classes, (counts / labels.size).tolist(), strict=True))
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class Answer:
    """What is told of a picture.

    Args:
        source: Where it comes from.
        shares: The share of the pixels of each class, the most frequent first; None where the
            picture cannot be read.
        files: The label map and the overlay that were written.
        error: Why it cannot be read.
    """

    source: str
    shares: dict[str, float] | None = None
    files: tuple[str, ...] = ()
    error: str | None = None


class Answers:
    """What `rondo predict` tells of a run that names pixels, and the pictures that it writes.

    Args:
        run: The run folder.
        output: The folder to write to; it is made when the first answer is asked for.
        min_confidence: Pixels whose class is less probable are given none.

    Raises:
        RunError: If the run or an option cannot be used.
    """

    columns = ("source", "shares", "files", "error")
    head = ""

    def __init__(
        self, run: Path, *, output: str = Answering.output, min_confidence: float = 0.0
    ) -> None:
        self.segmenter, self.output = Segmenter(run, min_confidence), Path(output)
        self.num_written = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the pictures are."""
        if self.num_written == 0:
            return ()
        return (f"label maps and overlays are in {self.output}",)

    def iterate(self, sources: Sequence[Given]) -> Iterator[Answer]:
        """Yields what is told of each picture, after its files are written.

        Raises:
            RunError: If the folder to write to holds something or cannot be made.
        """
        words = [word for word in sources if isinstance(word, (str, Path))]
        if len(words) < len(sources):
            raise RunError("pictures and videos are files, or the word drawn; - is for photos")
        make_folder(self.output)
        for number, found in enumerate(self.segmenter.segment(self.segmenter.pictures(words))):
            yield self._written(found, number)

    def line(self, answer: Answer) -> str:
        """Returns the most frequent classes of a picture, or why there is no answer."""
        if answer.shares is None:
            return f"unread: {why_not(answer.source, answer.error)}"
        shares = list(answer.shares.items())[:NUM_SHOWN]
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
        return f"{answer.source}: {words}"

    def _written(self, found: Segmentation, number: int) -> Answer:
        """Writes an answer; returns what is told of it."""
        picture, labels = found.picture, found.labels
        if labels is None or picture.pixels is None:
            return Answer(picture.source, error=picture.error)
        stem = f"{number:05}-{Path(picture.source).name.replace('#', '-')}"
        shown = overlay(picture.pixels, labels, len(self.segmenter.classes))
        files = {"labels": Image.fromarray(labels), "overlay": shown}
        paths = []
        for kind, image in files.items():
            contents, path = io.BytesIO(), self.output / f"{stem}.{kind}.png"
            image.save(contents, "PNG")
            write_bytes(path, contents.getvalue())
            paths.append(str(path))
        self.num_written += 1
        return Answer(picture.source, self.segmenter.shares(labels), tuple(paths))


def make_folder(folder: Path) -> None:
    """Makes the folder for answers; one that holds something is never written into.

    Raises:
        RunError: If it holds something, or cannot be made.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder} is there already; name another folder with --output")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot make {folder}: {error.strerror}; name another folder with --output"
        ) from error


def overlay(pixels: np.ndarray, labels: np.ndarray, num_classes: int) -> Image.Image:
    """Returns a picture in grey under the colours of its classes; pixels without one stay grey."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"), np.float32)
    table = np.zeros((VOID + 1, 3), np.float32)
    table[:num_classes] = colours(num_classes)
    strength = np.where(labels < num_classes, 0.6, 0.0)[..., None]
    mixed = (1 - strength) * grey + strength * table[labels]
    return Image.fromarray(mixed.round().astype(np.uint8))


def _pictures_of(word: str | Path) -> Iterator[Picture]:
    path = Path(word)
    if word == DRAWN:
        frames = draw_scenes(1, NUM_DRAWN_FRAMES, generator_for("shown scenes")).inputs[0]
        for number, frame in enumerate(frames.byte().permute(0, 2, 3, 1).numpy()):
            yield Picture(f"{DRAWN}#{number}", np.ascontiguousarray(frame), number > 0)
    elif os.path.isdir(path):  # unlike Path.is_dir it never raises
        yield from _frames_of_folder(path)
    elif path.suffix.lower() in FILE_ENDINGS or not os.path.exists(path):
        yield _read(path, False)
    else:
        yield from _frames_of_video(path)


def _frames_of_folder(folder: Path) -> Iterator[Picture]:
    """Its pictures in order; after a gap in their numbers none follows the one before."""
    files = [item for item in folder.iterdir() if item.suffix.lower() in FILE_ENDINGS]
    if not files:
        raise ValueError(f"the folder holds no picture; they end in {', '.join(FILE_ENDINGS)}")
    gaps = gaps_in_names(file.stem for file in files)
    if gaps:
        words = [f"{numbers_text(runs_of(gaps[name]))} before {name}" for name in sorted(gaps)]
        more = f" and {len(words) - SHOWN} more gaps" if len(words) > SHOWN else ""
        warnings.warn(
            f"{folder}: frames are missing: {', '.join(words[:SHOWN])}{more}; a run with a memory "
            "begins anew after each gap",
            LostFramesWarning,
            stacklevel=2,
        )
    for number, file in enumerate(sorted(files, key=lambda file: by_number(file.name))):
        yield _read(file, number > 0 and file.stem not in gaps)


def _frames_of_video(path: Path) -> Iterator[Picture]:
    """Its frames; lost ones are one picture with an error for each run of them."""
    number = 0
    for found in pictures_and_gaps(path):
        if isinstance(found, range):
            yield Picture(f"{path}#{numbers_text([found])}", None, error="lost in the video")
            number = found.stop
        else:
            yield Picture(f"{path}#{number}", found, number > 0)
            number += 1


def _read(path: Path, follows: bool) -> Picture:
    try:
        pixels = read_picture(path, lambda image: np.array(upright_rgb(image)))
    except PhotoError as error:
        return Picture(str(path), None, follows, error.reason)
    return Picture(str(path), pixels, follows)


def _at_most(size: tuple[int, int]) -> tuple[int, int]:
    """Returns a width and height as they are, or in proportion so that they are not too many."""
    factor = min(1.0, (MOST_PIXELS / (size[0] * size[1])) ** 0.5)
    width, height = (max(32, round(factor * side)) for side in size)
    return width, height
