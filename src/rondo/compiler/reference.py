"""The reference engine: runs a plan with torch operations. Kernels must give what it gives.

In go a plan and the tensors, out come the values of all steps, the last state and the sums. The
rows of all steps lie packed, step after step: step t has `batch_sizes[t]` rows, never more than
the step before it, as in `torch.nn.utils.rnn.PackedSequence`. So a padded step is never computed,
whatever the padding holds, and a dense batch is the case in which all sizes are equal. The
backward graph runs over the same rows in the opposite order.

Every operation is an ordinary differentiable torch operation without effects in place, so torch
differentiates the engine to any order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from rondo.compiler.cached import cached_property
from rondo.compiler.graph import StepGraph, Value, sizes_at
from rondo.compiler.interpret import Environment, evaluate
from rondo.compiler.layouts import SHARED, Along
from rondo.compiler.lines import stack_level_of_user
from rondo.compiler.plan import Plan


class EngineWarning(UserWarning):
    """A faster engine was not used, and why."""


def warn(text: str) -> None:
    """Warn about an engine, pointing at the user's line."""
    warnings.warn(text, EngineWarning, stacklevel=stack_level_of_user())


@dataclass(frozen=True)
class Steps:
    """The steps of a packed batch, in the order in which they run.

    Args:
        batch_sizes: The number of rows of each step, never growing from step to step.
        reverse: Whether the steps run from the last to the first.
    """

    batch_sizes: tuple[int, ...]
    reverse: bool = False

    @classmethod
    def of(cls, batch_sizes: torch.Tensor, reverse: bool) -> Steps:
        """The steps that have rows."""
        sizes = batch_sizes.tolist()
        return cls(tuple(sizes if 0 not in sizes else filter(None, sizes)), reverse)

    @cached_property
    def num_rows(self) -> int:
        """The rows of all steps together."""
        return sum(self.batch_sizes)

    def backward(self) -> Steps:
        """The same steps in the opposite order."""
        return Steps(self.batch_sizes, not self.reverse)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (first row, number of rows) of each step, in the order in which they run."""
        spans, first = [], 0
        for size in self.batch_sizes:
            spans.append((first, size))
            first += size
        return iter(spans[::-1] if self.reverse else spans)

    def chunks(self, max_rows: int) -> list[Chunk]:
        """The steps in groups of at most so many rows, or of one step, in the order of running."""
        if self.num_rows <= max_rows:
            return [Chunk(self, 0, 0, self)]
        starts, num_rows = [0], 0
        for step, size in enumerate(self.batch_sizes):
            if num_rows and num_rows + size > max_rows:
                starts.append(step)
                num_rows = 0
            num_rows += size
        return self._cut(starts)

    def segments(self, num_steps: int) -> list[Chunk]:
        """The steps in groups of so many, the last perhaps of fewer, in the order of running."""
        return self._cut(list(range(0, len(self.batch_sizes), num_steps)))

    def _cut(self, starts: list[int]) -> list[Chunk]:
        """The steps in groups that begin with these, in the order of running."""
        ends = [*starts[1:], len(self.batch_sizes)]
        chunks, first_row = [], 0
        for start, end in zip(starts, ends, strict=False):
            chunks.append(
                Chunk(self, start, first_row, Steps(self.batch_sizes[start:end], self.reverse))
            )
            first_row += chunks[-1].steps.num_rows
        return chunks[::-1] if self.reverse else chunks


@dataclass(frozen=True)
class Chunk:
    """Some of the steps that follow each other.

    Args:
        whole: All steps.
        first_step: The number of the first of these steps.
        first_row: The number of its first row.
        steps: These steps.
    """

    whole: Steps
    first_step: int
    first_row: int
    steps: Steps

    def rows(self, packed: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """The rows of these steps of a value of all steps."""
        return packed.narrow(dim, self.first_row, self.steps.num_rows)


@dataclass(frozen=True)
class Previous:
    """The state that each step begins with, as an input of a plan.

    Args:
        next_states: The state that each step ends with, packed.
        initial: The state before the first step (B, ...).
        resets: (N,) bool, or None: rows that begin anew.
        reverse: Whether the states were made from the last step to the first.
        reset_to: The state (B, ...) that these rows begin with; default `initial`.
    """

    next_states: torch.Tensor
    initial: torch.Tensor
    resets: torch.Tensor | None
    reverse: bool
    reset_to: torch.Tensor | None = None

    def rows(self, chunk: Chunk) -> torch.Tensor:
        """The rows of some steps."""
        pieces = [
            (self.next_states if source else self.initial).narrow(0, first, size)
            for source, first, size in self._spans(chunk)
        ]
        rows = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        if self.resets is None:
            return rows
        reset_to = self.initial if self.reset_to is None else self.reset_to
        starts = torch.cat([reset_to[:size] for size in chunk.steps.batch_sizes])
        return torch.where(column(chunk.rows(self.resets), 0, rows), starts, rows)

    def _spans(self, chunk: Chunk) -> list[tuple[bool, int, int]]:
        """Where the rows lie, joined where they follow each other: (in next_states, row, size)."""
        sizes = chunk.whole.batch_sizes
        spans: list[tuple[bool, int, int]] = []

        def add(source: bool, first: int, size: int) -> None:
            if spans and spans[-1][0] == source and spans[-1][1] + spans[-1][2] == first and source:
                spans[-1] = (source, spans[-1][1], spans[-1][2] + size)
            elif size:
                spans.append((source, first, size))

        first, last = chunk.first_row, chunk.first_step + len(chunk.steps.batch_sizes)
        for step in range(chunk.first_step, last):
            size = sizes[step]
            if self.reverse:
                known = sizes[step + 1] if step + 1 < len(sizes) else 0
                add(True, first + size, known)
                add(False, known, size - known)
            elif step == 0:
                add(False, 0, size)
            else:
                add(True, first - sizes[step - 1], size)
            first += size
        return spans


@dataclass(frozen=True)
class Resets:
    """Rows of some steps at which sequences begin anew.

    Args:
        flags: (N,) bool, packed: whether the row begins anew at its step.
        to: One tensor (B, ...) for each state. Forward it is the initial state, which such rows
            get before the step. Backward it gathers, after the step, the gradient of the state of
            such rows, which belongs to the initial state.
        divert: Whether this is the backward pass.
    """

    flags: torch.Tensor
    to: Sequence[torch.Tensor]
    divert: bool = False

    def before_step(self, first: int, state: list[torch.Tensor]) -> list[torch.Tensor]:
        """The state with which the rows from `first` on begin their step."""
        if self.divert:
            return state
        return [
            torch.where(column(self.flags, first, now), start[: now.shape[0]], now)
            for start, now in zip(self.to, state, strict=True)
        ]

    def after_step(self, first: int, state: list[torch.Tensor]) -> list[torch.Tensor]:
        """What is carried on after the step of the rows from `first` on."""
        if not self.divert:
            return state
        kept = []
        for total, now in zip(self.to, state, strict=True):
            reset = column(self.flags, first, now)
            total[: now.shape[0]] += torch.where(reset, now, 0)
            kept.append(torch.where(reset, 0, now))
        return kept


def column(flags: torch.Tensor, first: int, like: torch.Tensor) -> torch.Tensor:
    """The flags of some packed rows, shaped to go with values of these rows."""
    return flags.narrow(0, first, like.shape[0]).view(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True)
class Result:
    """What a plan gives: packed values of all steps, the state at the end, sums over the steps."""

    outputs: list[torch.Tensor]
    state: list[torch.Tensor]
    sums: list[torch.Tensor]


Loop = Callable[
    [Plan, Environment, Environment, list[torch.Tensor], Steps, Resets | None],
    tuple[Environment, Environment, list[torch.Tensor]],
]
"""What runs a loop; see `step_by_step`."""


def run(
    plan: Plan,
    parameters: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor | Previous],
    state: Sequence[torch.Tensor],
    steps: Steps,
    resets: Resets | None = None,
    loop: Loop | None = None,
) -> Result:
    """Run a plan over all steps.

    Args:
        plan: What to run where.
        parameters: One tensor for each parameter of the graph.
        inputs: For each input of the graph the rows of all steps, packed, or where to find them.
        state: One tensor (B, ...) for each state; rows beyond the size of a step wait or rest.
        steps: Where the rows of each step lie.
        resets: Where sequences begin anew, or None.
        loop: What runs the loop; default step by step.

    Returns:
        The outputs of the graph, packed; the state at the end; the sums.
    """
    step = plan.step
    if steps.num_rows == 0:
        return nothing(step, list(state), (*state, *parameters, *inputs)[0])
    shared = named(step.parameters, parameters)
    evaluate(plan.constants, shared, 0)
    (everything,) = steps.chunks(steps.num_rows)
    given = [item.rows(everything) if isinstance(item, Previous) else item for item in inputs]
    together = {**shared, **named(step.inputs, given)}
    evaluate(plan.before, together, steps.num_rows)
    run_loop = step_by_step if loop is None else loop
    collected, summed, state = run_loop(plan, shared, together, list(state), steps, resets)
    together |= collected
    evaluate(plan.after, together, steps.num_rows)
    outputs = [together[name] for name in step.outputs]
    sums = [
        sum_over_steps(plan, name, together, summed, len(steps.batch_sizes)) for name in step.sums
    ]
    return Result(outputs, state, sums)


def named(values: Sequence[Value], tensors: Sequence[torch.Tensor]) -> Environment:
    """The tensors by the names of the values that they are."""
    return {value.name: tensor for value, tensor in zip(values, tensors, strict=True)}


def step_by_step(
    plan: Plan,
    shared: Environment,
    together: Environment,
    state: list[torch.Tensor],
    steps: Steps,
    resets: Resets | None,
) -> tuple[Environment, Environment, list[torch.Tensor]]:
    """Run the loop; return the packed values that others read, and what is summed in it."""
    names = [value.name for value in plan.step.state]
    sliced, whole = _read_by_loop(plan)
    shared = {**shared, **{name: together[name] for name in whole}}
    collect: dict[str, list[torch.Tensor]] = {name: [] for name in read_outside_loop(plan)}
    summed: Environment = {}
    for first, size in steps:
        now = [value[:size] for value in state]
        if resets is not None:
            now = resets.before_step(first, now)
        values = {**shared, **dict(zip(names, now, strict=True))}
        for name in sliced:
            values[name] = together[name].narrow(_dim(plan, name), first, size)
        evaluate(plan.loop, values, size)
        new = [values[name] for name in plan.step.next_state]
        if resets is not None:
            new = resets.after_step(first, new)
        state = [replace_rows(old, rows, size) for old, rows in zip(state, new, strict=True)]
        for name, pieces in collect.items():
            pieces.append(values[name])
        for name in _summed_in_loop(plan):
            summed[name] = summed[name] + values[name] if name in summed else values[name]
    packed = {
        name: torch.cat(pieces[::-1] if steps.reverse else pieces, _dim(plan, name))
        for name, pieces in collect.items()
    }
    return packed, summed, state


def replace_rows(old: torch.Tensor, rows: torch.Tensor, size: int) -> torch.Tensor:
    """A state of B rows of which the first ones are new."""
    return rows if size == old.shape[0] else torch.cat([rows, old[size:]])


def _dim(plan: Plan, name: str) -> int:
    layout = plan.layouts[name]
    return layout.dim if isinstance(layout, Along) else 0


def _read_by_loop(plan: Plan) -> tuple[list[str], list[str]]:
    """The values known before the loop that each step needs its rows of, and those without rows."""
    reads = {name for node in plan.loop for name in node.reads} | set(plan.step.next_state)
    known = [n for n in plan.step.by_name if n in reads and plan.stage_of(n) == "before"]
    with_rows = [name for name in known if plan.layouts[name] != SHARED]
    return with_rows, [name for name in known if name not in with_rows]


def read_outside_loop(plan: Plan) -> list[str]:
    """The values of the loop that must be kept for all steps."""
    reads = {name for node in plan.after for name in node.reads} | set(plan.step.outputs)
    return [name for name in plan.step.by_name if name in reads and plan.stage_of(name) == "loop"]


def _summed_in_loop(plan: Plan) -> list[str]:
    """The sums that the loop adds up; one that is the gradient of two parameters is there once."""
    sums = dict.fromkeys(plan.step.sums)
    return [name for name in sums if plan.stage_of(name) == "loop"]


def sum_over_steps(
    plan: Plan, name: str, together: Environment, summed: Environment, num_steps: int
) -> torch.Tensor:
    """A sum over the steps: gathered in the loop, one sum over all rows, or T equal terms."""
    if name in summed:
        return summed[name]
    value: torch.Tensor = together[name]
    return value * num_steps if plan.layouts[name] == SHARED else value


def nothing(
    step: StepGraph, state: list[torch.Tensor], like: torch.Tensor | Previous | None = None
) -> Result:
    """The result of no steps, or of steps without rows: the state as it was, sums of zero."""
    given = state[0] if like is None else like
    device = (given.initial if isinstance(given, Previous) else given).device

    def zeros(name: str) -> torch.Tensor:
        value = step.by_name[name]
        return torch.zeros(sizes_at(value.shape, 0), dtype=value.dtype, device=device)

    return Result([*map(zeros, step.outputs)], state, [*map(zeros, step.sums)])
