"""The cuda engine: runs a plan as kernels in Triton's language.

In go a plan and tensors on a GPU, as for the reference engine, out come the same results. What
comes before and after the loop is run by torch, for all steps together; the loop is one kernel,
whose programs all run at once and wait for each other between the phases of a step. A single step
is run phase by phase.

Where `TRITON_INTERPRET=1` is set, Triton's interpreter runs the kernels on the CPU, slowly: for
tests on machines without a GPU.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rondo.compiler import reference
from rondo.compiler.interpret import Environment
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.lower import lower
from rondo.compiler.plan import Plan
from rondo.compiler.reference import Previous, Resets, Result, Steps
from rondo.compiler.render_triton import pointers_of, render_triton
from rondo.compiler.triton_grid import Grid, grid_of
from rondo.compiler.triton_operators import TRITON_TARGET
from rondo.compiler.waits import phases_with_waits

INTERPRETED_PROGRAMS, INTERPRETED_MEMORY = 3, 1 << 20
"""Programs of a phase in the interpreter, which runs one after the other, and the bytes that each
may keep."""


class TritonLoop:
    """A plan as a kernel for a GPU.

    Args:
        plan: The plan.
        device: Where the tensors are.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot, or there is no Triton.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.kernel = kernel = lower(plan, TRITON_TARGET)
        self.interpreted = _check_there(device)
        self.plan = _with_more_in_loop(plan, [*kernel.before, *kernel.after, *kernel.totals])
        self.phases, self.pointers = phases_with_waits(kernel), pointers_of(kernel)
        self.source = render_triton(kernel)
        self.module = module_of(self.source)

    def explained(self) -> Plan:
        """The plan, saying of every node who runs it."""
        inside = {node.name for node in self.plan.loop}
        return self.plan.run_by(lambda name: "the kernel" if name in inside else "torch")

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
    ) -> Result:
        """Run all steps; see `reference.run`."""
        return reference.run(
            self.plan, parameters, inputs, state, steps, resets, loop=self._run_loop
        )

    def _run_loop(
        self,
        plan: Plan,
        shared: Environment,
        together: Environment,
        state: list[Tensor],
        steps: Steps,
        resets: Resets | None,
    ) -> tuple[Environment, Environment, list[Tensor]]:
        """Run the loop; see `reference.step_by_step`."""
        starts = state if resets is None else resets.to
        given = self._memory(together, state, starts, steps.num_rows)
        self._launch(given, len(state[0]), steps, resets, state[0].device)
        states = self.kernel.at("state")
        if resets is not None and resets.divert:
            for buffer, value in zip(states, resets.to, strict=True):
                value.copy_(given[f"{buffer.name}_start"])
        turn = len(steps.batch_sizes) % 2
        last = [
            given[f"{buffer.name}_states"][turn].to(value.dtype)
            for buffer, value in zip(states, state, strict=True)
        ]
        outputs = {
            name: given[f"{buffer}_at"].movedim(0, self._dim(name))
            for name, buffer in self.kernel.outputs.items()
        }
        return outputs, {}, last

    def _memory(
        self,
        values: Environment,
        state: Sequence[Tensor],
        starts: Sequence[Tensor],
        num_all_rows: int,
    ) -> dict[str, Tensor]:
        """What the kernel reads and writes, by the names that it has there."""
        kernel = self.kernel
        given: dict[str, Tensor] = {}
        for buffer, value, start in zip(kernel.at("state"), state, starts, strict=True):
            given[f"{buffer.name}_states"] = torch.stack([value, value]).to(buffer.dtype)
            given[f"{buffer.name}_start"] = start.to(buffer.dtype).contiguous()
        for name, buffer in self.pointers:
            if buffer.place in ("output", "local", "row"):
                num_rows = num_all_rows if buffer.place == "output" else len(state[0])
                sizes = num_rows, *buffer.sizes
                given[name] = torch.empty(sizes, dtype=buffer.dtype, device=state[0].device)
            elif buffer.place == "input":
                given[name] = values[buffer.name].movedim(self._dim(buffer.name), 0).contiguous()
            elif buffer.place == "shared":
                given[name] = values[buffer.name].contiguous()
        for number, matrix in enumerate(kernel.matrices):
            given[f"matrix_{number}"] = values[matrix.tensor].contiguous()
        return given

    def _dim(self, name: str) -> int:
        """The dimension of the rows in a value of the plan."""
        return getattr(self.plan.layouts[name], "dim", 0)

    def _launch(
        self,
        given: dict[str, Tensor],
        num_rows: int,
        steps: Steps,
        resets: Resets | None,
        device: torch.device,
    ) -> None:
        """Run all phases of all steps."""
        batch_sizes, first_rows = _sizes_on(steps.batch_sizes, device)
        num_steps = len(steps.batch_sizes)
        exact = torch.get_float32_matmul_precision() == "highest"
        grid = self._grid(num_rows, num_steps, exact, device)
        flags = batch_sizes if resets is None else resets.flags.to(device)
        arguments = {
            "num_rows": num_rows,
            "batch_sizes": batch_sizes,
            "first_rows": first_rows,
            "resets": _as_bytes(flags.contiguous()),
            **{name: _as_bytes(tensor) for name, tensor in given.items()},
            "RESETS": 0 if resets is None else 2 if resets.divert else 1,
            "PRECISION": "ieee" if exact else "tf32",
            "KEEP": grid.keep,
            "ROWS": grid.rows,
            "COLUMNS": grid.columns,
            "num_warps": grid.num_warps,
            "num_stages": grid.num_stages,
        }
        together = num_steps > 1 and not self.interpreted
        run = self.run_together if together else self.run_apart
        run(arguments, num_steps, steps.reverse, grid.num_programs)

    def _grid(self, num_rows: int, num_steps: int, exact: bool, device: torch.device) -> Grid:
        """The programs that run the kernel.

        To keep matrices pays for more than one step, and where products are computed by the GPU's
        units for them, which exact ones in float32 are not.
        """
        processors, memory = INTERPRETED_PROGRAMS, INTERPRETED_MEMORY
        if not self.interpreted:
            processors, memory = _resources(device)
            if num_steps == 1 or (exact and self.kernel.stored == torch.float32):
                memory = 0
        return grid_of(self.kernel, self.phases, num_rows, processors, memory)

    def run_together(
        self, arguments: dict[str, Any], num_steps: int, reverse: bool, num_programs: int
    ) -> None:
        """All steps by one kernel, whose programs wait for each other."""
        device = arguments["batch_sizes"].device
        counter = torch.zeros(1, dtype=torch.int32, device=device)
        at_once = {} if self.interpreted else {"launch_cooperative_grid": True}
        self.module.all_steps[(num_programs,)](
            counter=counter, num_steps=num_steps, REVERSE=reverse, **arguments, **at_once
        )

    def run_apart(
        self, arguments: dict[str, Any], num_steps: int, reverse: bool, num_programs: int
    ) -> None:
        """One kernel for each phase of each step."""
        for turn in range(num_steps):
            step = num_steps - 1 - turn if reverse else turn
            for number in range(len(self.phases)):
                self.run_phase(number, range(num_programs), num_programs, arguments, turn, step)

    def run_phase(
        self,
        number: int,
        programs: range,
        num_programs: int,
        arguments: dict[str, Any],
        turn: int,
        step: int,
    ) -> None:
        """What some of all programs do in a phase of a step, which is the `turn`th to be run."""
        kernel = getattr(self.module, f"only_{number}")
        kernel[(len(programs),)](
            first_program=programs.start,
            num_programs=num_programs,
            turn=turn,
            step=step,
            **arguments,
        )


def module_of(source: str) -> ModuleType:
    """The module of a rendered source, which is kept where tracebacks and Triton find it."""
    name = f"rondo_kernel_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = ModuleType(name)
    module.__file__ = file
    exec(compile(source, file, "exec"), module.__dict__)
    return module


def is_interpreted() -> bool:
    """Whether Triton's interpreter runs kernels, on the CPU."""
    if find_spec("triton") is None:
        return False
    import triton

    return bool(triton.knobs.runtime.interpret)


def _check_there(device: torch.device) -> bool:
    """Fail where kernels cannot run; return whether the interpreter runs them."""
    if find_spec("triton") is None:
        raise NotCoveredError("Triton is not installed; `pip install triton`")
    interpreted = is_interpreted()
    if device.type != "cuda" and not interpreted:
        raise NotCoveredError(f"it runs on a GPU, and the tensors are on {device}")
    return interpreted


def _with_more_in_loop(plan: Plan, around: Collection[Any]) -> Plan:
    """The plan with everything in its loop that is neither constant nor in `around`."""
    left = {node.name for node in around}
    return replace(
        plan,
        nodes=tuple(
            planned
            if planned.stage in ("constants", "loop") or planned.node.name in left
            else replace(planned, stage="loop", reason=f"{planned.reason}, done with the loop")
            for planned in plan.nodes
        ),
    )


def _as_bytes(tensor: Tensor) -> Tensor:
    """Truth values as numbers of one byte, which kernels read and write."""
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


@functools.lru_cache(maxsize=64)
def _sizes_on(batch_sizes: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows of each step, and the number of its first row, where kernels read them."""
    sizes = torch.tensor(batch_sizes, dtype=torch.int32)
    firsts = torch.cumsum(sizes, 0, dtype=torch.int64) - sizes
    return sizes.to(device), firsts.to(device)


@functools.cache
def _resources(device: torch.device) -> tuple[int, int]:
    """The programs that run at once, and the bytes of shared memory that each may have."""
    properties = torch.cuda.get_device_properties(device)
    memory = getattr(properties, "shared_memory_per_block_optin", 0)  # on AMD's it has none
    return properties.multi_processor_count, memory
