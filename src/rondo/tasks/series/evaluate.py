"""What a run of `rondo train series` is worth, beside simple rules on the same data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rondo.tasks.series.answers import SeriesAnswers
from rondo.tasks.series.evaluation import Evaluation
from rondo.training.run_folder import RunFolder


@dataclass(frozen=True)
class SeriesEvaluation:
    """What the network and the rules are worth, by split."""

    splits: dict[str, Evaluation]

    def values(self) -> dict[str, Any]:
        """Returns the figures for JSON."""
        return {name: found.to_dict() for name, found in self.splits.items()}

    def lines(self) -> list[str]:
        """Returns the tables of each split."""
        return ["\n\n".join(f"{name}:\n{found.text()}" for name, found in self.splits.items())]


def evaluate(
    folder: RunFolder, *, data: str | None, split: str | None, say: Callable[[str], None]
) -> SeriesEvaluation:
    """Measures a run on val and test, of its data or of other data.

    Raises:
        RunError: If the run or the data cannot be used.
    """
    answers = SeriesAnswers(folder.path)
    found = answers.evaluate(data, split)
    for note in answers.notes:
        say(note)
    return SeriesEvaluation(found)
