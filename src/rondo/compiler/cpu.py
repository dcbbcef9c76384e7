"""The cpu engine: runs the loop of a plan as a compiled kernel, and the rest with torch.

In go a plan and tensors, as for the reference engine, out come the same results. The products
before and after the loop are torch's; the loop and the arithmetic around it are the kernel's.
The kernel runs on as many threads as torch may use, in one parallel region of torch's own thread
pool, and without Python's lock.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.graph import Shape, sizes_at
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.kernel import Buffer, Kernel
from rondo.compiler.lower import lower
from rondo.compiler.plan import Plan
from rondo.compiler.reference import (
    Chunk,
    Previous,
    Resets,
    Result,
    Steps,
    named,
    nothing,
    sum_over_steps,
)
from rondo.compiler.render_c import C_SPELLING, render_c, render_product, tensor_order
from rondo.compiler.runtime import load
from rondo.compiler.views import row_dim

MIN_WORK_PER_THREAD = 200_000
"""Multiplications for which it pays to wake another thread."""

CHUNK_BYTES = 4 << 20
"""What the values that only pass from stage to stage may take: they are to stay in the cache."""


class CompiledLoop:
    """A plan whose loop is a compiled kernel.

    The steps are run in chunks, each of which goes through all stages, so that what passes from
    one stage to the next stays in the cache and is overwritten by the next chunk.

    Args:
        plan: The plan.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot.
        NoCompilerError: Where there is no compiler.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernel = lower(plan, C_SPELLING)
        self.source = render_c(self.kernel)
        self.binary = load(self.source)
        products = load(render_product(self.kernel.dtype))  # kept: the kernel calls into it
        self.product = products, ctypes.cast(products.rondo_product, ctypes.c_void_p)
        for function in (self.binary.rondo_packed_numbers, self.binary.rondo_scratch_numbers):
            function.restype = ctypes.c_int64
        self.order = tensor_order(self.kernel)
        self.work = _work(self.kernel)
        self.direct = {  # outputs that the kernel writes where they are wanted
            buffer: name
            for name, buffer in self.kernel.outputs.items()
            if name in plan.step.outputs and row_dim(self.shape(name)) == 0
        }
        self.chunk_rows = CHUNK_BYTES // max(1, self._passing_bytes())

    def shape(self, name: str) -> Shape:
        """The shape of a value of the plan."""
        return self.plan.step.by_name[name].shape or ()

    def _passing_bytes(self) -> int:
        """What one row takes of the values that only pass from stage to stage."""
        inputs = {value.name for value in self.plan.step.inputs}
        passing = [
            buffer
            for buffer in self.order
            if (buffer.place == "input" and buffer.name not in inputs)
            or (buffer.place == "output" and buffer.name not in self.direct)
        ]
        return sum(buffer.size * buffer.dtype.itemsize for buffer in passing)

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
    ) -> Result:
        """Run all steps; see `reference.run`."""
        if steps.num_rows == 0:
            return nothing(self.plan.step, list(state))
        shared = named(self.plan.step.parameters, parameters)
        evaluate(self.plan.constants, shared, 0)
        return _Run(self, shared, state, steps, resets).all_chunks(inputs)


class _Run:
    """One run of a compiled loop over all steps."""

    def __init__(
        self,
        loop: CompiledLoop,
        shared: Environment,
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None,
    ) -> None:
        self.loop, self.shared, self.steps, self.resets = loop, shared, steps, resets
        dtype, contiguous = loop.kernel.dtype, torch.contiguous_format
        self.given = state
        self.state = [value.to(dtype, memory_format=contiguous, copy=True) for value in state]
        self.to = self.state
        self.flags = None if resets is None else resets.flags.contiguous()
        if resets is not None:
            self.to = [value.to(dtype).contiguous() for value in resets.to]
        self.num_rows = len(self.state[0])
        self.matrices = [shared[matrix.tensor] for matrix in loop.kernel.matrices]
        like, binary = self.state[0], loop.binary
        per_thread = loop.work * steps.num_rows // MIN_WORK_PER_THREAD
        self.num_parts = max(1, min(torch.get_num_threads(), self.num_rows, per_thread))
        scratch = binary.rondo_scratch_numbers(
            ctypes.c_int64(self.num_rows), ctypes.c_int64(self.num_parts)
        )
        self.packed = like.new_empty(binary.rondo_packed_numbers())
        self.scratch = like.new_empty(scratch)
        self.bounds = (ctypes.c_int64 * (self.num_parts + 1))()
        self.is_packed = False
        self.whole: dict[str, Tensor] = {}  # outputs of all steps
        self.reused: dict[str, Tensor] = {}  # what the kernel gives to the next stage
        self.sums: dict[str, Tensor] = {}

    def all_chunks(self, inputs: Sequence[Tensor | Previous]) -> Result:
        """Run chunk after chunk."""
        step = self.loop.plan.step
        for chunk in self.steps.chunks(self.loop.chunk_rows):
            values = {**self.shared, **named(step.inputs, _rows(inputs, chunk))}
            evaluate(self.loop.kernel.before, values, chunk.steps.num_rows)
            self._run_kernel(values, chunk)
            evaluate(self.loop.kernel.after, values, chunk.steps.num_rows)
            self._keep(values, chunk)
        if self.resets is not None and self.resets.divert:
            for given, used in zip(self.resets.to, self.to, strict=True):
                if given is not used:
                    given.copy_(used)
        outputs = [self.whole[name] for name in step.outputs]
        state = [new.to(old.dtype) for new, old in zip(self.state, self.given, strict=True)]
        sums = [self.sums[name].to(step.by_name[name].dtype) for name in step.sums]
        return Result(outputs, state, sums)

    def _keep(self, values: Environment, chunk: Chunk) -> None:
        """Keep a chunk's outputs and sums."""
        step = self.loop.plan.step
        for name in dict.fromkeys(step.sums):
            part = sum_over_steps(self.loop.plan, name, values, {}, len(chunk.steps.batch_sizes))
            part = part.to(self.loop.kernel.dtype)
            self.sums[name] = self.sums[name] + part if name in self.sums else part
        for name in dict.fromkeys(step.outputs):
            if name in self.loop.direct.values():
                continue
            dim = row_dim(self.loop.shape(name)) or 0
            if chunk.steps.num_rows == self.steps.num_rows:
                self.whole[name] = values[name]
                continue
            if name not in self.whole:
                sizes = sizes_at(self.loop.shape(name), self.steps.num_rows)
                self.whole[name] = values[name].new_empty(sizes)
            chunk.rows(self.whole[name], dim).copy_(values[name])

    def _run_kernel(self, values: Environment, chunk: Chunk) -> None:
        """Run the kernel over a chunk; adds what it gives to `values`."""
        kernel = self.loop.kernel
        states = iter(self.state)
        made: dict[str, Tensor] = {}
        tensors = []
        for buffer in self.loop.order:
            if buffer.place == "state":
                tensors.append(next(states))
            elif buffer.place == "output":
                made[buffer.name] = self._room(buffer, chunk)
                tensors.append(made[buffer.name])
            else:
                value = values[buffer.name]
                if buffer.place == "input":
                    value = value.movedim(row_dim(self.loop.shape(buffer.name)) or 0, 0)
                tensors.append(value.contiguous().resolve_neg())
        self._call([*tensors, *self.to, *self.matrices], chunk)
        for name, buffer_name in kernel.outputs.items():
            values[name] = made[buffer_name].movedim(0, row_dim(self.loop.shape(name)) or 0)

    def _room(self, buffer: Buffer, chunk: Chunk) -> Tensor:
        """Where the kernel writes an output of a chunk."""
        name = self.loop.direct.get(buffer.name)
        kept = self.reused if name is None else self.whole
        key = name or buffer.name
        if key not in kept:
            rows = self.steps.num_rows
            if name is None:
                rows = min(rows, max(self.loop.chunk_rows, max(self.steps.batch_sizes)))
            kept[key] = self.state[0].new_empty((rows, *buffer.sizes), dtype=buffer.dtype)
        return chunk.rows(kept[key]) if name else kept[key][: chunk.steps.num_rows]

    def _call(self, tensors: list[Tensor], chunk: Chunk) -> None:
        sizes = chunk.steps.batch_sizes
        resets = None if self.flags is None else chunk.rows(self.flags).data_ptr()
        strides = [
            stride
            for tensor, matrix in zip(self.matrices, self.loop.kernel.matrices, strict=True)
            for stride in _strides(tensor, matrix.transposed)
        ]
        self.loop.binary.rondo_run(
            (ctypes.c_void_p * len(tensors))(*[tensor.data_ptr() for tensor in tensors]),
            (ctypes.c_int64 * len(strides))(*strides),
            (ctypes.c_int64 * len(sizes))(*sizes),
            ctypes.c_int64(len(sizes)),
            ctypes.c_int64(self.num_rows),
            ctypes.c_int64(self.steps.reverse),
            ctypes.c_void_p(resets),
            ctypes.c_int64(self.resets is not None and self.resets.divert),
            ctypes.c_int64(self.num_parts),
            self.bounds,
            ctypes.c_void_p(self.packed.data_ptr()),
            ctypes.c_int64(not self.is_packed),
            self.loop.product[1],
            ctypes.c_void_p(self.scratch.data_ptr()),
            _parallel(),
        )
        self.is_packed = True


def _rows(inputs: Sequence[Tensor | Previous], chunk: Chunk) -> list[Tensor]:
    return [item.rows(chunk) if isinstance(item, Previous) else chunk.rows(item) for item in inputs]


def _strides(matrix: Tensor, transposed: bool) -> tuple[int, int, int]:
    """From matrix to matrix, from row to row and from column to column."""
    *batch, row, column = matrix.stride()
    return (batch[0] if batch else 0, *((column, row) if transposed else (row, column)))


def _work(kernel: Kernel) -> int:
    """Multiplications for one row of one step, about."""
    products = sum(matrix.depth * matrix.width for matrix in kernel.matrices)
    elements = sum(
        prod(loop.sizes) * len(loop.body) for level in kernel.levels for loop in level.loops
    )
    return products + elements


@functools.cache
def _parallel() -> Any:
    """The entry of torch's own thread pool, or NULL: then one thread does everything."""
    function: Any = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return ctypes.c_void_p(None) if function is None else ctypes.cast(function, ctypes.c_void_p)
