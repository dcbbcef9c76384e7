"""A plan as several compiled loops, one after the other.

In go the parts of a plan (`distribution.py`) and tensors, out come the results of the whole plan:
what a part gives for all steps is an input of those after it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from rondo.compiler.cached import cached_property
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.distribution import Part
from rondo.compiler.plan import Plan
from rondo.compiler.reference import Previous, Resets, Result, Steps, nothing


class SeveralLoops:
    """A plan as several compiled loops.

    Args:
        plan: The plan.
        parts: Its parts, in the order in which they run.
        previous: The inputs of the plan that are states which steps begin with.

    Raises:
        NotCoveredError: Where a loop does what a kernel cannot.
        NoCompilerError: Where there is no compiler.
    """

    def __init__(self, plan: Plan, parts: Sequence[Part], previous: Collection[str] = ()) -> None:
        self.plan, self.parts, self.given_previous = plan, parts, previous
        self.loops = [CompiledLoop(part.plan, _among(previous, part)) for part in parts]

    @property
    def source(self) -> str:
        """The kernels."""
        return "\n".join(loop.source for loop in self.loops)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the state is carried from step to step."""
        return self.loops[0].dtype

    @property
    def copied(self) -> list[str]:
        """Outputs that the kernels do not write themselves."""
        return [name for loop in self.loops for name in loop.copied]

    @cached_property
    def whole(self) -> CompiledLoop:
        """The plan as one loop, for single steps."""
        return CompiledLoop(self.plan, self.given_previous)

    def explained(self) -> Plan:
        """The plan, saying of every node who runs it."""
        explained = [planned for loop in self.loops for planned in loop.explained().nodes]
        runners = {planned.node.name: planned.runner for planned in explained}
        return self.plan.run_by(runners.get)

    def __call__(
        self,
        parameters: Sequence[torch.Tensor],
        inputs: Sequence[torch.Tensor | Previous],
        state: Sequence[torch.Tensor],
        steps: Steps,
        resets: Resets | None = None,
        *,
        whole_rows: int | None = None,
    ) -> Result:
        """Run all steps; see `reference.run` and `CompiledLoop`."""
        step = self.plan.step
        if steps.num_rows == 0:
            return nothing(step, list(state))
        values: dict[str, Any] = dict(zip((v.name for v in step.inputs), inputs, strict=True))
        last: list[torch.Tensor] = list(state)
        sums: dict[str, torch.Tensor] = {}
        for part, loop in zip(self.parts, self.loops, strict=True):
            own = part.plan.step
            result = loop(
                parameters,
                [values[value.name] for value in own.inputs],
                [state[number] for number in part.states],
                steps,
                _of_part(resets, part),
                whole_rows=whole_rows,
            )
            values.update(zip(own.outputs, result.outputs, strict=True))
            sums.update(zip(own.sums, result.sums, strict=True))
            for number, value in zip(part.states, result.state, strict=True):
                last[number] = value
        outputs = [values[name] for name in step.outputs]
        return Result(outputs, last, [sums[name] for name in step.sums])


def _among(previous: Collection[str], part: Part) -> list[str]:
    """Those of some inputs that a part reads."""
    return [value.name for value in part.plan.step.inputs if value.name in previous]


def _of_part(resets: Resets | None, part: Part) -> Resets | None:
    """The resets of the states of a part."""
    if resets is None:
        return None
    return Resets(resets.flags, [resets.to[number] for number in part.states], resets.divert)
