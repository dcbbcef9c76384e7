"""Adding and multiplication: keep two marked real numbers over a long time, and combine them.

Each step is a pair (value, marker). Two pairs are marked with 1: first one of the first ten, then
one of the first T/2 - 1 that are still unmarked. The first and the last pair have the marker -1,
all others 0. A sequence has T to T + T/10 steps, each number as likely. At its end the network
answers

    adding           0.5 + (X1 + X2) / 4, where values are drawn from [-1, 1]
    multiplication   X1 X2, where values are drawn from [0, 1]

with X1 and X2 the values of the marked pairs. The first pair keeps its marker -1 where it is one of
the two, so that nobody can see it; then it counts as 0 in adding and as 1 in multiplication.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, experiments 4 and 5. An answer is right
where its error is below 0.04. The paper calls a task solved when the last 2,000 training sequences
were answered rightly and the mean error is below 0.01; here 99 % of 1,000 fresh sequences must be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.sources import Generated
from rondo.tasks.memory.definitions import USUAL
from rondo.tasks.shows import show_numbers
from rondo.training.task import Task

TOLERANCE = 0.04
"""An error from which on an answer is wrong."""

GOAL = 0.99
"""The share of right answers that solves the task."""

NUM_FIRST = 10
"""The first mark is on one of so many first pairs."""


@dataclass(frozen=True)
class Combination:
    """What is answered.

    Args:
        lowest: The lowest value; the highest is 1.
        unseen: What the first pair counts as, where it is marked.
        combine: The answer from X1 and X2.
    """

    lowest: float
    unseen: float
    combine: Callable[[Tensor, Tensor], Tensor]


SUM = Combination(-1.0, 0.0, lambda first, second: 0.5 + (first + second) / 4)
PRODUCT = Combination(0.0, 1.0, torch.mul)


def adding(length: int = 100) -> Task:
    """The adding problem of at least `length` steps.

    Raises:
        ValueError: Where the length is less than 20.

    Example:
        >>> import torch
        >>> from rondo.tasks.memory.adding import adding
        >>> batch = adding(100).source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape[2], batch.targets.shape, int(batch.lengths.min()) >= 100
        (2, torch.Size([4, 1]), True)
    """
    return _task("adding", SUM, length)


def multiplication(length: int = 100) -> Task:
    """The multiplication problem of at least `length` steps.

    Raises:
        ValueError: Where the length is less than 20.
    """
    return _task("multiplication", PRODUCT, length)


def draw_pairs(
    batch_size: int, generator: torch.Generator, *, length: int, combination: Combination
) -> Batch:
    """Returns sequences of marked pairs with their answers."""
    lengths = draw_lengths(batch_size, length, generator)
    num_steps, rows = int(lengths.max()), torch.arange(batch_size)
    lowest = combination.lowest
    values = lowest + (1 - lowest) * torch.rand(batch_size, num_steps, generator=generator)
    first = torch.randint(NUM_FIRST, (batch_size,), generator=generator)
    second = torch.randint(length // 2 - 1, (batch_size,), generator=generator)
    second += second >= first  # counted among the pairs that are still unmarked
    markers = torch.zeros(batch_size, num_steps)
    markers[rows, first] = markers[rows, second] = 1
    markers[:, 0] = markers[rows, lengths - 1] = -1
    marked = [values[rows, t].where(t > 0, combination.unseen) for t in (first, second)]
    inputs = torch.stack([values, markers], -1)
    return Batch(inputs, combination.combine(*marked)[:, None], lengths)


def draw_lengths(batch_size: int, length: int, generator: torch.Generator) -> Tensor:
    """Returns numbers of steps (B,) from T to T + T/10."""
    return torch.randint(length, length + length // 10 + 1, (batch_size,), generator=generator)


def check_length(length: int, least: int) -> None:
    """Raises `ValueError` where sequences would be too short for their definition."""
    if length < least:
        raise ValueError(f"the length must be {least} or more, but is {length}")


def _task(name: str, combination: Combination, length: int) -> Task:
    check_length(length, 2 * NUM_FIRST)
    return Task(
        name=name,
        source=Generated(partial(draw_pairs, length=length, combination=combination)),
        input_size=2,
        output_size=1,
        distance="euclidean",
        recipe=USUAL,
        final=True,
        right=_is_near,
        goal=GOAL,
        show=show_numbers,
    )


def _is_near(outputs: Tensor, batch: Batch) -> Tensor:
    return ((outputs - batch.targets).abs() < TOLERANCE).all(-1)
