"""The reference engine: runs a plan with torch operations. It defines what is correct.

In go a plan and the tensors, out come the values of all steps, the last state and the sums. The
rows of all steps lie packed, step after step: step t has `batch_sizes[t]` rows, never more than
the step before it, as in `torch.nn.utils.rnn.PackedSequence`. So a padded step is never computed,
whatever the padding holds, and a dense batch is the case in which all sizes are equal. The
backward graph runs over the same rows in the opposite order.

Every operation is an ordinary differentiable torch operation without effects in place, so the
engine works under autograd to any order, `vmap`, forward-mode AD and per-sample gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rondo.compiler.graph import Rows, StepGraph, Value
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.plan import Plan
from rondo.compiler.rows import SHARED, Along

StateHook = Callable[[int, list[torch.Tensor]], list[torch.Tensor]]


@dataclass(frozen=True)
class Steps:
    """The steps of a packed batch, in the order in which they run.

    Args:
        batch_sizes: The number of rows of each step, never growing from step to step.
        reverse: Whether the steps run from the last to the first.
    """

    batch_sizes: tuple[int, ...]
    reverse: bool = False

    @property
    def num_rows(self) -> int:
        """The rows of all steps together."""
        return sum(self.batch_sizes)

    def backward(self) -> Steps:
        """The same steps in the opposite order."""
        return Steps(self.batch_sizes, not self.reverse)

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Yield (first row, number of rows) of each step, in the order in which they run."""
        spans, first = [], 0
        for size in self.batch_sizes:
            spans.append((first, size))
            first += size
        return reversed(spans) if self.reverse else iter(spans)


@dataclass(frozen=True)
class Result:
    """What a plan gives: packed values of all steps, the state at the end, sums over the steps."""

    outputs: list[torch.Tensor]
    state: list[torch.Tensor]
    sums: list[torch.Tensor]


def run(
    plan: Plan,
    parameters: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    state: Sequence[torch.Tensor],
    steps: Steps,
    *,
    enter: StateHook | None = None,
    leave: StateHook | None = None,
) -> Result:
    """Run a plan over all steps.

    Args:
        plan: What to run where.
        parameters: One tensor for each parameter of the graph.
        inputs: One packed tensor for each input of the graph, with the rows of all steps.
        state: One tensor (B, ...) for each state; rows beyond the size of a step wait or rest.
        steps: Where the rows of each step lie.
        enter: Changes the state before a step; gets the first row of the step and the state.
        leave: Changes the state after a step.

    Returns:
        The outputs of the graph, packed; the state at the end; the sums.
    """
    step = plan.step
    if steps.num_rows == 0:
        return _nothing(step, list(state))
    shared = _named(step.parameters, parameters)
    evaluate(plan.constants, shared, 0)
    together = {**shared, **_named(step.inputs, inputs)}
    evaluate(plan.before, together, steps.num_rows)
    collected, summed, state = _loop(plan, shared, together, list(state), steps, enter, leave)
    together |= collected
    evaluate(plan.after, together, steps.num_rows)
    outputs = [together[name] for name in step.outputs]
    sums = [_sum(plan, name, together, summed, len(steps.batch_sizes)) for name in step.sums]
    return Result(outputs, state, sums)


def _named(values: Sequence[Value], tensors: Sequence[torch.Tensor]) -> Environment:
    return {value.name: tensor for value, tensor in zip(values, tensors, strict=True)}


def _loop(
    plan: Plan,
    shared: Environment,
    together: Environment,
    state: list[torch.Tensor],
    steps: Steps,
    enter: StateHook | None,
    leave: StateHook | None,
) -> tuple[Environment, Environment, list[torch.Tensor]]:
    """Run the loop; return the packed values that others read, and what is summed in it."""
    names = [value.name for value in plan.step.state]
    sliced = _read_by_loop(plan)
    collect: dict[str, list[torch.Tensor]] = {name: [] for name in _read_outside_loop(plan)}
    summed: Environment = {}
    for first, size in steps:
        now = [value[:size] for value in state]
        if enter is not None:
            now = enter(first, now)
        values = {**shared, **dict(zip(names, now, strict=True))}
        for name in sliced:
            values[name] = together[name].narrow(_dim(plan, name), first, size)
        evaluate(plan.loop, values, size)
        new = [values[name] for name in plan.step.next_state]
        if leave is not None:
            new = leave(first, new)
        state = [_replace_rows(old, rows, size) for old, rows in zip(state, new, strict=True)]
        for name, pieces in collect.items():
            pieces.append(values[name])
        for name in _summed_in_loop(plan):
            summed[name] = summed[name] + values[name] if name in summed else values[name]
    packed = {
        name: torch.cat(pieces[::-1] if steps.reverse else pieces, _dim(plan, name))
        for name, pieces in collect.items()
    }
    return packed, summed, state


def _replace_rows(old: torch.Tensor, rows: torch.Tensor, size: int) -> torch.Tensor:
    return rows if size == old.shape[0] else torch.cat([rows, old[size:]])


def _dim(plan: Plan, name: str) -> int:
    layout = plan.layouts[name]
    return layout.dim if isinstance(layout, Along) else 0


def _read_by_loop(plan: Plan) -> list[str]:
    """The values with rows, known before the loop, that each step needs its part of."""
    reads = {name for node in plan.loop for name in node.reads} | set(plan.step.next_state)
    return [
        name
        for name in plan.step.by_name
        if name in reads and plan.stage_of(name) == "before" and plan.layouts[name] != SHARED
    ]


def _read_outside_loop(plan: Plan) -> list[str]:
    """The values of the loop that must be kept for all steps."""
    reads = {name for node in plan.after for name in node.reads} | set(plan.step.outputs)
    return [name for name in plan.step.by_name if name in reads and plan.stage_of(name) == "loop"]


def _summed_in_loop(plan: Plan) -> list[str]:
    return [name for name in plan.step.sums if plan.stage_of(name) == "loop"]


def _sum(
    plan: Plan, name: str, together: Environment, summed: Environment, num_steps: int
) -> torch.Tensor:
    """A sum over the steps: gathered in the loop, one sum over all rows, or T equal terms."""
    if name in summed:
        return summed[name]
    value: torch.Tensor = together[name]
    return value * num_steps if plan.layouts[name] == SHARED else value


def _nothing(step: StepGraph, state: list[torch.Tensor]) -> Result:
    """The result of no steps, or of steps without rows: the state as it was, sums of zero."""

    def zeros(name: str) -> torch.Tensor:
        value = step.by_name[name]
        sizes = [0 if isinstance(size, Rows) else size for size in value.shape or ()]
        return state[0].new_zeros(sizes, dtype=value.dtype)

    return Result([*map(zeros, step.outputs)], state, [*map(zeros, step.sums)])
