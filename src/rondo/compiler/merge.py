"""From two recordings of a step to its graphs.

In go recordings with two numbers of rows, out comes a :class:`Traced`: a size that follows the
number of rows is written `B`, everything else must be the same in both, or the step is no graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rondo.compiler.counting import Guard
from rondo.compiler.graph import (
    Argument,
    Node,
    Rows,
    Shape,
    StepGraph,
    Value,
    live_nodes,
)
from rondo.compiler.record import TraceError
from rondo.compiler.record_step import (
    StepRecording,
)
from rondo.compiler.simplify import simplify
from rondo.compiler.state import TENSOR, Form
from rondo.compiler.views import RESHAPES


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
        form: The form in which the step returns its state.
    """

    graph: StepGraph
    captured: tuple[Tensor, ...]
    joint: StepGraph | None
    ends: Ends
    guards: tuple[Guard, ...] = ()
    asks_rows: bool = False
    own_gradient: str | None = None
    form: Form = TENSOR


def difference(one: tuple[int, StepRecording], two: tuple[int, StepRecording]) -> TraceError | None:
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


def join(
    one: tuple[int, StepRecording],
    two: tuple[int, StepRecording],
    given: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> Traced:
    """The graphs of a step out of two recordings that say the same."""
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
