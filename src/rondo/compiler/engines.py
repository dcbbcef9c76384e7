"""Which engine runs a plan.

In go a plan and the name of an engine, out comes what runs it. The cpu engine is taken where it
covers the plan; where it does not, the reference engine runs and says why, once.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rondo.compiler import reference
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.parallel import Newton, Parallel
from rondo.compiler.plan import Plan
from rondo.compiler.reference import EngineWarning, Previous, Resets, Result, Steps
from rondo.compiler.runtime import NoCompilerError

ENGINES = ("auto", "cpu", "parallel", "reference")

EngineName = str | Newton
"""One of `ENGINES`, or how the parallel engine is to solve loops that are not linear."""


def is_parallel(engine: EngineName) -> bool:
    """Whether the parallel engine is asked for."""
    return engine == "parallel" or isinstance(engine, Newton)


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
    plan: Plan, engine: EngineName, device: torch.device, previous: Collection[str] = ()
) -> Engine:
    """What runs a plan on a device.

    Args:
        plan: The plan.
        previous: The inputs of the plan that will be given as `Previous`.
        engine: "reference"; "cpu", which fails where it does not cover the plan; "auto", which
            takes the cpu engine where it covers the plan and otherwise warns and takes the
            reference engine; "parallel" or its options, which fails as "cpu" does.
        device: Where the tensors are.

    Raises:
        ValueError: Where the cpu or the parallel engine was asked for and does not cover the plan.
    """
    if engine == "reference":
        return Reference(plan)
    if is_parallel(engine):
        newton = engine if isinstance(engine, Newton) else Newton()
        try:
            return Parallel(plan, device, newton)
        except NotCoveredError as error:
            raise ValueError(f"the parallel engine cannot run this cell: {error}") from error
    if device.type != "cpu":
        if engine == "cpu":
            raise ValueError(f"the cpu engine runs on the CPU, and the tensors are on {device}")
        return _instead(plan, f"there are no kernels for {device.type} yet")
    try:
        return CompiledLoop(plan, previous)
    except (NotCoveredError, NoCompilerError) as error:
        if engine == "cpu":
            raise ValueError(f"the cpu engine cannot run this cell: {error}") from error
        return _instead(plan, str(error))


def _instead(plan: Plan, reason: str) -> Reference:
    """The reference engine in place of a faster one; says why."""
    warnings.warn(f"the slower reference engine runs: {reason}", EngineWarning, stacklevel=3)
    return Reference(plan, reason)
