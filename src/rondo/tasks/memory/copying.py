"""Copying: say ten symbols again after a long pause.

A sequence is ten symbols drawn from 1 ... 8, then T - 1 blanks, then the sign to begin, then ten
blanks: T + 20 steps. The output is blank for T + 10 steps, then the ten symbols. The answer is
right where all of the ten are.

Arjovsky et al., "Unitary evolution recurrent neural networks", 2016, after Hochreiter &
Schmidhuber, 1997. A network without memory that knows the rule has a loss of 10 log 8 / (T + 20)
nats a step. Solved: 99 % of 1,000 fresh sequences are right.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.sources import Generated, one_hot
from rondo.tasks.memory.adding import GOAL, check_length
from rondo.tasks.memory.definitions import COPY
from rondo.tasks.shows import show_symbols
from rondo.training.task import Task

NUM_SYMBOLS = 8
"""The symbols that are to be remembered, 1 ... 8."""

NUM_COPIED = 10
"""How many are to be remembered."""

SHOWN = "·12345678!"
"""How inputs look in a report: the blank, the symbols, the sign to begin."""

BLANK, BEGIN = 0, NUM_SYMBOLS + 1
"""The other two inputs."""


def copying(length: int = 20) -> Task:
    """The copy problem with a pause of T = `length` steps.

    Raises:
        ValueError: Where the length is less than 1.

    Example:
        >>> from rondo.tasks.memory.copying import copying
        >>> batch = copying(20).source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape, batch.targets.shape
        (torch.Size([4, 40, 10]), torch.Size([4, 40]))
    """
    check_length(length, 1)
    return Task(
        name="copy",
        source=Generated(partial(draw_copies, length=length)),
        input_size=NUM_SYMBOLS + 2,
        output_size=NUM_SYMBOLS + 1,
        distance="cross_entropy",
        recipe=COPY.recipes["default"],
        right=_is_copied,
        goal=GOAL,
        show=show_symbols(SHOWN, SHOWN),
    )


def draw_copies(batch_size: int, generator: torch.Generator, *, length: int) -> Batch:
    """Returns sequences as vectors, with the symbols to give at every step."""
    shown = torch.randint(1, NUM_SYMBOLS + 1, (batch_size, NUM_COPIED), generator=generator)
    return with_pause(shown, length)


def with_pause(shown: Tensor, length: int) -> Batch:
    """Returns the sequences that begin with symbols (B, 10), with the symbols to give."""
    symbols = torch.full((len(shown), length + 2 * NUM_COPIED), BLANK)
    targets = symbols.clone()
    symbols[:, :NUM_COPIED] = targets[:, -NUM_COPIED:] = shown
    symbols[:, NUM_COPIED + length - 1] = BEGIN
    return Batch(one_hot(symbols, NUM_SYMBOLS + 2), targets)


def _is_copied(outputs: Tensor, batch: Batch) -> Tensor:
    return (outputs.argmax(-1) == batch.targets)[:, -NUM_COPIED:].all(-1)
