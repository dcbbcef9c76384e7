"""The passes of a program over packed rows: what the backward pass reads, and checkpoints.

In go a program and tensors, out come results or gradients. Where checkpoints are asked for, the
forward pass keeps the states of some steps alone, and the backward pass makes again what it reads,
some steps at a time, the last ones first (Chen et al., "Training deep nets with sublinear memory
cost", 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Engine
from rondo.compiler.graph import StepGraph, sizes_at
from rondo.compiler.program import Program
from rondo.compiler.reference import Chunk, Previous, Resets, Result, Steps
from rondo.compiler.several_loops import SeveralLoops


def resets_of(flags: Tensor | None, to: Sequence[Tensor], *, divert: bool = False) -> Resets | None:
    """Where sequences begin anew, or None where nothing says that any does."""
    return None if flags is None else Resets(flags, to, divert)


def empty_like_values(step: StepGraph, names: Sequence[str], x: Tensor) -> list[Tensor]:
    """Uninitialised tensors like the named values, with as many rows as the packed x."""
    values = [step.by_name[name] for name in names]
    return [x.new_empty(sizes_at(value.shape, x.shape[0]), dtype=value.dtype) for value in values]


def owned(results: list[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """The results, copied where two share memory or one shares it with what was given."""
    taken = {tensor.untyped_storage().data_ptr() for tensor in given}
    kept = []
    for result in results:
        pointer = result.untyped_storage().data_ptr()
        kept.append(result.clone() if pointer in taken else result)
        taken.add(pointer)
    return kept


def backward_inputs(
    program: Program,
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    resets: Tensor | None,
    reverse: bool,
    *,
    reset_to: Sequence[Tensor] | None = None,
) -> list[Tensor | Previous]:
    """What the backward graph reads of each step."""
    assert program.gradient is not None
    forward = program.forward.step
    by_name = dict(zip(forward.outputs, kept, strict=True))

    def read(kind: str, which: str | int) -> Tensor | Previous:
        if kind == "input":
            return x
        if kind == "gradient":
            return grad_outputs[int(which)]
        if kind == "saved":
            return by_name[str(which)]
        index = int(which)
        next_states = by_name[forward.next_state[index]]
        again = None if reset_to is None else reset_to[index]
        initial = state[index].to(next_states.dtype)
        return Previous(next_states, initial, resets, reverse, again)

    return [read(*source) for source in program.gradient.reads]


@dataclass(frozen=True)
class Segments:
    """A recurrence some steps at a time, in the order of running, from checkpoint to checkpoint."""

    program: Program
    parameters: Sequence[Tensor]
    x: Tensor
    state: Sequence[Tensor]
    resets: Tensor | None
    segments: Sequence[Chunk]

    def forward(self, num_segments: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The state at the end, the outputs, and each state before every segment.

        Segments without rows, of steps that no sequence reaches, have no state: zeros.
        """
        step, now = self.program.forward.step, carried(self.program.run_forward, self.state)
        outputs = empty_like_values(step, self.program.outputs, self.x)
        checkpoints = [value.new_zeros(num_segments, *value.shape) for value in now]
        for number, segment in enumerate(self.segments):
            for kept, value in zip(checkpoints, now, strict=True):
                kept[number] = value
            now = self._forward(segment, now, outputs)
        last = [new.to(old.dtype) for new, old in zip(now, self.state, strict=True)]
        return owned(last, (*self.parameters, self.x, *self.state)), outputs, checkpoints

    def backward(
        self,
        checkpoints: Sequence[Tensor],
        grad_state: Sequence[Tensor],
        grad_outputs: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The gradients of `_recurrence_backward`, from the last segment to the first."""
        step, now = self.program.backward.step, carried(self.program.run_backward, grad_state)
        to_initial = [torch.zeros_like(gradient) for gradient in now]
        outputs = empty_like_values(step, step.outputs, self.x)
        sums = [  # of at least float32, so that what is added up is not rounded on the way
            total.to(torch.promote_types(total.dtype, torch.float32)).zero_()
            for total in empty_like_values(step, step.sums, self.x)
        ]
        for number, segment in reversed([*enumerate(self.segments)]):
            start = [kept[number] for kept in checkpoints]
            rows = [segment.rows(whole) for whole in outputs]
            result = self._backward(segment, start, now, grad_outputs, to_initial, rows)
            _copy_into(rows, result.outputs)
            for total, part in zip(sums, result.sums, strict=True):
                total += part
            now = result.state
        initial = [
            a.to(given.dtype) + b.to(given.dtype)
            for a, b, given in zip(now, to_initial, grad_state, strict=True)
        ]
        dtypes = [step.by_name[name].dtype for name in step.sums]
        totals = [total.to(dtype) for total, dtype in zip(sums, dtypes, strict=True)]
        return initial, outputs, totals

    def _forward(
        self, segment: Chunk, start: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> list[Tensor]:
        """Run a segment into the outputs; the state at its end."""
        rows = [segment.rows(whole) for whole in outputs]
        result = self._run(segment, start, rows)
        _copy_into(rows, result.outputs)
        return result.state

    def _backward(
        self,
        segment: Chunk,
        start: Sequence[Tensor],
        grad_state: Sequence[Tensor],
        grad_outputs: Sequence[Tensor],
        to_initial: Sequence[Tensor],
        into: Sequence[Tensor],
    ) -> Result:
        """The backward pass over a segment, which is run forward once more."""
        steps, flags = segment.steps, self._flags(segment)
        inputs = backward_inputs(
            self.program,
            segment.rows(self.x),
            start,
            self._run(segment, start).outputs,
            [segment.rows(gradient) for gradient in grad_outputs],
            flags,
            steps.reverse,
            reset_to=self.state,
        )
        divert = resets_of(flags, to_initial, divert=True)
        given = (self.parameters, inputs, grad_state, steps.backward(), divert)
        return _run_into(self.program.run_backward, into, segment.whole.num_rows, *given)

    def _run(self, segment: Chunk, start: Sequence[Tensor], into: Sequence[Tensor] = ()) -> Result:
        resets = resets_of(self._flags(segment), self.state)
        rows = segment.rows(self.x)
        given = (self.parameters, [rows], start, segment.steps, resets)
        return _run_into(self.program.run_forward, into, segment.whole.num_rows, *given)

    def _flags(self, segment: Chunk) -> Tensor | None:
        return None if self.resets is None else segment.rows(self.resets)


def _run_into(engine: Engine, into: Sequence[Tensor], whole_rows: int, *given: Any) -> Result:
    """Run an engine over a part of so many rows, giving it memory for outputs if it takes that."""
    if isinstance(engine, CompiledLoop):
        return engine(*given, into=into, whole_rows=whole_rows)
    if isinstance(engine, SeveralLoops):
        return engine(*given, whole_rows=whole_rows)
    return engine(*given)


def _copy_into(rows: Sequence[Tensor], parts: Sequence[Tensor]) -> None:
    """Set rows to the first outputs of a run, where they do not lie there already."""
    for to, part in zip(rows, parts, strict=False):
        if part.data_ptr() != to.data_ptr():
            to.copy_(part)


def carried(engine: Engine, state: Sequence[Tensor]) -> list[Tensor]:
    """A state as the engine carries it from step to step, so that no segment rounds it."""
    if isinstance(engine, CompiledLoop | SeveralLoops):
        return [value.to(engine.dtype) for value in state]
    return list(state)


class Given(NamedTuple):
    """What a recurrence is given.

    Args:
        parameters: The parameters, buffers and constants of the cell.
        x: The input of all steps (N, ...); of more rows than the steps have, the first are read.
        state: The initial state.
        batch_sizes: The number of rows of each step (T,), on the CPU.
        resets: (N,) bool, or None.
        reverse: Whether to run from the last step to the first.
        checkpoint_every: Of how many steps to keep the first state alone, or None.
    """

    parameters: Sequence[Tensor]
    x: Tensor
    state: Sequence[Tensor]
    batch_sizes: Tensor
    resets: Tensor | None
    reverse: bool
    checkpoint_every: int | None

    @property
    def steps(self) -> Steps:
        """The steps that have rows."""
        return Steps.of(self.batch_sizes, self.reverse)


def run_forward(program: Program, given: Given) -> list[Tensor]:
    """The state at the end, the outputs, then what is kept for the backward pass."""
    parameters, x, state, batch_sizes, resets, _, every = given
    steps, step = given.steps, program.forward.step
    rows = _first(x, steps.num_rows)
    if every is not None:
        run = Segments(program, parameters, rows, state, resets, steps.segments(every))
        last, outputs, checkpoints = run.forward(num_segments(batch_sizes, every))
        padded = _with_rows_of(x, steps.num_rows, step, program.outputs, outputs)
        return [*last, *padded, *checkpoints]
    result = program.run_forward(parameters, [rows], state, steps, resets_of(resets, state))
    outputs = _with_rows_of(x, steps.num_rows, step, step.outputs, result.outputs)
    read = () if _gives_new_memory(program.run_forward) else (*parameters, x, *state)
    return owned([*result.state, *outputs], read)


def run_backward(
    program: Program,
    given: Given,
    kept: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
) -> list[Tensor]:
    """Gradients of the initial state, of the wanted inputs, of the wanted parameters."""
    parameters, x, state, _, resets, reverse, every = given
    steps, step = given.steps, program.backward.step
    rows, *grad_rows = [_first(value, steps.num_rows) for value in (x, *grad_outputs)]
    if every is not None:
        run = Segments(program, parameters, rows, state, resets, steps.segments(every))
        initial, outputs, sums = run.backward(kept, grad_state, grad_rows)
        return [*initial, *_with_rows_of(x, steps.num_rows, step, step.outputs, outputs), *sums]
    if steps.num_rows != x.shape[0]:
        kept = _rows_of_steps(program.forward.step, kept, steps.num_rows)
    inputs = backward_inputs(program, rows, state, kept, grad_rows, resets, reverse)
    to_initial = [] if resets is None else [torch.zeros_like(g) for g in grad_state]
    divert = resets_of(resets, to_initial, divert=True)
    result = program.run_backward(parameters, inputs, grad_state, steps.backward(), divert)
    initial = result.state
    if resets is not None:
        initial = [a + b for a, b in zip(initial, to_initial, strict=True)]
    outputs = _with_rows_of(x, steps.num_rows, step, step.outputs, result.outputs)
    read: tuple[Tensor, ...] = ()
    if not _gives_new_memory(program.run_backward):
        read = (*parameters, x, *state, *kept, *grad_outputs, *grad_state)
    return owned([*initial, *outputs, *result.sums], read)


def _gives_new_memory(engine: Engine) -> bool:
    """Whether no result of an engine can share memory with what it reads."""
    return isinstance(engine, CompiledLoop | SeveralLoops) and not engine.copied


def num_segments(batch_sizes: Tensor, checkpoint_every: int) -> int:
    """How many segments of so many steps there are, steps without rows included."""
    return -(-batch_sizes.shape[0] // checkpoint_every)


def _with_rows_of(
    x: Tensor, num_rows: int, step: StepGraph, names: Sequence[str], outputs: list[Tensor]
) -> list[Tensor]:
    """The named values of a step, with zeros for the rows of x that no step has."""
    if num_rows == x.shape[0]:
        return outputs
    wanted = empty_like_values(step, names, x)
    return [
        output if output.shape == whole.shape else _copied_into(whole.zero_(), output)
        for output, whole in zip(outputs, wanted, strict=True)
    ]


def _copied_into(whole: Tensor, part: Tensor) -> Tensor:
    """A tensor whose first entries in every dimension are those of a smaller one."""
    whole[tuple(slice(size) for size in part.shape)] = part
    return whole


def _first(rows: Tensor, num_rows: int) -> Tensor:
    """The first rows of packed ones."""
    return rows if rows.shape[0] == num_rows else rows[:num_rows]


def _rows_of_steps(step: StepGraph, kept: Sequence[Tensor], num_rows: int) -> list[Tensor]:
    """The outputs of a step without rows that no step has."""
    shapes = [sizes_at(step.by_name[name].shape, num_rows) for name in step.outputs]
    return [
        value[tuple(slice(size) for size in shape)]
        for value, shape in zip(kept, shapes, strict=True)
    ]
