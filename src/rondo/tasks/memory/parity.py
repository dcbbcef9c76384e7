"""Parity: after every bit, say whether the number of ones so far is odd.

A sequence has T to T + T/10 bits, each number as likely, and each bit is 0 or 1, as likely. The
target at every step is the exclusive or of all bits so far: one bit of memory, but one that never
may be wrong. The answer is right where it is at every step. Solved: 99 % of 1,000 fresh sequences
are.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, section 5 names parity, as a task that
guessing weights solves; there the parity is asked for at the end alone.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.sources import Generated
from rondo.tasks.memory.adding import GOAL, check_length, draw_lengths
from rondo.tasks.memory.definitions import PARITY
from rondo.tasks.shows import num_steps_of, shortened
from rondo.training.task import Shown, Task


def parity(length: int = 20) -> Task:
    """The parity problem of at least `length` bits.

    Raises:
        ValueError: Where the length is less than 1.

    Example:
        >>> from rondo.tasks.memory.parity import parity
        >>> batch = parity(20).source.training_batch(seed=0, step=0, batch_size=4)
        >>> bool((batch.targets[:, 0] == batch.inputs[:, 0, 0]).all())
        True
    """
    check_length(length, 1)
    return Task(
        name="parity",
        source=Generated(partial(draw_bits, length=length)),
        input_size=1,
        output_size=2,
        distance="cross_entropy",
        recipe=PARITY.recipes["default"],
        right=_is_right,
        goal=GOAL,
        show=_show,
    )


def draw_bits(batch_size: int, generator: torch.Generator, *, length: int) -> Batch:
    """Returns bits with the parity of all so far."""
    lengths = draw_lengths(batch_size, length, generator)
    bits = torch.randint(2, (batch_size, int(lengths.max())), generator=generator)
    return Batch(bits[..., None].float(), bits.cumsum(1) % 2, lengths)


def _show(outputs: Tensor, batch: Batch, row: int) -> Shown:
    """The bits, and whether the ones so far are odd."""
    steps = num_steps_of(batch, row)
    rows = (batch.targets[row], outputs[row].argmax(-1), batch.inputs[row, :, 0])
    wanted, answered, given = (
        "".join(str(int(bit)) for bit in values[:steps].tolist()) for values in rows
    )
    return Shown(shortened(wanted), shortened(answered), shortened(given))


def _is_right(outputs: Tensor, batch: Batch) -> Tensor:
    assert batch.lengths is not None
    padding = torch.arange(outputs.shape[1]) >= batch.lengths[:, None]
    return ((outputs.argmax(-1) == batch.targets) | padding.to(outputs.device)).all(-1)
