"""Which engine runs a plan.

In go a plan and the name of an engine, out comes what runs it. The cpu engine, or on a GPU the cuda
engine, is taken where it covers the plan; where it does not, the reference engine runs and says
why, once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rondo.compiler import reference
from rondo.compiler.c_compiler import NoCompilerError
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.distribution import distribute
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.parallel import Newton, Parallel
from rondo.compiler.plan import Plan
from rondo.compiler.reference import Previous, Resets, Result, Steps
from rondo.compiler.several_loops import SeveralLoops

ENGINES = ("auto", "cpu", "cuda", "parallel", "plain", "reference")

EngineName = str | Newton
"""One of `ENGINES`, or how the parallel engine is to solve loops that are not linear."""


def is_parallel(engine: EngineName) -> bool:
    """Whether the parallel engine is asked for."""
    return engine == "parallel" or isinstance(engine, Newton)


class OfMachine(str):
    """Why the reference engine runs: a reason that is true of all cells on this machine."""


class Engine(Protocol):
    """What runs a plan; see `reference.run`."""

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
    ) -> Result:
        """Run the plan."""


@runtime_checkable
class KernelEngine(Engine, Protocol):
    """An engine whose loop is a kernel."""

    source: str
    """The kernel."""

    def explained(self) -> Plan:
        """The plan, saying of every node who runs it."""


@dataclass(frozen=True)
class Reference:
    """The reference engine, and why it runs the plan: None where it was asked for."""

    plan: Plan
    reason: str | None = None

    def __call__(
        self,
        parameters: Sequence[Tensor],
        inputs: Sequence[Tensor | Previous],
        state: Sequence[Tensor],
        steps: Steps,
        resets: Resets | None = None,
    ) -> Result:
        """Run the plan with torch operations."""
        return reference.run(self.plan, parameters, inputs, state, steps, resets)


def engine_for(
    plan: Plan,
    engine: EngineName,
    device: torch.device,
    previous: Collection[str] = (),
    cell: str = "this cell",
) -> Engine:
    """What runs a plan on a device.

    Args:
        plan: The plan.
        engine: "reference"; "cpu" or "cuda", which fail where they do not cover the plan; "auto",
            which takes the one of them that is for the device where it covers the plan, and
            otherwise takes the reference engine, with the reason; "parallel" or its options, which
            fails as they do.
        device: Where the tensors are.
        previous: The inputs of the plan that will be given as `Previous`.
        cell: What an error calls the cell.

    Raises:
        ValueError: Where an engine was asked for by name and does not cover the plan.
    """
    if engine == "reference" or not plan.step.state:  # without a state there is no loop
        return Reference(plan)
    name = _name_of(engine, device)
    try:
        if name == "parallel":
            return Parallel(plan, device, engine if isinstance(engine, Newton) else Newton())
        if name == "cuda":
            from rondo.compiler.cuda import TritonLoop  # which the CPU has no need of

            return TritonLoop(plan, device, insists=engine == "cuda")
        if name == "cpu":
            _check_on_cpu(device)
            parts = distribute(plan)
            return SeveralLoops(plan, parts, previous) if parts else CompiledLoop(plan, previous)
    except (NotCoveredError, NoCompilerError) as error:
        reason = _with_line(plan, error)
        if engine != "auto":
            raise ValueError(
                f"engine={engine!r} cannot run {cell}: {reason}; engine='auto' runs it"
            ) from error
        if isinstance(error, NoCompilerError):
            return Reference(plan, OfMachine(error))
        return Reference(plan, reason)
    return Reference(plan, f"there are no kernels for {device.type}")


def _name_of(engine: EngineName, device: torch.device) -> str | None:
    """The engine to try: the one that was asked for, or that is for the device."""
    if is_parallel(engine):
        return "parallel"
    if engine != "auto":
        return str(engine)
    return device.type if device.type in ("cpu", "cuda") else None


def _check_on_cpu(device: torch.device) -> None:
    if device.type != "cpu":
        raise NotCoveredError(f"it runs on the CPU, and the tensors are on {device}")


def _with_line(plan: Plan, error: Exception) -> str:
    """Why an engine does not cover a plan, with the line of the step that says so."""
    reason = str(error)
    of = error.value if isinstance(error, NotCoveredError) else None
    nodes = [node for node in plan.step.nodes if node.line]
    lines = [node.line for node in nodes if node.name == of]
    lines += [node.line for node in nodes if _names(reason, node.op_name)]
    return f"{reason} ({lines[0]})" if lines else reason


def _names(text: str, op_name: str) -> bool:
    return re.search(rf"\b{re.escape(op_name)}\b", text) is not None
