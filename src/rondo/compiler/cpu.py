"""The cpu engine: runs a plan as a compiled kernel.

In go a plan and tensors, as for the reference engine, out come the same results. The kernel runs
all steps in one call, on as many threads as torch may use (see `pool.py`), and without Python's
lock. What no kernel does before or after the loop is run with torch, some steps at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.c_compiler import BRIEFLY
from rondo.compiler.c_operators import C_TARGET
from rondo.compiler.c_tables import tensor_order
from rondo.compiler.call import PAIRED, SPOILS, Call, Sizes, Slot
from rondo.compiler.graph import Node, Shape, live_nodes
from rondo.compiler.interpret import evaluate
from rondo.compiler.kernel import Kernel, Level
from rondo.compiler.layouts import SUMMED
from rondo.compiler.lower import lower
from rondo.compiler.pieces import in_pieces
from rondo.compiler.plan import Plan
from rondo.compiler.pool import pool
from rondo.compiler.reference import Previous, Resets, Result, Steps, named, nothing
from rondo.compiler.render_c import render_c, render_product
from rondo.compiler.run import Run
from rondo.compiler.runtime import load
from rondo.compiler.sharing import shares_steps
from rondo.compiler.views import row_dim
from rondo.system.cgroup import most_threads_at_once

MIN_WORK_PER_THREAD = 200_000
"""Multiplications for which it pays to wake another thread."""

CHUNK_ROWS = 192
"""Rows that a thread of the kernel takes through the stages together."""

MAX_SIZES = 64
"""Sizes of batches that are remembered."""

CHUNK_BYTES = 4 << 20
"""What the values that torch and the kernel give each other may take: they stay in the cache."""


class CompiledLoop:
    """A plan as a compiled kernel.

    Args:
        plan: The plan.
        previous: The inputs of the plan that are states which steps begin with.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot.
        NoCompilerError: Where there is no compiler.
    """

    def __init__(self, plan: Plan, previous: Collection[str] = ()) -> None:
        self.plan = plan
        self.kernel = kernel = in_pieces(lower(plan, C_TARGET, previous))
        self.source = render_c(kernel, spoils=SPOILS, paired=PAIRED)
        self.binary = load(self.source, BRIEFLY)
        self.binary.rondo_workspace_bytes.restype = ctypes.c_int64
        self.is_paired = _is_paired(kernel, self.binary)
        source = render_product(kernel.dtype, paired=self.is_paired)
        library = load(source)  # kept: the kernel calls into it
        self.products = library, ctypes.c_void_p.in_dll(library, "rondo_products")
        outputs = {  # those that the kernel writes where they are wanted
            buffer: name
            for name, buffer in kernel.outputs.items()
            if name in plan.step.outputs
            and self.dim(name) == 0
            and kernel.buffers[buffer].dtype == plan.step.by_name[name].dtype
        }
        self.slots = [
            Slot(buffer, self.dim(buffer.name), outputs.get(buffer.name))
            for buffer in tensor_order(kernel)
        ]
        self.work = _work(kernel)
        by_torch = [*kernel.before, *kernel.after]
        read = {name for node in by_torch for name in node.reads}
        direct = {slot.output for slot in self.slots}
        self.copied = [name for name in dict.fromkeys(plan.step.outputs) if name not in direct]
        self.sums = [node.name for node in by_torch if plan.layouts[node.name] == SUMMED]
        self.constants = self._constants(read)
        self.input_names = [value.name for value in plan.step.inputs]
        read |= {*plan.step.outputs, *plan.step.sums}
        read |= {  # states that steps begin with, of a type that the kernel does not find itself
            slot.buffer.name
            for slot in self.slots
            if slot.buffer.place == "input" and slot.buffer.name in previous
        }
        self.inputs_of_torch = [name for name in self.input_names if name in read]
        self.chunk_rows = self._chunk_rows()
        self.workspaces: list[Tensor] = []  # of runs that ended, for the next
        self.sizes: dict[Any, Sizes] = {}

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the state is carried from step to step."""
        return self.kernel.dtype

    def explained(self) -> Plan:
        """The plan, saying of every node who runs it."""
        kernel = self.kernel
        runners = {node.name: "the kernel" for node in self.plan.step.nodes}
        because = "" if kernel.reason is None else f" (no kernel does: {kernel.reason})"
        for node in (*kernel.before, *kernel.after):
            runners[node.name] = f"torch{because}"
        for node in kernel.totals:
            runners[node.name] = "torch"
        for node in self.plan.constants:
            del runners[node.name]
        return self.plan.run_by(runners.get)

    def shape(self, name: str) -> Shape:
        """The shape of a value of the plan."""
        return self.plan.step.by_name[name].shape or ()

    def dim(self, name: str) -> int:
        """The dimension of the rows in a value of the plan; 0 where it has none."""
        return row_dim(self.shape(name)) or 0 if name in self.plan.step.by_name else 0

    def _constants(self, read: set[str]) -> tuple[Node, ...]:
        """What depends on parameters only, as far as anybody reads it."""
        kernel = self.kernel
        wanted = {*read, *(matrix.tensor for matrix in kernel.matrices)}
        wanted.update(buffer.name for buffer in kernel.at("shared"))
        wanted.update(name for node in kernel.totals for name in node.reads)
        wanted.update(self.plan.step.sums)
        return live_nodes(self.plan.constants, tuple(wanted))

    def _chunk_rows(self) -> int | None:
        """How many rows pass between torch and the kernel at a time; None: nothing passes."""
        if not self.kernel.before and not self.kernel.after:
            return None
        outside = {node.name for node in self.kernel.before}
        passing = [
            slot.buffer
            for slot in self.slots
            if slot.buffer.name in outside or (slot.buffer.place == "output" and not slot.output)
        ]
        row_bytes = sum(buffer.size * buffer.dtype.itemsize for buffer in passing)
        return CHUNK_BYTES // max(1, row_bytes)

    def sizes_of(self, steps: Steps, num_rows: int, most_threads: int | None = None) -> Sizes:
        """What the kernel is told of the sizes of a batch.

        Args:
            steps: The steps.
            num_rows: The rows of the batch.
            most_threads: The threads that may be at work; default those of torch.
        """
        most_threads = most_threads or torch.get_num_threads()
        key = steps.batch_sizes, num_rows, most_threads
        found = self.sizes.get(key)
        if found is None:
            if len(self.sizes) >= MAX_SIZES:
                self.sizes.clear()
            found = self.sizes[key] = self._sizes_of(steps, num_rows, most_threads)
        return found

    def _sizes_of(self, steps: Steps, num_rows: int, most_threads: int) -> Sizes:
        per_thread = self.work * steps.num_rows // MIN_WORK_PER_THREAD
        threads = max(1, min(most_threads, most_threads_at_once(), per_thread))
        together = shares_steps(self.kernel, num_rows, len(steps.batch_sizes), threads)
        num_parts = 1 if together else min(threads, num_rows)
        batch_sizes = (ctypes.c_int64 * len(steps.batch_sizes))(*steps.batch_sizes)
        call = Call(
            batch_sizes=ctypes.addressof(batch_sizes),
            num_all_steps=len(steps.batch_sizes),
            num_rows=num_rows,
            num_parts=num_parts,
            team=threads // num_parts,
            shares_steps=together,
            num_threads=threads,
            chunk_rows=CHUNK_ROWS,
            products=ctypes.addressof(self.products[1]),
            pool=pool(),
        )
        return Sizes(call, batch_sizes, self.binary.rondo_workspace_bytes(ctypes.byref(call)))

    def workspace(self, size: int) -> Tensor:
        """Memory of at least so many bytes; give it back to `workspaces`."""
        found = self.workspaces.pop() if self.workspaces else None
        if found is None or len(found) < size:
            found = torch.empty(size, dtype=torch.uint8, device="cpu")
        return found

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
        *,
        into: Sequence[Tensor] = (),
        whole_rows: int | None = None,
    ) -> Result:
        """Run all steps; see `reference.run`.

        `into` are the first outputs: contiguous memory for their rows, which is used where the
        kernel writes them itself. `whole_rows` are the rows of all steps where these are a part of
        them: what is chosen by their number is then the same for all parts.
        """
        if steps.num_rows == 0:
            return nothing(self.plan.step, list(state))
        run = self.start(parameters, inputs, state, steps, resets, whole_rows)
        direct = {slot.output for slot in self.slots}
        pairs = zip(self.plan.step.outputs, into, strict=False)
        run.whole |= {name: rows for name, rows in pairs if name in direct}
        result = run.all_chunks()
        self.workspaces.append(run.workspace)
        return result

    def start(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
        whole_rows: int | None = None,
    ) -> Run:
        """A run that is ready to begin."""
        shared = named(self.plan.step.parameters, parameters)
        if self.constants:
            evaluate(self.constants, shared, 0)
        return Run(self, shared, inputs, state, steps, resets, whole_rows)


def _is_paired(kernel: Kernel, binary: ctypes.CDLL) -> bool:
    """Whether a kernel multiplies pairs of bfloat16: who compiled it knows the processor."""
    is_half = kernel.stored == torch.bfloat16
    return is_half and bool(ctypes.c_int64.in_dll(binary, "rondo_paired").value)


def _work(kernel: Kernel) -> int:
    """Multiplications for one row of one step, about."""

    def of_levels(levels: Sequence[Level]) -> int:
        return sum(prod(loop.sizes) * len(loop.body) for level in levels for loop in level.loops)

    products = sum(matrix.depth * matrix.width for matrix in kernel.matrices)
    sums = sum(prod(buffer.sizes) for buffer in kernel.at("total"))
    return products + sums + sum(map(of_levels, (kernel.opening, kernel.levels, kernel.closing)))
