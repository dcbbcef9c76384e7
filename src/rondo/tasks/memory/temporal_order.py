"""Temporal order: say in which order two or three widely separated symbols came.

A sequence begins with E, ends with B, and has T to T + T/10 symbols, each number as likely. All
others are drawn from a, b, c, d, but for two (task 6a) or three (6b) that are X or Y, at steps
drawn
from

    6a   T/10 ... 2T/10 and 5T/10 ... 6T/10
    6b   T/10 ... 2T/10, 33T/100 ... 43T/100 and 66T/100 ... 76T/100

where E is step 0; with T = 100 these are the paper's. At the end the network names the class: in 6a
XX is Q, XY R, YX S, YY U; in 6b the eight orders from XXX to YYY are Q, R, S, U, V, A, B, C.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, experiments 6a and 6b. An answer is
right where every output is within 0.3 of its target, 1 for the class and 0 for the others; the
outputs are the probabilities of a softmax here, of independent units in the paper. Solved: 99 %
of 1,000 fresh sequences are right.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.sources import Generated, one_hot
from rondo.tasks.memory.adding import check_length, draw_lengths
from rondo.tasks.memory.definitions import USUAL
from rondo.tasks.shows import show_classes
from rondo.training.task import Task

SYMBOLS = "EBXYabcd"
"""The symbols, in the order of the inputs."""

CLASSES = {2: "QRSU", 3: "QRSUVABC"}
"""The classes by the number of marks."""

PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""The first and last step of each mark, in hundredths of T, by the number of marks."""

TOLERANCE = 0.3
"""An error from which on an output is wrong."""

GOAL = 0.99
"""The share of right answers that solves the task."""


def temporal_order_6a(length: int = 100) -> Task:
    """Task 6a, two marks.

    Raises:
        ValueError: Where the length is less than 20.

    Example:
        >>> from rondo.tasks.memory.temporal_order import temporal_order_6a
        >>> batch = temporal_order_6a(100).source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape[2], batch.targets.shape
        (8, torch.Size([4]))
    """
    return _task("temporal-order-6a", 2, length)


def temporal_order_6b(length: int = 100) -> Task:
    """Task 6b, three marks.

    Raises:
        ValueError: Where the length is less than 20.
    """
    return _task("temporal-order-6b", 3, length)


def draw_orders(
    batch_size: int, generator: torch.Generator, *, length: int, num_marks: int
) -> Batch:
    """Returns sequences of symbols as vectors, with their classes."""
    lengths = draw_lengths(batch_size, length, generator)
    shape, rows = (batch_size, int(lengths.max())), torch.arange(batch_size)
    symbols = torch.randint(SYMBOLS.index("a"), len(SYMBOLS), shape, generator=generator)
    symbols[:, 0] = SYMBOLS.index("E")
    symbols[rows, lengths - 1] = SYMBOLS.index("B")
    answers = torch.zeros(batch_size, dtype=torch.long)
    for low, high in PLACES[num_marks]:
        first, last = low * length // 100, high * length // 100
        steps = torch.randint(first, last + 1, (batch_size,), generator=generator)
        is_y = torch.randint(2, (batch_size,), generator=generator)
        symbols[rows, steps] = SYMBOLS.index("X") + is_y
        answers = 2 * answers + is_y
    return Batch(one_hot(symbols, len(SYMBOLS)), answers, lengths)


def _task(name: str, num_marks: int, length: int) -> Task:
    check_length(length, 20)
    return Task(
        name=name,
        source=Generated(partial(draw_orders, length=length, num_marks=num_marks)),
        input_size=len(SYMBOLS),
        output_size=len(CLASSES[num_marks]),
        distance="cross_entropy",
        recipe=USUAL,
        final=True,
        right=_is_clear,
        goal=GOAL,
        show=show_classes(CLASSES[num_marks]),
    )


def _is_clear(outputs: Tensor, batch: Batch) -> Tensor:
    wanted = one_hot(batch.targets, outputs.shape[-1])
    return ((outputs.softmax(-1) - wanted).abs() < TOLERANCE).all(-1)
