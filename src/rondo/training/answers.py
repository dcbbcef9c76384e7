"""What a task gives to `rondo predict` and `rondo evaluate`: answers, and what they are worth.

A task's definition names two places. That of `predict` is a class made of a run folder and the
options of its dataclass; that of `evaluate` a function of the same and of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from rondo.system.columns import columns
from rondo.training.engine import Score
from rondo.training.task import Task

Given = str | Path | BinaryIO
"""What is asked about: a file, a folder, a word such as "drawn", or an open file."""


@runtime_checkable
class Answer(Protocol):
    """An answer: a frozen dataclass with these fields and its own; all of them are told in JSON."""

    @property
    def source(self) -> str:
        """What was asked about."""
        ...

    @property
    def error(self) -> str | None:
        """Why there is no answer; None or "" where there is one."""
        ...


class Answers(Protocol):
    """The network of a run that answers."""

    @property
    def notes(self) -> Sequence[str]:
        """What to tell with every answer."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The fields of an answer that a CSV table shows."""
        ...

    @property
    def head(self) -> str:
        """The line above the lines of the terminal; "" for none."""
        ...

    def line(self, answer: Any) -> str:
        """Returns an answer, or why there is none, in a line or several."""
        ...

    def iterate(self, sources: Sequence[Given]) -> Iterator[Any]:
        """Yields an answer for each thing that is asked about, in order."""
        ...


class Evaluation(Protocol):
    """What a run is worth."""

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        ...

    def lines(self) -> list[str]:
        """Returns it for people."""
        ...


class ScoreEvaluation:
    """Loss and right answers on each split, the evaluation of a task that has no other.

    Args:
        task: The task.
        scores: What the run is worth, by split.
    """

    def __init__(self, task: Task, scores: dict[str, Score]) -> None:
        self.task, self.scores = task, scores

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {split: asdict(score) for split, score in self.scores.items()}

    def lines(self) -> list[str]:
        """Returns a table."""
        head = ["split", self.task.noun, f"loss, {self.task.unit}"]
        rows = [
            [split, str(one.num_examples), f"{one.loss:.4f}"] for split, one in self.scores.items()
        ]
        if any(score.right is not None for score in self.scores.values()):
            head.append("right")
            for row, score in zip(rows, self.scores.values(), strict=True):
                row.append("-" if score.right is None else f"{100 * score.right:.1f} %")
        return columns(head, rows)


def why_not(source: str, error: str | None) -> str:
    """Returns why there is no answer, with the name of what was asked about, once."""
    return str(error) if str(error).startswith(source) else f"{source}: {error}"
