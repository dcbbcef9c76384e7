"""One run of a compiled loop over all steps.

In go a compiled loop and the tensors of a batch; the kernel is called once, or some steps at a time
where torch has something to do around it; out come the results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rondo.compiler.call import SPOILS, Call, Slot
from rondo.compiler.graph import sizes_at
from rondo.compiler.in_place import pays_for_run, read_in_place
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.reference import Chunk, Previous, Resets, Result, Steps, sum_over_steps

if TYPE_CHECKING:
    from rondo.compiler.cpu import CompiledLoop


class Run:
    """One run of a compiled loop over all steps."""

    def __init__(
        self,
        loop: CompiledLoop,
        shared: Environment,
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None,
        whole_rows: int | None = None,
    ) -> None:
        self.whole_rows = steps.num_rows if whole_rows is None else whole_rows
        self.loop, self.shared, self.steps, self.resets = loop, shared, steps, resets
        self.inputs = dict(zip(loop.input_names, inputs, strict=True))
        dtype = loop.kernel.dtype
        self.given = state
        self.state = [_copy(value, dtype) for value in state]
        self.to = self.state
        if resets is not None:
            self.to = [value.to(dtype).contiguous() for value in resets.to]
        self.num_all_rows = steps.num_rows
        self.whole: dict[str, Tensor] = {}  # outputs of all steps
        self.reused: dict[str, Tensor] = {}  # what the kernel gives to torch
        self.totals: dict[str, Tensor] = {}
        self.kept: list[Any] = []  # what the call points to
        self.matrices = [shared[matrix.tensor] for matrix in loop.kernel.matrices]
        self.previous = [
            self._previous(slot.buffer.name)
            for slot in loop.slots
            if slot.buffer.place == "previous"
        ]
        self.call = self._call()

    def _previous(self, name: str) -> Previous:
        """The states that steps begin with, as the kernel reads them."""
        given = self.inputs[name]
        assert isinstance(given, Previous), f"{name} is given as rows of its own"
        to = given.initial if given.reset_to is None else given.reset_to
        dtype = self.loop.kernel.dtype
        next_states, initial, to = (
            _as(tensor, dtype).contiguous() for tensor in (given.next_states, given.initial, to)
        )
        return Previous(next_states, initial, given.resets, given.reverse, to)

    def _call(self) -> Call:
        """What the kernel is told of all steps."""
        loop, steps, resets = self.loop, self.steps, self.resets
        self.sizes = loop.sizes_of(steps, self.state[0].shape[0])
        call = Call.from_buffer_copy(self.sizes.call)
        strides: list[int] = []
        for tensor, matrix in zip(self.matrices, loop.kernel.matrices, strict=True):
            strides += strides_of(tensor, matrix.transposed)
        starts: list[int] = []
        for rows in self.previous:
            assert rows.reset_to is not None
            starts += (rows.initial.data_ptr(), rows.reset_to.data_ptr())
        call.strides = self._numbers(strides)
        call.previous = self._numbers(starts)
        call.reverse = steps.reverse
        call.previous_reverse = bool(self.previous) and self.previous[0].reverse
        if resets is not None:
            flags = resets.flags.contiguous()
            self.kept.append(flags)
            call.resets, call.divert = flags.data_ptr(), resets.divert
        if pays_for_run(loop, self.matrices, self.whole_rows):
            read_in_place(call, loop, self.whole_rows)
        self.workspace = loop.workspace(self.sizes.workspace_bytes)
        call.workspace = self.workspace.data_ptr()
        return call

    def _numbers(self, numbers: Sequence[int]) -> int:
        """The address of an array of numbers."""
        array = (ctypes.c_int64 * len(numbers))(*numbers)
        self.kept.append(array)
        return ctypes.addressof(array)

    def all_chunks(self) -> Result:
        """Run chunk after chunk."""
        loop, step = self.loop, self.loop.plan.step
        chunks = self.steps.chunks(loop.chunk_rows or self.num_all_rows)
        sums: dict[str, Tensor] = {}
        for number, chunk in enumerate(chunks):
            values = self.shared if len(chunks) == 1 else dict(self.shared)
            self.call.begins, self.call.ends = number == 0, number == len(chunks) - 1
            self._add_inputs(values, chunk)
            evaluate(loop.kernel.before, values, chunk.steps.num_rows)
            self._run_kernel(values, chunk)
            evaluate(loop.kernel.after, values, chunk.steps.num_rows)
            self._keep(values, chunk, sums)
        if self.resets is not None and self.resets.divert:
            for given, used in zip(self.resets.to, self.to, strict=True):
                if given is not used:
                    given.copy_(used)
        outputs = [self.whole[name] for name in step.outputs]
        state = [_as(new, old.dtype) for new, old in zip(self.state, self.given, strict=True)]
        return Result(outputs, state, self._all_sums(sums) if step.sums else [])

    def _all_sums(self, sums: dict[str, Tensor]) -> list[Tensor]:
        """The sums over all steps: the kernel's, torch's, and what torch makes of them."""
        loop, step = self.loop, self.loop.plan.step
        values = {**self.shared, **sums}
        for name, total in self.totals.items():
            shape = loop.shape(name)
            if total.shape == shape:
                values[name] = total
                continue
            turned = total.t().contiguous() if len(shape) == 2 else total
            values[name] = turned.view(sizes_at(shape, 0))
        if loop.kernel.totals:
            evaluate(loop.kernel.totals, values, 0)
        num_steps = len(self.steps.batch_sizes)
        return [
            _as(
                sum_over_steps(loop.plan, name, values, {}, num_steps),
                loop.plan.step.by_name[name].dtype,
            )
            for name in step.sums
        ]

    def _add_inputs(self, values: Environment, chunk: Chunk) -> None:
        """Add the rows of a chunk of what torch reads or has to gather."""
        for name in self.loop.inputs_of_torch:
            item = self.inputs[name]
            if isinstance(item, Previous):
                values[name] = item.rows(chunk)
            else:
                values[name] = chunk.rows(item, self.loop.dim(name))

    def _keep(self, values: Environment, chunk: Chunk, sums: dict[str, Tensor]) -> None:
        """Keep a chunk's outputs, and add up its sums."""
        for name in self.loop.sums:
            part = values[name].to(self.loop.kernel.dtype)
            sums[name] = sums[name] + part if name in sums else part
        for name in self.loop.copied:
            dim = self.loop.dim(name)
            if chunk.steps.num_rows == self.num_all_rows:
                self.whole[name] = values[name]
                continue
            if name not in self.whole:
                sizes = sizes_at(self.loop.shape(name), self.num_all_rows)
                self.whole[name] = _spoiled(values[name].new_empty(sizes))
            chunk.rows(self.whole[name], dim).copy_(values[name])

    def _run_kernel(self, values: Environment, chunk: Chunk) -> None:
        """Run the kernel over a chunk; adds what it gives to `values`."""
        loop = self.loop
        states, previous = iter(self.state), iter(self.previous)
        made: dict[str, Tensor] = {}
        addresses: list[int] = []
        for slot in loop.slots:
            place, name = slot.buffer.place, slot.buffer.name
            if place == "input":
                addresses.append(self._input(slot, values, chunk))
            elif place == "output":
                made[name], address = self._room(slot, chunk)
                addresses.append(address)
            elif place == "shared":
                tensor = _as(values[name], slot.buffer.dtype).contiguous().resolve_neg()
                self.kept.append(tensor)
                addresses.append(tensor.data_ptr())
            elif place == "state":
                addresses.append(next(states).data_ptr())
            elif place == "previous":
                addresses.append(next(previous).next_states.data_ptr())
            else:
                addresses.append(self._total(slot))
        addresses += [tensor.data_ptr() for tensor in (*self.to, *self.matrices)]
        self.addresses = (ctypes.c_int64 * len(addresses))(*addresses)
        self.call.tensors = ctypes.addressof(self.addresses)
        self.call.first_step = chunk.first_step
        self.call.num_steps = len(chunk.steps.batch_sizes)
        loop.binary.rondo_run(ctypes.byref(self.call))
        if loop.chunk_rows is not None or loop.copied:
            for name, buffer_name in loop.kernel.outputs.items():
                rows = made[buffer_name].movedim(0, loop.dim(name))
                values[name] = _as(rows, loop.plan.step.by_name[name].dtype)

    def _total(self, slot: Slot) -> int:
        """Where the kernel writes a sum."""
        name = slot.buffer.name
        if name not in self.totals:
            self.totals[name] = _spoiled(self.state[0].new_empty(slot.buffer.sizes))
        return self.totals[name].data_ptr()

    def _input(self, slot: Slot, values: Environment, chunk: Chunk) -> int:
        """The address of the first of all rows of an input."""
        name, first = slot.buffer.name, 0
        value = self.inputs.get(name)
        if not isinstance(value, Tensor):
            value, first = values[name], chunk.first_row
        is_own = value.dtype == slot.buffer.dtype
        value = _as(value, slot.buffer.dtype)
        if slot.dim:
            value = value.movedim(slot.dim, 0)
        if not is_own or not value.is_contiguous() or value.is_neg():
            value = value.contiguous().resolve_neg()
            if not first:
                self.inputs[name] = value.movedim(0, slot.dim)  # once for all chunks
        self.kept.append(value)
        return _address(value, first)

    def _room(self, slot: Slot, chunk: Chunk) -> tuple[Tensor, int]:
        """Where the kernel writes an output of a chunk, and the address of the first row of all."""
        buffer = slot.buffer
        if slot.output is not None:
            if slot.output not in self.whole:
                sizes = (self.num_all_rows, *buffer.sizes)
                room = self.state[0].new_empty(sizes, dtype=buffer.dtype)
                self.whole[slot.output] = _spoiled(room)
            whole = self.whole[slot.output]
            is_all = chunk.steps.num_rows == self.num_all_rows
            return whole if is_all else chunk.rows(whole), whole.data_ptr()
        if buffer.name not in self.reused:
            limit = self.loop.chunk_rows or self.num_all_rows
            num_rows = min(self.num_all_rows, max(limit, max(self.steps.batch_sizes)))
            self.reused[buffer.name] = self.state[0].new_empty(
                (num_rows, *buffer.sizes), dtype=buffer.dtype
            )
        rows = _spoiled(self.reused[buffer.name][: chunk.steps.num_rows])
        return rows, _address(rows, chunk.first_row)


def _spoiled(memory: Tensor) -> Tensor:
    """Memory that is to be written; where reading it before is to show, it holds NaN."""
    return memory.fill_(torch.nan) if SPOILS else memory


def _as(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    return value if value.dtype == dtype else value.to(dtype)


def _copy(value: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of a state that the kernel may write into."""
    if value.dtype == dtype and value.is_contiguous() and not value.is_neg():
        return value.clone()
    return value.to(dtype, memory_format=torch.contiguous_format, copy=True).resolve_neg()


def _address(rows: Tensor, first: int) -> int:
    """Where row 0 would lie if the given rows are those from `first` on."""
    return rows.data_ptr() - first * prod(rows.shape[1:]) * rows.itemsize


def strides_of(matrix: Tensor, transposed: bool) -> tuple[int, int, int]:
    """From matrix to matrix, from row to row and from column to column."""
    *batch, row, column = matrix.stride()
    first = batch[0] if batch else 0
    return (first, column, row) if transposed else (first, row, column)
