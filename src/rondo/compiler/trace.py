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
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from rondo.compiler.counting import Guard
from rondo.compiler.graph import (
    Argument,
    Node,
    Rows,
    Shape,
    StepGraph,
    Value,
    live_nodes,
    sizes_at,
)
from rondo.compiler.record import TraceError, fresh_name, record
from rondo.compiler.record_step import (
    Example,
    StepRecording,
    apart_from_the_caller,
    has_gradient,
    record_step,
)
from rondo.compiler.simplify import simplify
from rondo.compiler.state import Form, flatten
from rondo.compiler.views import RESHAPES

PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
"""Numbers of rows to record with: any two that no size of the cell is a multiple of."""

TRIES = 2
"""Pairs of numbers of rows to record with, where two numbers happen to be sizes of the step."""


@dataclass(frozen=True)
class Ends:
    """The names of what a step and its gradient give, in the joint graph of both.

    Args:
        places: Where the output is among the outputs, then each state where states are outputs.
        cotangents: The gradients of outputs, by their number.
        states: The numbers of the states that have gradients.
        inputs: The inputs of the step that have a gradient.
        parameters: The parameters of the step that have a gradient.
        differentiable: For each output, then each next state, whether it has a gradient.
    """

    places: tuple[int, ...]
    cotangents: tuple[tuple[int, str], ...]
    states: tuple[int, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    differentiable: tuple[bool, ...]


@dataclass(frozen=True)
class Traced:
    """A traced step.

    Args:
        graph: The step. Its parameters are the cell's tensors, then the captured ones.
        captured: The constants that the step made, and the tensors that it read from outside.
        joint: The step and its gradient: outputs, next states, gradients of inputs; its states are
            the gradients of the states, its sums the gradients of parameters. None where no
            gradient was wanted.
        ends: What is what in the joint graph.
        guards: What is taken for granted about the number of rows.
        asks_rows: Whether the step got a number that follows the rows, so that it may do something
            else for some of them.
        own_gradient: What the step says about gradients beside its operations, or None: then
            `joint` is not what torch would make of the operations of `graph`.
    """

    graph: StepGraph
    captured: tuple[Tensor, ...]
    joint: StepGraph | None
    ends: Ends
    guards: tuple[Guard, ...] = ()
    asks_rows: bool = False
    own_gradient: str | None = None


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

    def example(num_rows: int, rows_of: Callable[..., Tensor]) -> Example:
        return Example(
            cell,
            {names[name]: tensor for name, tensor in tensors.items()},
            stand_ins,
            rows_of(x, num_rows, wanted is not None and input_wanted),
            {
                name: rows_of(leaf, num_rows, wanted is not None)
                for name, leaf in zip(state_names, leaves, strict=True)
            },
            lambda x, leaves: call_step(cell, x, leaves, form),
            states_are_outputs,
        )

    sizes = [size for tensor in (*tensors.values(), x, *leaves) for size in tensor.shape]
    with apart_from_the_caller(x.device, grad=wanted is not None):
        first, second = _record_twice(example, sizes, backward=wanted is not None)
    given = {name: stand_ins.get(name, tensors[own]) for own, name in names.items()}
    return _join(first, second, given, {"x": x}, dict(zip(state_names, leaves, strict=True)))


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
        problem = _difference(first, second)
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
    except TraceError:
        raise
    except Exception:
        return _record_as_given(example, num_rows, backward)


def _record_as_given(
    example: Callable[..., Example], num_rows: int, backward: bool
) -> StepRecording:
    try:
        return record_step(example(num_rows, given_rows), backward=backward)
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(
            f"does not run with another number of rows than the batch has ({error})",
            "a tensor with rows of its own belongs into the state or the input",
        ) from error


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


def call_step(cell: nn.Module, x: Tensor, leaves: Sequence[Tensor], form: Form) -> list[Tensor]:
    """Run a step; returns the output, then each new state.

    Raises:
        TraceError: Where it returns something else than an output and a state like the given one.
    """
    returned = cell(x, form.unflatten(leaves))
    with torch._C.DisableTorchFunction():  # what is asked here, the step does not ask
        return check_returned(returned, x, leaves, form)


def check_returned(returned: Any, x: Tensor, leaves: Sequence[Tensor], form: Form) -> list[Tensor]:
    """The output and the new state of a step, flat."""
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise TraceError(
            f"must return (output, new_state), got {_describe(returned)}",
            "write `return h, h` where the output is the state",
        )
    output, new_state = returned
    found, new_form = flatten(new_state)
    if not isinstance(output, Tensor):
        raise TraceError(
            f"must return one tensor as its output, got {_describe(output)}",
            "what else is wanted of each step belongs into the state",
        )
    if not new_form.fits(form):
        raise TraceError(
            f"must return a state like the one that it got, {form}, got {new_form}",
            "return it in the form in which it came",
        )
    new_leaves = [found[place] for place in form.order_in(new_form)]
    for name, old, new in zip(form.names(), leaves, new_leaves, strict=True):
        if not isinstance(new, Tensor) or old.shape != new.shape or old.dtype != new.dtype:
            raise TraceError(
                f"gets the state {name} as {_describe(old)} and returns it as {_describe(new)}",
                "a state keeps its shape and dtype from step to step",
            )
    if output.ndim == 0 or output.shape[0] != x.shape[0]:
        raise TraceError(
            f"must return an output (B, ...), got {_describe(output)}",
            "the output has one row for each row of x",
        )
    return [output, *new_leaves]


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        sizes = ["B", *map(str, value.shape[1:])] if value.ndim else []
        return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(sizes)}]"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


# ---- from two recordings to graphs ----


def _difference(
    one: tuple[int, StepRecording], two: tuple[int, StepRecording]
) -> TraceError | None:
    """Why two recordings are not the same graph, or None."""
    try:
        _merged_nodes(one, two)
    except TraceError as error:
        return error
    (_, first), (_, second) = one, two
    for a, b in zip(
        first.recording.captured.values(), second.recording.captured.values(), strict=False
    ):
        if not _equal(a, b):
            return TraceError("makes another constant at every call, or of the number of rows")
    same = (first.outputs, first.next_state, first.gradients, first.differentiable)
    if len(first.guards) != len(second.guards):
        return TraceError("does something else for another number of rows")
    if same != (second.outputs, second.next_state, second.gradients, second.differentiable):
        return TraceError("does something else for another number of rows")
    return None


def _equal(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    if (a.shape, a.dtype, a.device) != (b.shape, b.dtype, b.device):
        return False
    with torch.no_grad():
        return bool(((a == b) | ((a != a) & (b != b))).all())


def _merged_nodes(
    one: tuple[int, StepRecording], two: tuple[int, StepRecording]
) -> tuple[Node, ...]:
    """The nodes of two recordings as one list, with `B` for what follows the number of rows."""
    (rows, first), (other_rows, second) = one, two
    pairs = list(zip(first.recording.nodes, second.recording.nodes, strict=False))
    for a, b in pairs:
        if a.op != b.op:
            raise TraceError("does something else for another number of rows", line=a.line)
    if len(first.recording.nodes) != len(second.recording.nodes):
        raise TraceError("does something else for another number of rows")
    merge = _Merge(rows, other_rows)
    return tuple(merge.node(a, b) for a, b in pairs)


@dataclass(frozen=True)
class _Merge:
    """Joins what was recorded with two numbers of rows."""

    rows: int
    other_rows: int

    def node(self, a: Node, b: Node) -> Node:
        """One node out of two."""
        schema = getattr(a.op, "_schema", None)
        kinds = [] if schema is None else [str(arg.real_type) for arg in schema.arguments]
        kinds += ["SymInt"] * (len(a.args) - len(kinds))
        named = {} if schema is None else {g.name: str(g.real_type) for g in schema.arguments}
        if len(a.args) != len(b.args):
            raise self._counts(a)
        args = tuple(
            self.argument(x, y, a, "Int" in kind or "int" in kind)
            for x, y, kind in zip(a.args, b.args, kinds, strict=False)
        )
        keywords = zip(a.kwargs, b.kwargs, strict=True)
        kwargs = tuple(
            (key, self.argument(x, y, a, "nt" in named.get(key, "")))
            for (key, x), (_, y) in keywords
        )
        shape: Shape | None = None
        if a.shape is not None and b.shape is not None:
            if len(a.shape) != len(b.shape):
                raise self._counts(a)
            shape = tuple(
                self.argument(x, y, a, True) for x, y in zip(a.shape, b.shape, strict=True)
            )
        if a.packet in RESHAPES:
            args = (args[0], shape)  # without -1, which does not stand for a size of no rows
        return replace(a, args=args, kwargs=kwargs, shape=shape)

    def argument(self, a: Argument, b: Argument, node: Node, is_size: bool) -> Argument:
        """One argument out of the same argument of both recordings."""
        if isinstance(a, tuple) and isinstance(b, tuple):
            if len(a) != len(b):
                raise self._counts(node)
            return tuple(self.argument(x, y, node, is_size) for x, y in zip(a, b, strict=True))
        if type(a) is type(b) and (a == b or (a != a and b != b)):
            return a
        if is_size and type(a) is int and type(b) is int:
            factor, rest = divmod(a, self.rows)
            if not rest and b == factor * self.other_rows:
                return Rows(factor)
        raise self._counts(node)

    def _counts(self, node: Node) -> TraceError:
        return TraceError(
            f"computes with the number of rows of the batch ({node.op_name})",
            "each row must be treated alike, whatever their number",
            node.line,
        )


def _join(
    one: tuple[int, StepRecording],
    two: tuple[int, StepRecording],
    given: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> Traced:
    nodes, found = _merged_nodes(one, two), one[1]
    captured = found.recording.captured
    values = tuple(_value(*item) for item in (*given.items(), *captured.items()))
    with_rows = tuple(_row_value(*item) for item in inputs.items())
    states = tuple(_row_value(*item) for item in state.items())
    step = StepGraph(values, with_rows, states, nodes, found.outputs, found.next_state)
    names = list(state)
    ends = Ends(
        found.places,
        tuple(found.cotangents.items()),
        tuple(found.grad_next),
        tuple(name for name in inputs if name in found.gradients),
        tuple(value.name for value in values if value.name in found.gradients),
        found.differentiable,
    )
    joint = None
    if found.cotangents or found.grad_next:
        known = step.by_name

        def like(name: str, of: str) -> Value:
            return Value(name, known[of].shape or (), known[of].dtype)  # type: ignore[arg-type]

        of_outputs = (like(name, found.outputs[i]) for i, name in ends.cotangents)
        of_inputs = (found.gradients[name] for name in ends.inputs)
        joint = StepGraph(
            values,
            (*with_rows, *states, *of_outputs),
            tuple(like(name, found.next_state[i]) for i, name in found.grad_next.items()),
            nodes,
            (*found.outputs, *found.next_state, *of_inputs),
            tuple(found.gradients[names[i]] for i in ends.states),
            tuple(found.gradients[name] for name in ends.parameters),
        )
    traced = Traced(step, tuple(captured.values()), joint, ends)
    return _pruned(traced, one[1], two[1])


def _pruned(traced: Traced, first: StepRecording, second: StepRecording) -> Traced:
    """Without what nobody reads, and with the guards that hold for both recordings."""
    step, joint = _live(traced.graph), None if traced.joint is None else _live(traced.joint)
    read = step.read if joint is None else step.read | joint.read
    names = list(first.recording.captured)
    kept = [name for name in names if name in read]
    parameters = [
        value for value in step.parameters if value.name not in names or value.name in read
    ]
    tensors = dict(zip(names, traced.captured, strict=True))
    step = simplify(replace(step, parameters=tuple(parameters)).check())
    if joint is not None:
        joint = simplify(replace(joint, parameters=tuple(parameters)).check())
    guards = (a for a, b in zip(first.guards, second.guards, strict=True) if a.answer == b.answer)
    return Traced(
        step,
        tuple(tensors[name] for name in kept),
        joint,
        traced.ends,
        tuple(guards),
        first.asks_rows,
        first.own_gradient,
    )


def _live(graph: StepGraph) -> StepGraph:
    ends = (*graph.outputs, *graph.next_state, *graph.sums)
    return replace(graph, nodes=live_nodes(graph.nodes, ends))


def _value(name: str, tensor: Tensor) -> Value:
    return Value(name, tuple(tensor.shape), tensor.dtype)


def _row_value(name: str, tensor: Tensor) -> Value:
    return Value(name, (Rows(), *tensor.shape[1:]), tensor.dtype)


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
    problem = _difference(first, second)
    if problem is not None:
        raise problem
    return _join(first, second, dict(parameters), dict(inputs), {})


def example_of(value: Value | Node, device: Any) -> Tensor:
    """A tensor like a value of a step, of one row, to trace with."""
    return torch.zeros(sizes_at(value.shape, 1), dtype=value.dtype, device=device)
