"""The recurrence as a torch operator: `torch.ops.rondo.recurrence`.

In go a program and tensors, out come the packed outputs of all steps and the last state, with a
gradient that the planned backward graph computes. Programs are kept by a key that says all they
do, so that the operator's arguments are tensors, numbers and a string, as `torch.compile` and
`torch.export` need them.

Between the passes lie all values that the backward pass reads, or checkpoints; see `passes.py`.

The planned backward graph is for the first derivative. A second derivative, and several gradients
at once, are torch's own of the reference engine, or of the plain loop over the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rondo.compiler.engines import Reference
from rondo.compiler.passes import (
    Given,
    carried,
    empty_like_values,
    num_segments,
    resets_of,
    run_backward,
    run_forward,
)
from rondo.compiler.program import Program
from rondo.compiler.reference import Steps
from rondo.compiler.registry import Kept, Registry

OWN_MODES: ContextVar[int] = ContextVar("rondo_own_modes", default=0)
"""How many of the modes that see every operator are Rondo's own, and need no graph."""

BATCHED: Any = torch._C._parse_dispatch_key("Batched")
"""What marks tensors of the older `vmap`, by which torch takes several gradients at once."""

PROGRAMS = Registry()
"""All programs that somebody holds."""

KEPT = Kept()
"""The programs that stand in graphs of torch's."""

Again = Callable[[Given], tuple[list[Tensor], list[Tensor]]]
"""Runs a recurrence once more by operations that torch can differentiate as often as it likes;
returns the outputs of the program, packed, and the state at the end."""


class Registered(NamedTuple):
    """What a graph of torch's knows of a program: constants, and tensors that enter the graph.

    Args:
        key: Its key in `PROGRAMS`.
        captured: Its constants; they follow the cell's own tensors.
        places: See `Program.places`.
    """

    key: str
    captured: tuple[Tensor, ...]
    places: tuple[int, ...]


def register(program: Program) -> Registered:
    """Make a program known to the operator, for a graph that outlives its layer."""
    PROGRAMS.setdefault(program.key, program)
    KEPT.add(program)
    return Registered(program.key, program.captured, program.places)


def find(key: str) -> Program:
    """The program of a key.

    Raises:
        RuntimeError: Where this process has not compiled it, or its layer is gone.
    """
    try:
        return PROGRAMS[key]
    except KeyError:
        raise RuntimeError(
            f"no cell was compiled to the program {key} in this process; a saved graph holds the "
            "name of a program, not the program: call a layer with the same cell once, on the same "
            "kind of input (dtype, device, sizes, what needs a gradient), before the graph runs, "
            "and keep the layer"
        ) from None


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
    again: Again | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a compiled cell over packed rows.

    Args:
        program: The compiled cell.
        parameters: The cell's tensors.
        x: The input of all steps (N, ...), step after step.
        state: The initial state, one tensor (B, ...) for each state.
        batch_sizes: The number of rows of each step (T,), on the CPU, never growing.
        resets: (N,) bool; where true, the state is the initial state again before the step.
        reverse: Whether to run from the last step to the first.
        checkpoint_every: Keep the state of every so many steps, rather than all that the backward
            pass reads.
        again: Runs the cell so that torch can differentiate it as often as it likes; default the
            reference engine.

    Returns:
        The output of all steps (N, ...), then all states where the program gives them, and the
        state at the end.
    """
    PROGRAMS.setdefault(program.key, program)  # a saved graph may name it
    tensors = [*parameters, *program.captured]
    observed = is_observed(x)
    asks_more = observed or resets is not None or checkpoint_every is not None
    if not asks_more and program.library is not None:
        steps = Steps.of(batch_sizes, reverse)
        if steps.num_rows and program.library.covers(steps):
            return _by_library(program, tensors, x, state, batch_sizes, reverse)
    if observed:
        registered = register(program)
        return run_registered(
            registered, parameters, x, state, batch_sizes, resets, reverse, checkpoint_every
        )
    if program.gradient is None:
        given = (tensors, [x], state, Steps.of(batch_sizes, reverse), resets_of(resets, state))
        result = program.run(*given)
        return [result.outputs[place] for place in program.places], result.state
    again = again or _by_reference(program)
    how = program, batch_sizes, resets, reverse, checkpoint_every, again, len(state)
    results = _Recurrence.apply(*how, *tensors, x, *state)
    outputs = results[len(state) :]
    return [outputs[place] for place in program.places], [*results[: len(state)]]


def run_registered(
    program: Registered,
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    checkpoint_every: int | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a program by the operator, all that a graph of torch's sees; see `recurrence`."""
    tensors = [*parameters, *program.captured]
    results = torch.ops.rondo.recurrence(
        tensors, x, list(state), batch_sizes, resets, reverse, program.key, checkpoint_every
    )
    outputs = results[len(state) :]
    return [outputs[place] for place in program.places], results[: len(state)]


def is_transformed() -> bool:
    """Whether a function transform (`vmap`, `grad`, ...) or forward-mode AD looks on."""
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    return forward_mode or torch._C._are_functorch_transforms_active()


def is_observed(x: Tensor) -> bool:
    """Whether a graph is made of what is run, or a mode or a kind of tensor sees every operator."""
    return (
        torch.compiler.is_compiling()
        or type(x) not in (Tensor, torch.nn.Parameter)
        or torch._C._len_torch_dispatch_stack() > OWN_MODES.get()
    )


def _by_reference(program: Program) -> Again:
    """The reference engine, whose operations torch differentiates and transforms."""

    def again(given: Given) -> tuple[list[Tensor], list[Tensor]]:
        if program.own_gradient is not None:
            raise RuntimeError(
                "a graph of torch's has the first derivative of this cell alone, since its step "
                f"{program.own_gradient}: differentiate the layer outside of torch.compile and "
                "torch.export"
            )
        resets = resets_of(given.resets, given.state)
        run = Reference(program.plan)
        result = run(given.parameters, [given.x], given.state, given.steps, resets)
        return result.outputs, result.state

    return again


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
    """The state at the end, the outputs, then what is kept for the backward pass.

    Kept are the other outputs of the program's forward graph, or the checkpoints: each state
    before every segment (segments, B, ...), in the order of running. x may have more rows than the
    steps: they are not read, and give zeros.
    """
    given = Given(parameters, x, state, batch_sizes, resets, reverse, checkpoint_every)
    return run_forward(find(program), given)


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
    found = find(program)
    step = found.forward.step
    if checkpoint_every is None:
        return [*map(torch.empty_like, state), *empty_like_values(step, step.outputs, x)]
    num_kept = num_segments(batch_sizes, checkpoint_every)
    checkpoints = [
        value.new_empty(num_kept, *value.shape) for value in carried(found.run_forward, state)
    ]
    outputs = empty_like_values(step, found.outputs, x)
    return [*map(torch.empty_like, state), *outputs, *checkpoints]


@torch.library.custom_op("rondo::recurrence_backward", mutates_args=())
def _recurrence_backward(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    """Gradients of the initial state, of the wanted inputs, of the wanted parameters."""
    given = Given(parameters, x, state, batch_sizes, resets, reverse, checkpoint_every)
    return run_backward(find(program), given, kept, grad_state, grad_outputs)


@_recurrence_backward.register_fake
def _(
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    kept: Sequence[Tensor],
    grad_state: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    batch_sizes: Tensor,
    resets: Tensor | None,
    reverse: bool,
    program: str,
    checkpoint_every: int | None,
) -> list[Tensor]:
    step = find(program).backward.step
    return [
        *map(torch.empty_like, grad_state),
        *empty_like_values(step, (*step.outputs, *step.sums), x),
    ]


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    parameters, x, state, batch_sizes, resets, reverse, key, checkpoint_every = inputs
    given = Given(parameters, x, state, batch_sizes, resets, reverse, checkpoint_every)
    program = find(key)
    _keep(ctx, program, given, output, _by_reference(program))


def _keep(  # type: ignore[no-untyped-def]
    ctx, program: Program, given: Given, results: Sequence[Tensor], again: Again
) -> None:
    """Keep what the backward pass reads."""
    ctx.program, ctx.sizes = program, (len(given.parameters), len(given.state))
    ctx.how, ctx.again = (given.reverse, given.checkpoint_every), again
    num_outputs = 0 if given.checkpoint_every is None else len(program.outputs)
    kept = results[len(given.state) + num_outputs :]
    ctx.save_for_backward(
        *given.parameters, given.x, *given.state, given.batch_sizes, given.resets, *kept
    )
    ctx.set_materialize_grads(False)  # no zeros as large as everything that was kept


def _backward_of_operator(ctx, gradients):  # type: ignore[no-untyped-def]
    _check_wanted(ctx.program, *ctx.needs_input_grad[:2])
    return (*_backward(ctx, gradients), None, None, None, None, None)


def _backward(ctx, gradients):  # type: ignore[no-untyped-def]
    """The gradients by the planned backward graph, or by torch's autograd for higher orders."""
    num_parameters, num_states = ctx.sizes
    saved = list(ctx.saved_tensors)
    parameters, saved = saved[:num_parameters], saved[num_parameters:]
    x, state, saved = saved[0], saved[1 : 1 + num_states], saved[1 + num_states :]
    batch_sizes, resets, kept = saved[0], saved[1], saved[2:]
    cotangents = _cotangents(ctx.program, gradients, x, state)
    given = Given(parameters, x, state, batch_sizes, resets, *ctx.how)
    if torch.is_grad_enabled() or is_transformed() or any(map(is_batched, gradients)):
        return differentiable_gradients(ctx.again, given, cotangents)
    return _planned_gradients(ctx.program, given, kept, cotangents)


def is_batched(gradient: Tensor | None) -> bool:
    """Whether a gradient stands for several, as `is_grads_batched` has it."""
    return gradient is not None and torch._C._dispatch_keys(gradient).has(BATCHED)


def _cotangents(
    program: Program, gradients: Sequence[Tensor | None], x: Tensor, state: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of the state at the end and the outputs; zeros where nothing reads them."""
    of_state, of_outputs = gradients[: len(state)], gradients[len(state) :]
    found = [
        torch.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(state, of_state, strict=True)
    ]
    for name, gradient in zip(program.outputs, of_outputs, strict=False):
        if gradient is None:
            (value,) = empty_like_values(program.forward.step, [name], x)
            gradient = value.zero_()
        found.append(gradient)
    return found


def _check_wanted(program: Program, of_parameters: Sequence[bool], of_x: bool) -> None:
    """Fail where a graph of torch's is asked for a gradient that it was made without."""
    own = of_parameters[: len(program.asked)]
    pairs = zip((of_x, *own), (program.input_asked, *program.asked), strict=True)
    if program.gradient is None or any(needed and not given for needed, given in pairs):
        raise RuntimeError(
            "this graph was exported for inputs and parameters of which some needed no gradient, "
            "and now one is wanted; export it with gradients enabled and requires_grad set as it "
            "will be"
        )


def _planned_gradients(  # type: ignore[no-untyped-def]
    program: Program, given: Given, kept: Sequence[Tensor], cotangents: Sequence[Tensor]
):
    """The gradients of the cell's tensors, of x and of each state; None where there is none."""
    gradient, num_states = program.gradient, len(given.state)
    assert gradient is not None
    of_last = [cotangents[number] for number in gradient.states]
    gradients = kept, of_last, list(cotangents[num_states:])
    if is_observed(given.x):
        parameters, x, state, batch_sizes, resets, reverse, checkpoint_every = given
        how = batch_sizes, resets, reverse, program.key, checkpoint_every
        results = torch.ops.rondo.recurrence_backward(parameters, x, state, *gradients, *how)
    else:
        results = run_backward(program, given, *gradients)
    of_moving, rest = results[: len(of_last)], results[len(of_last) :]
    of_state: list[Tensor | None] = [None] * num_states
    for number, value in zip(gradient.states, of_moving, strict=True):
        of_state[number] = value
    of_x = rest.pop(0) if gradient.inputs else None
    wanted = iter(rest)
    return [next(wanted) if keep else None for keep in program.wanted], of_x, of_state


def differentiable_gradients(  # type: ignore[no-untyped-def]
    again: Again, given: Given, cotangents: Sequence[Tensor]
):
    """Gradients that can be differentiated again, or batched: autograd through another run."""
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        outputs, last = again(given)
    leaves = [*given.parameters, given.x, *given.state]
    active = [leaf for leaf in leaves if leaf.requires_grad]
    pairs = [
        (end, seed)
        for end, seed in zip((*last, *outputs), cotangents, strict=True)
        if end.requires_grad
    ]
    found = iter(
        torch.autograd.grad(
            [end for end, _ in pairs],
            active,
            [seed for _, seed in pairs],
            create_graph=further,
            allow_unused=True,
            materialize_grads=True,
        )
    )
    gradients = [next(found) if leaf.requires_grad else None for leaf in leaves]
    num = len(given.parameters)
    return gradients[:num], gradients[num], gradients[num + 1 :]


_recurrence.register_autograd(_backward_of_operator, setup_context=_setup_context)


class _Recurrence(torch.autograd.Function):
    """The recurrence where nothing of torch looks on: what the operator does, with less ado."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, program, batch_sizes, resets, reverse, checkpoint_every, again, num_states, *tensors
    ):
        first = len(tensors) - num_states
        parameters, x, state = tensors[: first - 1], tensors[first - 1], tensors[first:]
        given = Given(parameters, x, state, batch_sizes, resets, reverse, checkpoint_every)
        results = run_forward(program, given)
        _keep(ctx, program, given, results, again)
        given_back = tuple(results[: num_states + len(program.outputs)])
        ctx.mark_non_differentiable(*_without_gradient(program, given_back, num_states))
        return given_back

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        of_own, of_x, of_state = _backward(ctx, gradients)
        return (None, None, None, None, None, None, None, *of_own, of_x, *of_state)


def _without_gradient(program: Program, results: Sequence[Tensor], num_states: int) -> list[Tensor]:
    """Which of the last states and the outputs have no gradient."""
    assert program.gradient is not None
    moves = program.gradient.differentiable
    num_outputs = len(moves) - num_states
    in_order = (*moves[num_outputs:], *moves[:num_outputs])
    return [result for result, has in zip(results, in_order, strict=True) if not has]


def _by_library(
    program: Program,
    parameters: Sequence[Tensor],
    x: Tensor,
    state: Sequence[Tensor],
    batch_sizes: Tensor,
    reverse: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a cell by torch's own function; see `recurrence`."""
    if torch.is_grad_enabled():
        tensors = *parameters, x, *state
        *last, output = _ByLibrary.apply(program, batch_sizes, reverse, len(state), *tensors)
    else:
        assert program.library is not None
        output, last = program.library(parameters, x, state, Steps.of(batch_sizes, reverse))
    return [output], last


class _ByLibrary(torch.autograd.Function):
    """The recurrence by torch's own function, whose gradients are torch's too."""

    @staticmethod
    def forward(ctx, program, batch_sizes, reverse, num_states, *tensors):  # type: ignore[no-untyped-def]
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]
            parameters, x, state = _divided(leaves, num_states)
            steps = Steps.of(batch_sizes, reverse)
            output, last = program.library(parameters, x, state, steps)
        ctx.program, ctx.how, ctx.inner = program, (batch_sizes, reverse), (leaves, [*last, output])
        ctx.save_for_backward(*tensors)
        return tuple(value.detach() for value in (*last, output))

    @staticmethod
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        leaves, results = ctx.inner
        if torch.is_grad_enabled():
            parameters, x, state = _divided(ctx.saved_tensors, len(results) - 1)
            batch_sizes, reverse = ctx.how
            given = Given(parameters, x, state, batch_sizes, None, reverse, None)
            again = _by_reference(ctx.program)
            of_own, of_x, of_state = differentiable_gradients(again, given, gradients)
            return (None, None, None, None, *of_own, of_x, *of_state)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(results, wanted, gradients, True, allow_unused=True))
        of_all = (next(found) if leaf.requires_grad else None for leaf in leaves)
        return (None, None, None, None, *of_all)


def _divided(
    tensors: Sequence[Tensor], num_states: int
) -> tuple[Sequence[Tensor], Tensor, Sequence[Tensor]]:
    """Parameters, input and state."""
    first = len(tensors) - num_states
    return tensors[: first - 1], tensors[first - 1], tensors[first:]
