"""What the report of a run of any task is made of: records, and the test, example by example."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from rondo.measures.intervals import Share, wilson
from rondo.training.config import RunConfig
from rondo.training.task import Shown, Task

NUM_SHOWN = 6
"""So many examples are shown of each kind."""

MOST_BINS = 5
"""The lengths of sequences are put into so many groups at most."""


@dataclass(frozen=True)
class Examined:
    """An example of the test, and what the network made of it.

    Args:
        loss: Its loss, in the unit of the task.
        right: The share that is answered rightly, 0 to 1; None where the task has none.
        length: Its steps; None where it is no sequence.
        shown: How it looks; None where the task does not say.
    """

    loss: float
    right: float | None
    length: int | None
    shown: Shown | None = None


@dataclass(frozen=True)
class OfLength:
    """What the network makes of the sequences of some lengths.

    Args:
        shortest: The least length, in steps.
        longest: The greatest length.
        num_examples: How many sequences there are.
        loss: Their mean loss.
        right: The share that is answered rightly; None where the task has none.
    """

    shortest: int
    longest: int
    num_examples: int
    loss: float
    right: Share | None


@dataclass(frozen=True)
class RunInput:
    """What the report of a run is made of.

    Args:
        summary: What is learnt, such as "read the words in pictures".
        config: The settings of the run.
        task: The task with its data.
        records: The records of `metrics.jsonl`.
        examined: The examples of the test, in order.
        num_parameters: The size of the network.
        notes: What to tell with the run.
    """

    summary: str
    config: RunConfig
    task: Task
    records: Sequence[dict[str, Any]]
    examined: Sequence[Examined]
    num_parameters: int
    notes: Sequence[str] = ()

    @property
    def test(self) -> dict[str, Any]:
        """The record of the test."""
        return next(record for record in reversed(self.records) if record["split"] == "test")

    @property
    def counts_whole(self) -> bool:
        """Whether each example is right or wrong as a whole, so that intervals can be told."""
        return all(one.right in (0.0, 1.0) for one in self.examined if one.right is not None)

    @property
    def loss_label(self) -> str:
        """What the loss is called, with its unit."""
        unit = self.task.unit
        return unit if unit == "loss" else f"loss in {unit}"

    @property
    def compares_train(self) -> bool:
        """Whether the losses of training steps are those of the checks: not sums over steps."""
        return self.task.final or self.task.loss is not None

    @property
    def data_notes(self) -> list[str]:
        """What is known of the data."""
        fingerprint = self.config.data_fingerprint
        found = list(self.task.notes)
        if fingerprint is not None:
            found.append(f"fingerprint {fingerprint}")
        if self.task.num_skipped:
            found.append(f"{self.task.num_skipped} inputs could not be used")
        return found

    @property
    def settings(self) -> dict[str, str]:
        """How the network was made, in words."""
        config, test = self.config, self.test
        changed = (
            f"{item.name} {_told(getattr(config.recipe, item.name))}"
            for item in fields(config.recipe)
            if item.name not in self.task.unused and getattr(config.recipe, item.name) is not None
        )
        options = (
            f"{name} {_told(value)}"
            for name, value in vars(config.options).items()
            if value not in (None, "")
        )
        return {
            "task": config.task,
            "network": f"{self.task.model}, {self.num_parameters:,} parameters",
            "options": ", ".join(options) or "none",
            "recipe": f"{config.recipe_name}: {', '.join(changed)}",
            "seed": str(config.seed),
            "training": f"{test['num_seen']} {self.task.noun}, {test['seconds']:.0f} s, "
            f"{config.num_threads} threads",
            "versions": ", ".join(f"{name} {text}" for name, text in config.versions.items()),
        }

    @property
    def right(self) -> Share | None:
        """The share of the test that is answered rightly, with its interval."""
        return share_of(self.examined)

    def worst(self) -> list[Examined]:
        """The examples with the largest losses."""
        return sorted(self._shown(), key=lambda one: one.loss, reverse=True)[:NUM_SHOWN]

    def usual(self) -> list[Examined]:
        """Examples from the middle of all losses."""
        ordered = sorted(self._shown(), key=lambda one: one.loss)
        first = max(0, len(ordered) // 2 - NUM_SHOWN // 2)
        return ordered[first : first + NUM_SHOWN]

    def _shown(self) -> list[Examined]:
        return [one for one in self.examined if one.shown is not None and not math.isnan(one.loss)]

    def by_length(self) -> list[OfLength]:
        """What the network makes of short and of long sequences; empty where all are as long."""
        known = [one for one in self.examined if one.length is not None]
        lengths = torch.tensor([float(one.length or 0) for one in known])
        if len(set(lengths.tolist())) < 2:
            return []
        edges = lengths.quantile(torch.linspace(0, 1, MOST_BINS + 1)).unique()
        places = torch.bucketize(lengths, edges[1:-1])
        groups = (
            [one for one, place in zip(known, places.tolist(), strict=True) if place == number]
            for number in range(len(edges))
        )
        return [_of_length(group) for group in groups if group]


def share_of(examined: Sequence[Examined]) -> Share | None:
    """Returns the share of right answers with its 95 % interval; None where nothing says it."""
    known = [one.right for one in examined if one.right is not None]
    return wilson(sum(known), len(known)) if known else None


def lengths_of(inputs: Tensor, lengths: Tensor | None, is_sequence: bool) -> Iterator[int | None]:
    """Yields the steps of each row of a batch."""
    if not is_sequence:
        yield from [None] * len(inputs)
    elif lengths is not None:
        yield from lengths.tolist()
    else:
        yield from [inputs.shape[1]] * len(inputs)


def _of_length(group: Sequence[Examined]) -> OfLength:
    lengths = [one.length for one in group if one.length is not None]
    losses = [one.loss for one in group]
    return OfLength(
        min(lengths), max(lengths), len(group), sum(losses) / len(losses), share_of(group)
    )


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
