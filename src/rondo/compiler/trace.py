"""From a cell to a :class:`StepGraph`: run the step and write down what it does.

In goes an ordinary module whose `forward(x, state)` returns `(output, new_state)`; out comes its
acyclic graph of ATen operations, and that of its gradient. The step is recorded with two numbers
of rows (`record_step.py`): a size that follows the number of rows is written `B`, everything else
must agree.

A step that is not one graph for all inputs is refused with the reason, and runs in the plain loop:
one that reads the value of a tensor, changes what it did not make, or computes with the number of
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler.changes import unchanged
from rondo.compiler.going_back import gradients
from rondo.compiler.graph import (
    Node,
    Value,
    sizes_at,
)
from rondo.compiler.intercept import StandIns
from rondo.compiler.merge import Traced, difference, join
from rondo.compiler.record import TraceError, fresh_name, record
from rondo.compiler.record_step import (
    Call,
    Example,
    StepRecording,
    apart_from_the_caller,
    has_gradient,
    record_step,
)
from rondo.compiler.returned import described, taken_apart
from rondo.compiler.signals import pass_on
from rondo.compiler.state import Form, flatten

PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
"""Numbers of rows to record with: any two that no size of the cell is a multiple of."""

TRIES = 2
"""Pairs of numbers of rows to record with, where two numbers happen to be sizes of the step."""


def named_tensors(cell: nn.Module) -> dict[str, Tensor]:
    """The parameters of a cell, then its buffers, by name."""
    return {**dict(cell.named_parameters()), **dict(cell.named_buffers())}


def trace(
    cell: nn.Module,
    tensors: Mapping[str, Tensor],
    x: Tensor,
    state: Any,
    *,
    instead: Mapping[str, Tensor] | None = None,
    wanted: Sequence[bool] | None = None,
    input_wanted: bool = False,
    states_are_outputs: bool = False,
) -> Traced:
    """Trace one step of a cell.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        tensors: Its tensors by name.
        x: An example input (B, ...).
        state: An example state of the cell, any nesting of tensors (B, ...).
        instead: What stands for some of the tensors while the step is recorded, by name.
        wanted: For each tensor whether its gradient is wanted; None: no gradient is recorded.
        input_wanted: Whether the gradient of x is wanted.
        states_are_outputs: Whether the states of all steps are outputs too.

    Raises:
        TraceError: Where the step is not one graph for all inputs.
    """
    leaves, form = flatten(state)
    names, state_names = graph_names(tensors, form)
    stand_ins = {names[name]: tensor for name, tensor in (instead or {}).items()}
    spelled = {"x": "its input", **{name: f"the state {name} that it gets" for name in state_names}}
    buffers = dict(cell.named_buffers(remove_duplicate=False))
    for name, tensor in tensors.items():
        kind = "parameter" if isinstance(tensor, nn.Parameter) else "tensor"
        spelled[names[name]] = f"the {'buffer' if name in buffers else kind} {name}"
    sizes = [size for tensor in (*tensors.values(), x, *leaves) for size in tensor.shape]
    given = {name: stand_ins.get(name, tensors[own]) for own, name in names.items()}

    def traced(form: Form) -> Traced:
        """The step, given a state in this form."""
        returned = [form]

        def call(x: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
            ends, returned[0] = call_step(cell, x, leaves, form)
            return ends

        with apart_from_the_caller(x.device, grad=wanted is not None):
            pair = _record_twice(partial(example, call), sizes, backward=wanted is not None)
        found = join(*pair, given, {"x": x}, dict(zip(state_names, leaves, strict=True)))
        return replace(found, form=returned[0])

    def example(call: Call, num_rows: int | None, rows_of: Callable[..., Tensor]) -> Example:
        num_rows = max(1, len((*leaves, x)[0])) if num_rows is None else num_rows
        return Example(
            cell,
            {names[name]: tensor for name, tensor in tensors.items()},
            stand_ins,
            rows_of(x, num_rows, wanted is not None and input_wanted),
            {
                name: rows_of(leaf, num_rows, wanted is not None)
                for name, leaf in zip(state_names, leaves, strict=True)
            },
            call,
            states_are_outputs,
            spelled,
        )

    first = traced(form)
    if first.form != form:  # the next step is given a list, say, where this one was given a tuple
        second = traced(first.form)
        if first != replace(second, captured=first.captured):
            raise TraceError(
                f"does something else with a state {first.form} than with a state {form}",
                "return the state in the form in which it came",
            )
    return first


def graph_names(tensors: Iterable[str], form: Form) -> tuple[dict[str, str], list[str]]:
    """What the tensors of a cell and of its state are called in a graph."""
    taken = {"x", "output"}
    states = [fresh_name(name, taken) for name in form.names()]
    return {name: fresh_name(name.replace(".", "_"), taken) for name in tensors}, states


def _record_twice(
    example: Callable[..., Example], sizes: Sequence[int], *, backward: bool
) -> tuple[tuple[int, StepRecording], tuple[int, StepRecording]]:
    """Two recordings with different numbers of rows that say the same."""
    problem: TraceError | None = None
    for rows in list(pairwise(numbers_of_rows(sizes)))[::2][:TRIES]:
        first, second = ((number, _record(example, number, backward)) for number in rows)
        problem = difference(first, second)
        if problem is None:
            return first, second
    assert problem is not None
    raise problem


def numbers_of_rows(sizes: Sequence[int]) -> list[int]:
    """Numbers of rows that no size is a multiple of, if there are any."""
    free = [prime for prime in PRIMES if all(size == 0 or size % prime for size in sizes)]
    return free if len(free) >= 2 * TRIES else [*free, *(43, 47, 53, 59)]


def _record(example: Callable[..., Example], num_rows: int, backward: bool) -> StepRecording:
    """Record the step on random numbers, or on rows as they come where it fails on these."""
    try:
        return record_step(example(num_rows, random_rows), backward=backward)
    except (TraceError, RecursionError):
        raise
    except Exception as error:
        pass_on(error)
        return _record_as_given(example, num_rows, backward)


def _record_as_given(
    example: Callable[..., Example], num_rows: int, backward: bool
) -> StepRecording:
    try:
        return record_step(example(num_rows, given_rows), backward=backward)
    except (TraceError, RecursionError):
        raise
    except Exception as error:
        pass_on(error)
        if _runs(example(num_rows, given_rows)):
            raise
        if not _runs(example(None, given_rows)):
            raise TraceError(f"fails where its gradient is taken apart ({error})") from error
        raise TraceError(
            f"fails with a batch of {num_rows} rows, as it should not for any number ({error})",
            "a tensor with rows of its own belongs into the state or the input",
        ) from error


def _runs(example: Example) -> bool:
    """Whether a step, and back through it, runs where nothing is recorded."""
    own = [example.instead.get(name, tensor) for name, tensor in example.own.items()]
    pairs = zip(example.own.values(), own, strict=True)
    leaves = [leaf for leaf in (example.x, *example.state.values(), *own) if leaf.requires_grad]
    with unchanged(example.cell), StandIns({id(a): b for a, b in pairs if a is not b}):
        try:
            ends = example.call(example.x, [*example.state.values()])
            gradients(ends, [torch.ones_like(end) for end in ends], leaves)
        except Exception:
            return False
    return True


def random_rows(like: Tensor, num_rows: int, grad: bool) -> Tensor:
    """Random rows in place of those of a tensor; whole numbers are taken from it."""
    if not has_gradient(like):
        return given_rows(like, num_rows, grad)
    rows = torch.randn(num_rows, *like.shape[1:], dtype=like.dtype, device=like.device)
    return rows.requires_grad_(grad)


def given_rows(like: Tensor, num_rows: int, grad: bool) -> Tensor:
    """The rows of a tensor, again and again; zeros where it has none."""
    with torch.no_grad():
        if len(like) == 0:
            rows = torch.zeros(num_rows, *like.shape[1:], dtype=like.dtype, device=like.device)
        else:
            index = torch.arange(num_rows, device=like.device) % len(like)
            rows = like.detach().index_select(0, index)
    return rows.requires_grad_(grad and has_gradient(like))


def call_step(
    cell: nn.Module, x: Tensor, leaves: Sequence[Tensor], form: Form
) -> tuple[list[Tensor], Form]:
    """Run a step; returns the output, then each new state, and the form of the new state.

    Raises:
        TraceError: Where it returns something else than an output and a state like the given one.
    """
    returned = cell(x, form.unflatten(leaves))
    with torch._C.DisableTorchFunction():  # what is asked here, the step does not ask
        output, new_leaves, new_form = taken_apart(returned, len(x), form)
        _check_kept(leaves, new_leaves, form)
    return [output, *new_leaves], new_form


def _check_kept(leaves: Sequence[Tensor], new_leaves: Sequence[Any], form: Form) -> None:
    """Fail where a state does not keep its shape and dtype, as a graph of it must."""
    for name, old, new in zip(form.names(), leaves, new_leaves, strict=True):
        if not isinstance(new, Tensor) or old.shape != new.shape or old.dtype != new.dtype:
            raise TraceError(
                f"gets the state {name} as {described(old)} and returns it as {described(new)}",
                "a state keeps its shape and dtype from step to step",
            )


# ---- functions of tensors ----


def trace_function(
    function: Callable[..., Sequence[Tensor]],
    parameters: Sequence[tuple[str, Tensor]],
    inputs: Sequence[tuple[str, Tensor]],
) -> Traced:
    """Trace `function(parameters, *inputs)`, which returns outputs with rows.

    Args:
        function: The function; it is run with two numbers of rows.
        parameters: Examples of what has no rows, by name.
        inputs: Examples of what has, by name.
    """

    def at(num_rows: int) -> tuple[int, StepRecording]:
        weights = [torch.zeros_like(tensor) for _, tensor in parameters]
        rows = [given_rows(tensor[:0], num_rows, False) for _, tensor in inputs]
        names = [name for name, _ in (*parameters, *inputs)]
        with apart_from_the_caller(rows[0].device, grad=False):
            found = record(
                lambda *values: function(values[: len(weights)], *values[len(weights) :]),
                names,
                [*weights, *rows],
            )
        return num_rows, StepRecording(found, found.ends, (), (), {}, {}, {}, (), (), False, None)

    sizes = [size for _, tensor in (*parameters, *inputs) for size in tensor.shape[1:]]
    first, second = map(at, numbers_of_rows(sizes)[:2])
    problem = difference(first, second)
    if problem is not None:
        raise problem
    return join(first, second, dict(parameters), dict(inputs), {})


def example_of(value: Value | Node, device: Any) -> Tensor:
    """A tensor like a value of a step, of one row, to trace with."""
    return torch.zeros(sizes_at(value.shape, 1), dtype=value.dtype, device=device)
