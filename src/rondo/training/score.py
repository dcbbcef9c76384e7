"""What a network is worth on some sequences, and how that adds up over batches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rondo.training.task import Task


@dataclass(frozen=True)
class Score:
    """What a network is worth on some sequences.

    Args:
        loss: The mean distance over all steps, or over all answers, in the task's unit.
        right: The share of right answers, or None where the task has none.
        num_examples: The number of sequences.
    """

    loss: float
    right: float | None
    num_examples: int


@dataclass(frozen=True)
class Tally:
    """What batches of a check have given so far.

    Whoever measures a batch, its figures are added in the order of the batches.

    Args:
        loss: The sum of the losses, in float64.
        num_terms: The number of these losses.
        num_right: The right answers, or the sum of the shares that are right.
        num_examples: The number of sequences.
    """

    loss: float = 0.0
    num_terms: int = 0
    num_right: float = 0
    num_examples: int = 0

    def plus(self, other: Tally) -> Tally:
        """The sum with what the next batch gives."""
        return Tally(
            self.loss + other.loss,
            self.num_terms + other.num_terms,
            self.num_right + other.num_right,
            self.num_examples + other.num_examples,
        )

    def score(self, task: Task) -> Score:
        """What the network is worth on all batches."""
        right = None if task.right is None else self.num_right / max(1, self.num_examples)
        mean = self.loss / self.num_terms if self.num_terms else math.nan
        return Score(mean / task.nats_per_unit, right, self.num_examples)


def total(tallies: Iterable[Tally]) -> Tally:
    """Returns what all batches have given, added in their order."""
    found = Tally()
    for tally in tallies:
        found = found.plus(tally)
    return found
