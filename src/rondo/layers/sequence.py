"""Rows of a ragged batch, packed step after step, and back.

Row b of a batch has `lengths[b]` steps. Packed, only real steps are there: first every row's first
step, longest row first, then every second step, and so on, as in
`torch.nn.utils.rnn.PackedSequence`. What the padding holds is never read, so it cannot matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the steps of a batch lie when packed.

    Args:
        batch_sizes: The rows of each step (T,), on the CPU.
        index: For each packed row, its place b*T + t in the padded batch; None where the batch is
            dense.
        order: The rows of the batch, longest first; None where they need no sorting.
    """

    batch_sizes: Tensor
    index: Tensor | None = None
    order: Tensor | None = None

    def pack(self, padded: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...)."""
        if self.index is None:
            return padded.transpose(0, 1).flatten(0, 1)
        return padded.flatten(0, 1).index_select(0, self.index)

    def pad(self, packed: Tensor, batch_size: int, num_steps: int) -> Tensor:
        """(N, ...) to (B, T, ...), with zeros where there is no step."""
        if self.index is None:
            return packed.unflatten(0, (num_steps, batch_size)).transpose(0, 1)
        padded = packed.new_zeros(batch_size * num_steps, *packed.shape[1:])
        return padded.index_copy(0, self.index, packed).unflatten(0, (batch_size, num_steps))

    def sort(self, state: Tensor) -> Tensor:
        """The rows of a state, longest first."""
        return state if self.order is None else state.index_select(0, self.order)

    def unsort(self, state: Tensor) -> Tensor:
        """The rows of a state in the order of the batch again."""
        return state if self.order is None else state.index_select(0, self.order.argsort())


def dense(batch_size: int, num_steps: int) -> Packing:
    """The packing of a batch whose rows all have T steps."""
    return Packing(torch.full((num_steps,), batch_size, dtype=torch.int64))


def ragged(lengths: Tensor, num_steps: int) -> Packing:
    """The packing of a batch whose row b has `lengths[b]` steps of at most T."""
    on_cpu = lengths.detach().cpu().long()
    sorted_lengths, order = on_cpu.sort(descending=True, stable=True)
    present = torch.arange(num_steps)[:, None] < sorted_lengths
    batch_sizes = present.sum(1)
    step, row = present.nonzero(as_tuple=True)
    index = order[row] * num_steps + step
    return Packing(batch_sizes[batch_sizes > 0], index.to(lengths.device), order.to(lengths.device))


def check_lengths(lengths: Tensor, batch_size: int, num_steps: int) -> None:
    """Fail where `lengths` does not say how many of T steps each of B rows has."""
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths must be a tensor ({batch_size},), got {type(lengths).__name__}")
    if lengths.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise TypeError(f"lengths must hold whole numbers, got {lengths.dtype}")
    if lengths.shape != (batch_size,):
        raise ValueError(
            f"lengths must have one entry for each row, ({batch_size},), got {tuple(lengths.shape)}"
        )
    wrong = lengths[(lengths < 0) | (lengths > num_steps)]
    if len(wrong):
        raise ValueError(f"lengths must lie between 0 and T = {num_steps}, got {int(wrong[0])}")


def check_resets(resets: Tensor, batch_size: int, num_steps: int) -> None:
    """Fail where `resets` is not one truth value for each row and step."""
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        got = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"resets must be a tensor of bool, got {got}")
    if resets.shape != (batch_size, num_steps):
        raise ValueError(
            f"resets must be (B, T) = ({batch_size}, {num_steps}), got {tuple(resets.shape)}"
        )
