"""Answers of a run of `rondo train actions`, for clips that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rondo.data.given import Unusable, each_file
from rondo.data.seeds import generator_for
from rondo.data.video import read_frames
from rondo.errors import RunError
from rondo.measures.abstention import check_min_confidence
from rondo.models.action_model import ActionModel
from rondo.tasks.actions.definition import ACTIONS as TASK
from rondo.tasks.actions.drawn import draw_clips
from rondo.tasks.actions.files import read_clips
from rondo.tasks.actions.motions import ACTIONS
from rondo.training.answers import Given, why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import read_run

ENDINGS = {
    "video": (".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg"),
    "poses": (".npz",),
    "signals": (".npz",),
}
"""How the names of files in a folder end, by the kind of their frames."""

NUM_DRAWN = len(ACTIONS)
"""So many clips are drawn for that word: one of each action."""


@dataclass(frozen=True)
class Clip:
    """A clip to name the action of.

    Args:
        source: Where it comes from, such as `clips.npz#3`.
        frames: Its frames laid flat (T, F); None where it cannot be read.
        label: What stands beside it, if something does.
        error: Why it cannot be read.
    """

    source: str
    frames: Tensor | None
    label: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Recognition:
    """An answer for a clip, or for the first frames of one.

    Args:
        source: Where the clip comes from.
        num_frames: The frames that were seen.
        action: The likeliest class; None where it is not sure, or the clip cannot be read.
        probabilities: The probability of each class; None where the clip cannot be read.
        label: What stands beside the clip, if something does.
        error: Why it cannot be read.
    """

    source: str
    num_frames: int
    action: str | None
    probabilities: dict[str, float] | None
    label: str | None = None
    error: str | None = None

    @property
    def probability(self) -> float | None:
        """The largest of the probabilities."""
        return None if self.probabilities is None else max(self.probabilities.values())


class Recogniser:
    """The network of a run, with the names of its classes.

    Args:
        path: The run folder.
        min_confidence: Answers of a smaller probability are not given.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, path: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        self.path, self.min_confidence = path, min_confidence
        self.config, self.model, origin = read_run(path, TASK, ActionModel)
        self.classes: tuple[str, ...] = tuple(origin["classes"])
        self.kind: str = origin["arguments"]["frames"]
        self.shape: tuple[int, ...] = tuple(origin["arguments"]["frame_shape"])

    def clips(self, words: Sequence[Given]) -> Iterator[Clip]:
        """Yields the clips that words mean: npz files or videos, folders of them, or "drawn"."""
        named = [word for word in words if isinstance(word, (str, Path))]
        if len(named) < len(words):
            raise RunError("clips are files, or the word drawn; - is for pictures")
        for word in named:
            if word == DRAWN:
                yield from self._drawn_clips()
                continue
            for file in each_file([word], ENDINGS[self.kind], f"file of {self.kind}"):
                if isinstance(file, Unusable):
                    yield Clip(file.source, None, error=file.error)
                else:
                    assert isinstance(file, Path)
                    yield from self._clips_of(file)

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
        self.check_stream()
        if clip.frames is None:
            yield self.recognise(clip)
            return
        stream = self.model.stream()
        for number, frame in enumerate(clip.frames.float(), 1):
            yield self._recognition(clip, number, stream(frame[None]))

    def check_stream(self) -> None:
        """Raises `RunError` where the network cannot answer while frames still come."""
        try:
            self.model.stream()
        except ValueError as error:
            raise RunError(str(error)) from error

    def _recognition(self, clip: Clip, num_frames: int, logits: Tensor) -> Recognition:
        probabilities = logits[0].double().softmax(-1)
        value, place = probabilities.max(0)
        sure = float(value) >= self.min_confidence
        by_class = dict(zip(self.classes, probabilities.tolist(), strict=True))
        action = self.classes[int(place)] if sure else None
        return Recognition(clip.source, num_frames, action, by_class, clip.label)

    def _drawn_clips(self) -> Iterator[Clip]:
        try:
            self.check_shape("drawn figures", "poses", (15, 2))
        except ValueError as error:
            yield Clip(DRAWN, None, error=str(error))
            return
        for number, clip in enumerate(draw_clips(NUM_DRAWN, generator_for("shown figures"))):
            yield Clip(f"{DRAWN}#{number}", clip.inputs, ACTIONS[int(clip.targets)])

    def _clips_of(self, path: Path) -> Iterator[Clip]:
        """The clips of a file, or one that says why it has none."""
        try:
            if self.kind == "video":
                yield Clip(str(path), read_frames(path).flatten(1))
                return
            found = read_clips(path)
            self.check_shape(str(path), found.kind, found.shape)
        except (ValueError, OSError) as error:
            yield Clip(str(path), None, error=_reason(error))
            return
        for number, frames in enumerate(found.frames):
            label = None if found.labels is None else str(found.labels[number])
            yield Clip(f"{path}#{number}", frames, label)

    def check_shape(self, what: str, kind: str, shape: tuple[int, ...]) -> None:
        """Raises `ValueError` where frames are not such as the run learnt from."""
        if (kind, shape) != (self.kind, self.shape):
            raise ValueError(
                f"{what} are {kind} of shape {shape}, but the run learnt from {self.kind} of shape "
                f"{self.shape}"
            )


class Answers:
    """What `rondo predict` tells of a run that names actions.

    Args:
        run: The run folder.
        stream: Whether there is an answer after every frame.
        min_confidence: Answers of a smaller probability are not given.

    Raises:
        RunError: If the run or an option cannot be used.
    """

    columns = ("source", "num_frames", "action", "probability", "label", "probabilities", "error")
    head = f"{'answer':14} {'probability':>11} {'frames':>7}  clip"
    notes: tuple[str, ...] = ()

    def __init__(self, run: Path, *, stream: bool = False, min_confidence: float = 0.0) -> None:
        self.recogniser = Recogniser(run, min_confidence)
        self.answer_frames = stream
        if stream:
            self.recogniser.check_stream()

    def iterate(self, sources: Sequence[Given]) -> Iterator[Recognition]:
        """Yields the answer for each clip, or after each frame of it."""
        for clip in self.recogniser.clips(sources):
            if self.answer_frames:
                yield from self.recogniser.stream(clip)
            else:
                yield self.recogniser.recognise(clip)

    def line(self, answer: Recognition) -> str:
        """Returns an answer, or why there is none."""
        if answer.probability is None:
            return f"{'unread':14} {'-':>11} {'-':>7}  {why_not(answer.source, answer.error)}"
        label = "" if answer.label is None else f" ({answer.label})"
        value, action = f"{100 * answer.probability:.1f} %", answer.action or "not sure"
        return f"{action:14} {value:>11} {answer.num_frames:7}  {answer.source}{label}"


def _reason(error: Exception) -> str:
    """Returns why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return str(error)
