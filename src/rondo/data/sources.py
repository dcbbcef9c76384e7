"""Sequences that are drawn anew for every batch, and sequences of which there are only so many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rondo.data.batch import Batch
from rondo.data.order import Order
from rondo.data.seeds import generator_for

EVALUATED_TOGETHER = 250
"""Sequences in a batch of a check or a test."""

TEST_SEED = 1997
"""The seed of test sequences; no training uses it."""

Draw = Callable[[int, torch.Generator], Batch]
"""Draws some sequences."""


@dataclass(frozen=True)
class Generated:
    """Sequences that are drawn: every training batch is new, and so is every check.

    Args:
        draw: Draws a number of sequences.
        num_checked: Sequences in a check.
        num_tested: Sequences in the test.
    """

    draw: Draw
    num_checked: int = 1000
    num_tested: int = 2000

    def num_train(self) -> int | None:
        """None: every training sequence is new."""
        return None

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """New sequences, which depend on the seed and the step alone."""
        return self.draw(batch_size, generator_for("train", seed, step))

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """Fresh sequences, which depend on the seed and the step alone."""
        yield from self._batches(self.num_checked, generator_for("check", seed, step))

    def test_batches(self) -> Iterator[Batch]:
        """The test sequences, the same in every run."""
        yield from self._batches(self.num_tested, generator_for("test", TEST_SEED))

    def _batches(self, num_sequences: int, generator: torch.Generator) -> Iterator[Batch]:
        for first in range(0, num_sequences, EVALUATED_TOGETHER):
            yield self.draw(min(EVALUATED_TOGETHER, num_sequences - first), generator)


@dataclass(frozen=True)
class Example:
    """One sequence with its targets; see :class:`rondo.data.batch.Batch`."""

    inputs: Tensor
    targets: Tensor
    allowed: Tensor | None = None


@dataclass(frozen=True)
class Collection:
    """Given sequences of three splits; an epoch sees each training sequence once, in a new order.

    Args:
        train: The training sequences.
        val: The sequences of the checks.
        test: The test sequences.
    """

    train: Sequence[Example]
    val: Sequence[Example]
    test: Sequence[Example]
    augment: Callable[[Example, torch.Generator], Example] | None = None

    @cached_property
    def order(self) -> Order:
        """The order of the training sequences."""
        return Order(len(self.train))

    def num_train(self) -> int | None:
        """How many training sequences there are."""
        return len(self.train)

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The sequences of a step."""
        examples = [self.train[row] for row in self.order.rows(seed, step, batch_size)]
        if self.augment is not None:
            generator = generator_for("augment", seed, step)
            examples = [self.augment(example, generator) for example in examples]
        return together(examples)

    def training_targets(self) -> Tensor:
        """The targets of all training sequences, one after another."""
        targets = [example.targets for example in self.train]
        return torch.stack(targets) if targets[0].ndim == 0 else torch.cat(targets)

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """The validation sequences."""
        yield from _batches(self.val)

    def test_batches(self) -> Iterator[Batch]:
        """The test sequences."""
        yield from _batches(self.test)


def together(examples: Sequence[Example]) -> Batch:
    """Returns sequences padded to one length."""
    lengths = torch.tensor([len(example.inputs) for example in examples])
    inputs = pad_sequence([example.inputs for example in examples], batch_first=True)
    return Batch(
        inputs if inputs.dtype == torch.long else inputs.float(),
        _targets_together([example.targets for example in examples]),
        lengths,
        None
        if examples[0].allowed is None
        else pad_sequence([e.allowed for e in examples if e.allowed is not None], batch_first=True),
    )


def one_hot(symbols: Tensor, num_symbols: int) -> Tensor:
    """Returns symbols (...) as vectors (..., K) with a single one; -1 stands for zeros alone."""
    return torch.nn.functional.one_hot(symbols + 1, num_symbols + 1)[..., 1:].float()


def _targets_together(targets: Sequence[Tensor]) -> Tensor:
    if targets[0].ndim == 0:
        return torch.stack(list(targets))
    padded = pad_sequence(list(targets), batch_first=True)
    return padded if padded.dtype == torch.long else padded.float()


def _batches(examples: Sequence[Example]) -> Iterator[Batch]:
    for first in range(0, len(examples), EVALUATED_TOGETHER):
        yield together(examples[first : first + EVALUATED_TOGETHER])
