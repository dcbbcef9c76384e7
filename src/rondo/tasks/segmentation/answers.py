"""Answers of a run of `rondo train segmentation`, for pictures and videos."""

from __future__ import annotations

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
from rondo.errors import RunError, look_up
from rondo.measures.abstention import check_min_confidence
from rondo.models.reseg import ReSeg
from rondo.tasks.segmentation.colours import colours
from rondo.tasks.segmentation.drawn import draw_scenes
from rondo.tasks.segmentation.regions import PixelEvaluation, evaluate_pixels
from rondo.tasks.segmentation.scenes import VOID, SceneSource
from rondo.tasks.segmentation.task import size_of
from rondo.training.sequences.config import build_task
from rondo.training.sequences.folder import read_run

TASK = "segmentation"
"""The name of the task."""

DRAWN = "drawn"
"""The word that stands for a newly drawn scene."""

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
        error: Why it cannot be read, or "".
    """

    source: str
    pixels: np.ndarray | None
    follows: bool = False
    error: str = ""


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

    Attributes:
        notes: What the user should know of the data of the last evaluation.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, path: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        self.min_confidence = min_confidence
        self.notes: tuple[str, ...] = ()
        self.config, self.model, origin = read_run(path, TASK, ReSeg)
        self.classes: tuple[str, ...] = tuple(origin["classes"])
        size = self.config.task_arguments.get("size")
        self.size = None if size is None else size_of(size)

    def evaluate(
        self, data: Path | None = None, split: str | None = None
    ) -> dict[str, PixelEvaluation]:
        """Returns what the run is worth on the splits val and test, or on the one named.

        Args:
            data: Another folder of pictures; default the run's own data.
            split: "train", "val" or "test" of a folder, "val" or "test" of drawn scenes.

        Raises:
            RunError: If the data cannot be used, or have other classes than the run's.
        """
        arguments: dict[str, Any] = {**self.config.task_arguments, "weights": None}
        if data is not None:
            arguments = {**arguments, "data": str(data.absolute())}
        task = build_task(TASK, arguments)
        self.notes = task.notes
        if task.pixel_classes != self.classes:
            raise RunError(
                f"the data have the classes {', '.join(task.pixel_classes or ())}, but the run "
                f"learnt {', '.join(self.classes)}"
            )
        source = task.source
        splits = {
            "val": lambda: source.check_batches(self.config.seed, 0),
            "test": source.test_batches,
        }
        if isinstance(source, SceneSource):
            splits["train"] = lambda: source.batches("train")
        wanted = ("val", "test") if split is None else (split,)
        return {
            name: evaluate_pixels(self.model, look_up("split", name, splits)(), self.classes)
            for name in wanted
        }

    def pictures(self, words: Sequence[str]) -> Iterator[Picture]:
        """Yields the pictures that words mean: files, folders whose files are frames, or "drawn".

        A video, and a folder too, is read in order; what cannot be read is a picture with an error.
        """
        for word in words:
            try:
                yield from _pictures_of(word)
            except (ValueError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                yield Picture(word, None, error=reason)

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


def overlay(pixels: np.ndarray, labels: np.ndarray, num_classes: int) -> Image.Image:
    """Returns a picture in grey under the colours of its classes; pixels without one stay grey."""
    grey = np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"), np.float32)
    table = np.zeros((VOID + 1, 3), np.float32)
    table[:num_classes] = colours(num_classes)
    strength = np.where(labels < num_classes, 0.6, 0.0)[..., None]
    mixed = (1 - strength) * grey + strength * table[labels]
    return Image.fromarray(mixed.round().astype(np.uint8))


def _pictures_of(word: str) -> Iterator[Picture]:
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
