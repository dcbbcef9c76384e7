"""Answers of a run of `rondo train actions`, for clips that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rondo.data.seeds import generator_for
from rondo.data.video import read_frames
from rondo.errors import RunError, look_up
from rondo.measures.abstention import check_min_confidence
from rondo.measures.classes import (
    ClassEvaluation,
    class_probabilities,
    evaluate_classes,
)
from rondo.models.action_model import ActionModel
from rondo.tasks.actions.drawn import ACTIONS, draw_clips
from rondo.tasks.actions.files import read_clips
from rondo.training.sequences.config import build_task
from rondo.training.sequences.folder import read_run
from rondo.training.task import Task

TASK = "actions"
"""The name of the task."""

DRAWN = "drawn"
"""The word that stands for newly drawn clips."""

NUM_DRAWN = len(ACTIONS)
"""So many clips are drawn for that word: one of each action."""


@dataclass(frozen=True)
class Clip:
    """A clip to name the action of.

    Args:
        source: Where it comes from, such as `clips.npz#3`.
        frames: Its frames laid flat (T, F); None where it cannot be read.
        label: What stands beside it, if something does.
        error: Why it cannot be read, or "".
    """

    source: str
    frames: Tensor | None
    label: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Recognition:
    """An answer for a clip, or for the first frames of one.

    Args:
        source: Where the clip comes from.
        num_frames: The frames that were seen.
        action: The likeliest class; None where it is not sure, or the clip cannot be read.
        probabilities: The probability of each class; None where the clip cannot be read.
        label: What stands beside the clip, if something does.
        error: Why it cannot be read, or "".
    """

    source: str
    num_frames: int
    action: str | None
    probabilities: dict[str, float] | None
    label: str | None = None
    error: str = ""


class Recogniser:
    """The network of a run, with the names of its classes.

    Args:
        path: The run folder.
        min_confidence: Answers of a smaller probability are not given.

    Attributes:
        notes: What the user should know of the data of the last evaluation.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, path: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        self.min_confidence = min_confidence
        self.notes: tuple[str, ...] = ()
        self.config, self.model, origin = read_run(path, TASK, ActionModel)
        self.classes: tuple[str, ...] = tuple(origin["classes"])
        self.kind: str = origin["arguments"]["frames"]
        self.shape: tuple[int, ...] = tuple(origin["arguments"]["frame_shape"])

    def evaluate(
        self, data: Path | None = None, split: str | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Returns the probabilities and labels of the splits val and test, or of the one named.

        Args:
            data: Another folder of clips; default the run's own data.
            split: "val" or "test"; default both.

        Raises:
            RunError: If the data cannot be used, or have other classes or frames than the run's.
        """
        arguments = self.config.task_arguments
        if data is not None:
            arguments = {**arguments, "data": str(data.absolute())}
        task = build_task(TASK, arguments)
        self.notes = task.notes
        self._check_data(task)
        source = task.source
        splits = {
            "val": lambda: source.check_batches(self.config.seed, 0),
            "test": source.test_batches,
        }
        if split is not None:
            splits = {split: look_up("split", split, splits)}
        return {name: class_probabilities(self.model, make()) for name, make in splits.items()}

    def evaluations(
        self, predicted: dict[str, tuple[Tensor, Tensor]]
    ) -> dict[str, ClassEvaluation]:
        """Returns what such probabilities are worth."""
        return {
            name: evaluate_classes(probabilities, labels, self.classes)
            for name, (probabilities, labels) in predicted.items()
        }

    def clips(self, words: Sequence[str]) -> Iterator[Clip]:
        """Yields the clips that words mean: paths of npz files or videos, or "drawn"."""
        for word in words:
            try:
                yield from self._clips_of(word)
            except (ValueError, OSError) as error:
                yield Clip(word, None, error=_reason(error))

    @torch.no_grad()
    def recognise(self, clip: Clip) -> Recognition:
        """Returns the answer for a clip."""
        if clip.frames is None:
            return Recognition(clip.source, 0, None, None, error=clip.error)
        logits, _ = self.model(clip.frames[None].float())
        return self._recognition(clip, len(clip.frames), logits)

    def stream(self, clip: Clip) -> Iterator[Recognition]:
        """Yields the answer after each frame of a clip.

        Raises:
            RunError: If the network also reads from the last frame to the first.
        """
        try:
            stream = self.model.stream()
        except ValueError as error:
            raise RunError(str(error)) from error
        if clip.frames is None:
            yield self.recognise(clip)
            return
        for number, frame in enumerate(clip.frames.float(), 1):
            yield self._recognition(clip, number, stream(frame[None]))

    def _recognition(self, clip: Clip, num_frames: int, logits: Tensor) -> Recognition:
        probabilities = logits[0].double().softmax(-1)
        value, place = probabilities.max(0)
        sure = float(value) >= self.min_confidence
        by_class = dict(zip(self.classes, probabilities.tolist(), strict=True))
        action = self.classes[int(place)] if sure else None
        return Recognition(clip.source, num_frames, action, by_class, clip.label)

    def _clips_of(self, word: str) -> Iterator[Clip]:
        if word == DRAWN:
            self._check_shape("drawn figures", "poses", (15, 2))
            for clip in draw_clips(NUM_DRAWN, generator_for("shown figures")):
                yield Clip(DRAWN, clip.inputs, ACTIONS[int(clip.targets)])
        elif self.kind == "video":
            yield Clip(word, read_frames(Path(word)).flatten(1))
        else:
            found = read_clips(Path(word))
            self._check_shape(word, found.kind, found.shape)
            for number, frames in enumerate(found.frames):
                label = None if found.labels is None else str(found.labels[number])
                yield Clip(f"{word}#{number}", frames, label)

    def _check_shape(self, what: str, kind: str, shape: tuple[int, ...]) -> None:
        if (kind, shape) != (self.kind, self.shape):
            raise ValueError(
                f"{what} are {kind} of shape {shape}, but the run learnt from {self.kind} of shape "
                f"{self.shape}"
            )

    def _check_data(self, task: Task) -> None:
        found: dict[str, Any] = dict(task.model_arguments)
        try:
            self._check_shape("the data", found["frames"], tuple(found["frame_shape"]))
        except ValueError as error:
            raise RunError(str(error)) from error
        if task.classes != self.classes:
            raise RunError(
                f"the data have the classes {', '.join(task.classes or ())}, but the run learnt "
                f"{', '.join(self.classes)}"
            )


def _reason(error: Exception) -> str:
    """Returns why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return str(error)
