"""The recurrence as a torch operator: `torch.ops.rondo.recurrence`.

In go a program and tensors, out come the packed outputs of all steps and the last state, with a
gradient that the planned backward graph computes. Programs are kept by a key that says all they
do, so that the operator's arguments are tensors, numbers and a string, as `torch.compile` and
`torch.export` need them.

Between the passes lie all values that the backward pass reads; or, where checkpoints are asked for,
the states of some steps alone, from which the backward pass makes these values again, some steps at
a time, the last ones first (Chen et al., "Training deep nets with sublinear memory cost", 2016).

The planned backward graph is for the first derivative. A second derivative, `vmap`, forward-mode
AD and cells whose rows mix take the reference engine, whose operations torch differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Engine, Reference
from rondo.compiler.graph import StepGraph, sizes_at
from rondo.compiler.program import Program
from rondo.compiler.reference import Chunk, Previous, Resets, Result, Steps

PROGRAMS: dict[str, Program] = {}  # by key; a key says everything that its program does


def recurrence(
    program: Program,
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    batch_sizes: Tensor,
    *,
    resets: Tensor | None = None,
    reverse: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Run a compiled cell over packed rows.

    Args:
        program: The compiled cell.
        parameters: The cell's parameters and buffers.
        x: The input of all steps (N, ...), step after step.
        state: The initial state, one tensor (B, ...) for each state.
        batch_sizes: The number of rows of each step (T,), on the CPU, never growing.
        resets: (N,) bool; where true, the state is the initial state again before the step.
        reverse: Whether to run from the last step to the first.
        checkpoint_every: Keep the state of every so many steps, rather than all that the backward
            pass reads. Of no effect where torch differentiates the reference engine.

    Returns:
        The output of all steps (N, ...) and the state at the end.
    """
    tensors = [*parameters, *program.captured]
    if program.gradient is None or _is_transformed():
        steps = Steps(tuple(batch_sizes.tolist()), reverse)
        engine = _reference(program) if _is_transformed() else program.run
        result = engine(tensors, [x], state, steps, _resets(resets, state))
        return result.outputs[0], result.state
    PROGRAMS.setdefault(program.key, program)
    results = torch.ops.rondo.recurrence(
        tensors, x, list(state), batch_sizes, resets, reverse, program.key, checkpoint_every
    )
    return results[len(state)], results[: len(state)]


def _is_transformed() -> bool:
    """Whether a function transform (`vmap`, `grad`, ...) or forward-mode AD looks on."""
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return forward_mode or torch._C._are_functorch_transforms_active()


def _reference(program: Program) -> Engine:
    """The engine whose operations torch differentiates and transforms."""
    return Reference(program.plan)


def _resets(flags: Tensor | None, to: Sequence[Tensor], *, divert: bool = False) -> Resets | None:
    return None if flags is None else Resets(flags, to, divert)


@torch.library.custom_op("rondo::recurrence", mutates_args=())
def _recurrence(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    """The state at the end, the output, then what is kept for the backward pass.

    Kept are the other outputs of the program's forward graph, or the checkpoints: each state
    before every segment (segments, B, ...), in the order of running.
    """
    steps = Steps(tuple(batch_sizes.tolist()), reverse)
    if checkpoint_every is not None:
        segments = steps.segments(checkpoint_every)
        return _Segments(PROGRAMS[program], parameters, x, state, resets, segments).forward()
    result = PROGRAMS[program].run_forward(parameters, [x], state, steps, _resets(resets, state))
    return _own([*result.state, *result.outputs], (*parameters, x, *state))


@_recurrence.register_fake
def _(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    step = PROGRAMS[program].forward.step
    results = [*map(torch.empty_like, state), *_empty(step, step.outputs, x)]
    if checkpoint_every is None:
        return results
    num_segments = -(-batch_sizes.shape[0] // checkpoint_every)
    carried = _carried(PROGRAMS[program].run_forward, state)
    checkpoints = [value.new_empty(num_segments, *value.shape) for value in carried]
    return [*results[: len(state) + 1], *checkpoints]


def _empty(step: StepGraph, names: Sequence[str], x: Tensor) -> list[Tensor]:
    """Uninitialised tensors like the named values, with as many rows as the packed x."""
    values = [step.by_name[name] for name in names]
    return [x.new_empty(sizes_at(value.shape, x.shape[0]), dtype=value.dtype) for value in values]


def _own(results: list[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """The results, copied where two share memory or one shares it with what was given."""
    taken = {tensor.untyped_storage().data_ptr() for tensor in given}
    owned = []
    for result in results:
        pointer = result.untyped_storage().data_ptr()
        owned.append(result.clone() if pointer in taken else result)
        taken.add(pointer)
    return owned


@torch.library.custom_op("rondo::recurrence_backward", mutates_args=())
def _recurrence_backward(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    grad_output: Tensor,
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    """Gradients of the initial state, of the wanted inputs, of the wanted parameters."""
    steps = Steps(tuple(batch_sizes.tolist()), reverse)
    if checkpoint_every is not None:
        segments = steps.segments(checkpoint_every)
        run = _Segments(PROGRAMS[program], parameters, x, state, resets, segments)
        return run.backward(kept, grad_state, grad_output)
    inputs = _backward_inputs(PROGRAMS[program], x, state, kept, grad_output, resets, reverse)
    to_initial = [torch.zeros_like(gradient) for gradient in grad_state]
    result = PROGRAMS[program].run_backward(
        parameters, inputs, grad_state, steps.backward(), _resets(resets, to_initial, divert=True)
    )
    initial = [a + b for a, b in zip(result.state, to_initial, strict=True)]
    given = (*parameters, x, *state, *kept, grad_output, *grad_state)
    return _own([*initial, *result.outputs, *result.sums], given)


def _backward_inputs(
    program: Program,
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_output: Tensor,
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
            return grad_output
        if kind == "saved":
            return by_name[str(which)]
        index = int(which)
        next_states = by_name[forward.next_state[index]]
        again = None if reset_to is None else reset_to[index]
        initial = state[index].to(next_states.dtype)
        return Previous(next_states, initial, resets, reverse, again)

    return [read(*source) for source in program.gradient.reads]


@_recurrence_backward.register_fake
def _(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    grad_output: Tensor,
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    step = PROGRAMS[program].backward.step
    return [*map(torch.empty_like, grad_state), *_empty(step, (*step.outputs, *step.sums), x)]


@dataclass(frozen=True)
class _Segments:
    """A recurrence some steps at a time, in the order of running, from checkpoint to checkpoint."""

    program: Program
    parameters: Sequence[Tensor]
    x: Tensor
    state: Sequence[Tensor]
    resets: Tensor | None
    segments: Sequence[Chunk]

    def forward(self) -> list[Tensor]:
        """The state at the end, the output, and each state before every segment."""
        step, now = self.program.forward.step, _carried(self.program.run_forward, self.state)
        (y,) = _empty(step, step.outputs[:1], self.x)
        checkpoints = [value.new_empty(len(self.segments), *value.shape) for value in now]
        for number, segment in enumerate(self.segments):
            for kept, value in zip(checkpoints, now, strict=True):
                kept[number] = value
            now = self._forward(segment, now, y)
        last = [new.to(old.dtype) for new, old in zip(now, self.state, strict=True)]
        return [*_own(last, (*self.parameters, self.x, *self.state)), y, *checkpoints]

    def backward(
        self, checkpoints: Sequence[Tensor], grad_state: Sequence[Tensor], grad_output: Tensor
    ) -> list[Tensor]:
        """The gradients of `_recurrence_backward`, from the last segment to the first."""
        step, now = self.program.backward.step, _carried(self.program.run_backward, grad_state)
        to_initial = [torch.zeros_like(gradient) for gradient in now]
        outputs = _empty(step, step.outputs, self.x)
        sums = [  # of at least float32, so that what is added up is not rounded on the way
            total.to(torch.promote_types(total.dtype, torch.float32)).zero_()
            for total in _empty(step, step.sums, self.x)
        ]
        for number, segment in reversed([*enumerate(self.segments)]):
            start = [kept[number] for kept in checkpoints]
            result = self._backward(segment, start, now, grad_output, to_initial)
            for whole, part in zip(outputs, result.outputs, strict=True):
                segment.rows(whole).copy_(part)
            for total, part in zip(sums, result.sums, strict=True):
                total += part
            now = result.state
        initial = [
            a.to(given.dtype) + b.to(given.dtype)
            for a, b, given in zip(now, to_initial, grad_state, strict=True)
        ]
        dtypes = [step.by_name[name].dtype for name in step.sums]
        totals = [total.to(dtype) for total, dtype in zip(sums, dtypes, strict=True)]
        return [*initial, *outputs, *totals]

    def _forward(self, segment: Chunk, start: Sequence[Tensor], y: Tensor) -> list[Tensor]:
        """Run a segment into y; the state at its end."""
        result = self._run(segment, start)
        segment.rows(y).copy_(result.outputs[0])
        return result.state

    def _backward(
        self,
        segment: Chunk,
        start: Sequence[Tensor],
        grad_state: Sequence[Tensor],
        grad_output: Tensor,
        to_initial: Sequence[Tensor],
    ) -> Result:
        """The backward pass over a segment, which is run forward once more."""
        steps, flags = segment.steps, self._flags(segment)
        inputs = _backward_inputs(
            self.program,
            segment.rows(self.x),
            start,
            self._run(segment, start).outputs,
            segment.rows(grad_output),
            flags,
            steps.reverse,
            reset_to=self.state,
        )
        divert = _resets(flags, to_initial, divert=True)
        run = self.program.run_backward
        return run(self.parameters, inputs, grad_state, steps.backward(), divert)

    def _run(self, segment: Chunk, start: Sequence[Tensor]) -> Result:
        resets = _resets(self._flags(segment), self.state)
        rows = segment.rows(self.x)
        return self.program.run_forward(self.parameters, [rows], start, segment.steps, resets)

    def _flags(self, segment: Chunk) -> Tensor | None:
        return None if self.resets is None else segment.rows(self.resets)


def _carried(engine: Engine, state: Sequence[Tensor]) -> list[Tensor]:
    """A state as the engine carries it from step to step, so that no segment rounds it."""
    if isinstance(engine, CompiledLoop):
        return [value.to(engine.kernel.dtype) for value in state]
    return list(state)


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    parameters, x, state, batch_sizes, resets, reverse, program, checkpoint_every = inputs
    ctx.program, ctx.reverse, ctx.checkpoint_every = PROGRAMS[program], reverse, checkpoint_every
    ctx.sizes = len(parameters), len(state)
    kept = output[len(state) + (checkpoint_every is not None) :]  # checkpoints need no output
    ctx.save_for_backward(*parameters, x, *state, batch_sizes, resets, *kept)
    ctx.set_materialize_grads(False)  # no zeros as large as everything that was kept


def _backward(ctx, gradients):  # type: ignore[no-untyped-def]
    """The gradients by the planned backward graph, or by torch's autograd for higher orders."""
    num_parameters, num_states = ctx.sizes
    saved = list(ctx.saved_tensors)
    parameters, saved = saved[:num_parameters], saved[num_parameters:]
    x, state, saved = saved[0], saved[1 : 1 + num_states], saved[1 + num_states :]
    batch_sizes, resets, kept = saved[0], saved[1], saved[2:]
    cotangents = _cotangents(ctx.program, gradients, x, state)
    given = (parameters, x, state, batch_sizes, resets)
    if torch.is_grad_enabled():
        found = _differentiable_gradients(ctx, given, cotangents)
    else:
        found = _planned_gradients(ctx, given, kept, cotangents)
    return (*found, None, None, None, None, None)


def _cotangents(
    program: Program, gradients: Sequence[Tensor | None], x: Tensor, state: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of the state at the end and of the output; zeros where nothing reads them."""
    *of_state, of_output = gradients[: len(state) + 1]
    step = program.forward.step
    return [
        *(torch.zeros_like(s) if g is None else g for s, g in zip(state, of_state, strict=True)),
        _empty(step, step.outputs[:1], x)[0].zero_() if of_output is None else of_output,
    ]


def _planned_gradients(ctx, given, kept, cotangents):  # type: ignore[no-untyped-def]
    parameters, x, state, batch_sizes, resets = given
    program: Program = ctx.program
    results = torch.ops.rondo.recurrence_backward(
        parameters,
        x,
        state,
        kept,
        list(cotangents[:-1]),
        cotangents[-1],
        batch_sizes,
        resets,
        ctx.reverse,
        program.key,
        ctx.checkpoint_every,
    )
    of_state, rest = results[: len(state)], results[len(state) :]
    of_x = rest.pop(0) if program.input_wanted else None
    wanted = iter(rest)
    of_own = [next(wanted) if keep else None for keep in program.wanted]
    return of_own + [None] * len(program.captured), of_x, of_state


def _differentiable_gradients(ctx, given, cotangents):  # type: ignore[no-untyped-def]
    """Gradients that can be differentiated again: autograd through the reference engine."""
    parameters, x, state, batch_sizes, resets = given
    program: Program = ctx.program
    steps = Steps(tuple(batch_sizes.tolist()), ctx.reverse)
    result = _reference(program)(parameters, [x], state, steps, _resets(resets, state))
    leaves = [*parameters, x, *state]
    active = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(
        torch.autograd.grad(
            [*result.state, result.outputs[0]],
            active,
            list(cotangents),
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
    )
    gradients = [next(found) if leaf.requires_grad else None for leaf in leaves]
    num = len(parameters)
    return gradients[:num], gradients[num], gradients[num + 1 :]


_recurrence.register_autograd(_backward, setup_context=_setup_context)
