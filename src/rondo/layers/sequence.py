"""Rows of a ragged batch, packed step after step, and back.

Row b of a batch has `lengths[b]` steps. Packed, only real steps are there: first every row's first
step, longest row first, then every second step, and so on, as in
`torch.nn.utils.rnn.PackedSequence`. What the padding holds is never read, so it cannot matter.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import _disable_current_modes

from rondo.compiler.cached import cached_property
from rondo.compiler.operators import is_transformed

MOST_REMEMBERED = 1 << 16
"""Ragged batches of up to so many steps are remembered: layers of a network share their lengths."""


@dataclass(frozen=True)
class Packing:
    """Where the steps of a batch lie when packed.

    Args:
        batch_sizes: The rows of each step (T,), on the CPU.
        index: For each packed row, its place among the rows as they were given, which is b*T + t in
            a padded batch; None where the batch is dense. In a graph of torch's, whose sizes may
            not depend on `lengths`, the places of the padding follow.
        order: The rows of the batch, longest first; None where they need no sorting.
    """

    batch_sizes: Tensor
    index: Tensor | None = None
    order: Tensor | None = None

    def pack(self, padded: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...)."""
        if self.index is None:
            return padded.transpose(0, 1).flatten(0, 1)
        return self.gather(padded.flatten(0, 1))

    def pad(self, packed: Tensor, batch_size: int, num_steps: int) -> Tensor:
        """(N, ...) to (B, T, ...), with zeros where there is no step."""
        if self.index is None:
            return packed.unflatten(0, (num_steps, batch_size)).transpose(0, 1)
        padded = self.scatter(packed, batch_size * num_steps)
        return padded.unflatten(0, (batch_size, num_steps))

    def gather(self, rows: Tensor) -> Tensor:
        """Rows as they were given, packed."""
        return rows if self.index is None else rows.index_select(0, self.index)

    def scatter(self, packed: Tensor, num_rows: int) -> Tensor:
        """Packed rows where they were given, with zeros where there is no step."""
        if self.index is None:
            return packed
        padded = packed.new_zeros(num_rows, *packed.shape[1:])
        if is_transformed():
            return padded.index_copy(0, self.index, packed)
        return padded.index_copy_(0, self.index, packed)  # faster, but no transform takes it

    def sort(self, state: Tensor) -> Tensor:
        """The rows of a state, longest first."""
        return state if self.order is None else state.index_select(0, self.order)

    def unsort(self, state: Tensor) -> Tensor:
        """The rows of a state in the order of the batch again."""
        return state if self.order is None else state.index_select(0, self._places)

    @cached_property
    def _places(self) -> Tensor:
        """For each row of the batch, its place among the sorted ones."""
        assert self.order is not None
        return self.order.argsort()


def dense(batch_size: int, num_steps: int) -> Packing:
    """The packing of a batch whose rows all have T steps."""
    if torch.compiler.is_compiling():
        return _new_dense(batch_size, num_steps)
    return _dense(batch_size, num_steps)


def _new_dense(batch_size: int, num_steps: int) -> Packing:
    return Packing(torch.full((num_steps,), batch_size, dtype=torch.int64, device="cpu"))


def forget() -> None:
    """Let go of the batches that were described."""
    _dense.cache_clear()
    _remembered.cache_clear()


@contextmanager
def _unseen() -> Iterator[None]:
    """Where no mode and no transform looks on: for what serves later calls too."""
    with (
        _disable_current_modes(),
        temporarily_clear_interpreter_stack(),
        torch.inference_mode(False),
    ):
        yield


@functools.lru_cache(maxsize=64)
def _dense(batch_size: int, num_steps: int) -> Packing:
    with _unseen():
        return _new_dense(batch_size, num_steps)


def ragged(lengths: Tensor, num_steps: int) -> Packing:
    """The packing of a batch whose row b has `lengths[b]` steps of at most T."""
    if torch.compiler.is_compiling():
        return Packing(*torch.ops.rondo.packing(lengths, num_steps))
    values = tuple(lengths.tolist())
    if lengths.device.type == "cpu" and sum(values) <= MOST_REMEMBERED:
        return _remembered(values, num_steps)
    return _ragged(lengths, _starts(lengths, num_steps))


@functools.lru_cache(maxsize=16)
def _remembered(lengths: tuple[int, ...], num_steps: int) -> Packing:
    with _unseen():
        given = torch.tensor(lengths, dtype=torch.int64, device="cpu")
        found = _ragged(given, _starts(given, num_steps))
        assert found.order is None or len(found._places) == len(given)  # looked up where it is kept
        return found


def jagged(x: Tensor) -> Packing:
    """The packing of the values of a jagged nested tensor (B, j, ...)."""
    offsets, lengths = x.offsets(), x.lengths()  # type: ignore[attr-defined]
    lengths = offsets.diff() if lengths is None else lengths
    return _ragged(lengths, offsets[:-1].cpu())


def jagged_like(x: Tensor, values: Tensor) -> Tensor:
    """The nested tensor of other values that lie as those of x."""
    return torch.nested.nested_tensor_from_jagged(
        values,
        offsets=x.offsets(),  # type: ignore[attr-defined]
        lengths=x.lengths(),  # type: ignore[attr-defined]
    )


def check_jagged(x: Tensor, batch_first: bool) -> None:
    """Fail where a nested tensor is not one of sequences (B, j, ...)."""
    if x.layout != torch.jagged:
        raise ValueError(f"a nested tensor must have layout=torch.jagged, got {x.layout}")
    if not batch_first:
        raise ValueError("a nested tensor has the batch first: the layer needs batch_first=True")


def _starts(lengths: Tensor, num_steps: int) -> Tensor:
    """Where the rows of a padded batch begin."""
    return torch.arange(len(lengths), device="cpu") * num_steps


def _ragged(lengths: Tensor, starts: Tensor) -> Packing:
    """The packing of rows of which row b lies from `starts[b]` on."""
    on_cpu = lengths.detach().cpu().long()
    sorted_lengths, order = on_cpu.sort(descending=True, stable=True)
    longest = int(sorted_lengths[0]) if len(sorted_lengths) else 0
    step = torch.arange(longest, device="cpu")[:, None]
    present = step < sorted_lengths
    index = (starts[order] + step).masked_select(present)
    batch_sizes, is_sorted = present.sum(1), torch.equal(on_cpu, sorted_lengths)
    if is_sorted and longest and int(sorted_lengths[-1]):  # all rows have a step
        return Packing(batch_sizes, index.to(lengths.device))
    return Packing(batch_sizes, index.to(lengths.device), order.to(lengths.device))


@torch.library.custom_op("rondo::packing", mutates_args=())
def _packing(lengths: Tensor, num_steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The packing of a ragged batch in sizes that do not depend on the lengths."""
    check_lengths(lengths, len(lengths), num_steps)
    num_rows = len(lengths) * num_steps
    found = _ragged(lengths, _starts(lengths, num_steps))
    assert found.index is not None
    order = (
        torch.arange(len(lengths), device=lengths.device) if found.order is None else found.order
    )
    batch_sizes = torch.zeros(num_steps, dtype=torch.int64, device="cpu")
    batch_sizes[: len(found.batch_sizes)] = found.batch_sizes
    is_padding = torch.ones(num_rows, dtype=torch.bool, device=lengths.device)
    is_padding[found.index] = False
    return batch_sizes, torch.cat([found.index, is_padding.nonzero()[:, 0]]), order


@_packing.register_fake
def _(lengths: Tensor, num_steps: int) -> tuple[Tensor, Tensor, Tensor]:
    index = lengths.new_empty(lengths.shape[0] * num_steps, dtype=torch.int64)
    order = lengths.new_empty(lengths.shape[0], dtype=torch.int64)
    return torch.empty(num_steps, dtype=torch.int64, device="cpu"), index, order


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
    if torch.compiler.is_compiling():
        return  # the values are checked where they are known
    wrong = [length for length in lengths.tolist() if not 0 <= length <= num_steps]
    if wrong:
        raise ValueError(f"lengths must lie between 0 and T = {num_steps}, got {wrong[0]}")


def check_resets(resets: Tensor, batch_size: int, num_steps: int) -> None:
    """Fail where `resets` is not one truth value for each row and step."""
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        got = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"resets must be a tensor of bool, got {got}")
    if resets.shape != (batch_size, num_steps):
        raise ValueError(
            f"resets must be (B, T) = ({batch_size}, {num_steps}), got {tuple(resets.shape)}"
        )
