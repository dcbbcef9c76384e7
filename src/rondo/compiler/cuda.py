"""The cuda engine: runs a plan as kernels in Triton's language.

In go a plan and tensors on a GPU, as for the reference engine, out come the same results. What
comes before and after the loop is run by torch, for all steps together; the loop is one kernel,
whose programs all run at once and wait for each other between the phases of a step. A single step
is run phase by phase.

Where `TRITON_INTERPRET=1` is set, Triton's interpreter runs the kernels on the CPU, slowly: for
tests on machines without a GPU.
"""

from __future__ import annotations

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
from rondo.compiler.gpu.launch import BuildError, Launcher
from rondo.compiler.gpu.operators import TRITON_TARGET
from rondo.compiler.gpu.render import names_in_source, pointers_of, render_triton
from rondo.compiler.interpret import Environment
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.lower import lower
from rondo.compiler.plan import Plan
from rondo.compiler.reference import Previous, Resets, Result, Steps, warn
from rondo.extras import how_to_install


class TritonLoop:
    """A plan as a kernel for a GPU.

    Args:
        plan: The plan.
        device: Where the tensors are.
        insists: Whether a kernel that Triton cannot build is an error; otherwise the reference
            engine runs in its place, with a warning.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot, or there is no Triton.
    """

    def __init__(self, plan: Plan, device: torch.device, insists: bool = True) -> None:
        self.kernel = kernel = lower(plan, TRITON_TARGET)
        interpreted = _check_there(device)
        self.insists = insists
        self.reason: str | None = None  # why the reference engine runs in its place
        self.plan = _with_more_in_loop(plan, [*kernel.before, *kernel.after, *kernel.totals])
        self.pointers = pointers_of(kernel)
        self.names = names_in_source(kernel)
        self.source = render_triton(kernel)
        self.launcher = Launcher(kernel, module_of(self.source), interpreted)

    def explained(self) -> Plan:
        """The plan, saying of every node who runs it."""
        if self.reason is not None:
            return self.plan
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
        given = self.plan, parameters, inputs, state, steps, resets
        if self.reason is None:
            try:
                return reference.run(*given, loop=self._run_loop)
            except BuildError as error:
                if self.insists:
                    raise RuntimeError(f"Triton cannot build the kernel: {error}") from error
                self.reason = str(error)
                message = f"the slower reference engine runs: Triton cannot build it: {error}"
                warn(message)
        return reference.run(*given)

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
        self.launcher.run(given, len(state[0]), steps, resets)
        states = self.kernel.at("state")
        if resets is not None and resets.divert:
            for buffer, value in zip(states, resets.to, strict=True):
                value.copy_(given[f"{self.names[buffer.name]}_start"])
        turn = len(steps.batch_sizes) % 2
        last = [
            given[f"{self.names[buffer.name]}_states"][turn].to(value.dtype)
            for buffer, value in zip(states, state, strict=True)
        ]
        outputs = {
            name: given[f"{self.names[buffer]}_at"].movedim(0, self._dim(name))
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
            given[f"{self.names[buffer.name]}_states"] = torch.stack([value, value]).to(
                buffer.dtype
            )
            given[f"{self.names[buffer.name]}_start"] = start.to(
                buffer.dtype, copy=True
            ).contiguous()
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
        raise NotCoveredError(f"Triton is not installed; {how_to_install('gpu')}")
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
