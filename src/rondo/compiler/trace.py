"""From a cell to a :class:`StepGraph`: run the step once and write down what it does.

In goes an ordinary module whose `forward(x, state)` returns `(output, new_state)`; out comes its
acyclic graph of ATen operations. The step is traced twice, with two batch sizes: a number that
follows the batch size is written `B`, everything else must agree, and a step that computes
with the batch size in any other way is refused.

Limits: Python control flow is resolved while tracing, as in `torch.export`; a branch on the value
of a tensor is refused. Tensors that the step reads from outside the module are captured at the
first trace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

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
from rondo.compiler.record import (
    Decompositions,
    Recording,
    ValueReadError,
    fresh_name,
    record,
)
from rondo.compiler.simplify import simplify
from rondo.compiler.views import RESHAPES

TRACE_ROWS = (3, 5)  # two batch sizes; what differs between their graphs follows the batch size


class TraceError(ValueError):
    """A step that cannot be written down as a graph, and what to change in it."""


@dataclass(frozen=True)
class Traced:
    """A traced step, with the tensors that it captured and the form of its state.

    `captured` are the constants that the step made or read outside its parameters; they follow the
    module's own tensors among the graph's parameters.
    """

    graph: StepGraph
    captured: tuple[torch.Tensor, ...]


def trace(
    cell: torch.nn.Module, tensors: Mapping[str, torch.Tensor], x: torch.Tensor, state: Any
) -> Traced:
    """Trace one step of a cell.

    Args:
        cell: A module whose `forward(x, state)` returns `(output, new_state)`.
        tensors: Its parameters and buffers by name (:func:`named_tensors`); of these, as of x and
            the state, only sizes, dtype and device matter.
        x: An example input (B, ...).
        state: An example state of the cell, any nesting of tensors (B, ...).

    Returns:
        The step as a graph; its parameters are the cell's parameters, then its buffers, then the
        captured constants.

    Raises:
        TraceError: Where the step branches on a tensor's value, changes a parameter or buffer in
            place, computes with the batch size, or returns something else than one output and a
            state like the one that it was given.
    """
    leaves, form = pytree.tree_flatten(state)

    def step(
        parameters: Sequence[torch.Tensor], x: torch.Tensor, leaves: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        named = dict(zip(tensors, parameters, strict=True))
        returned = torch.func.functional_call(
            cell, named, (x, pytree.tree_unflatten(list(leaves), form))
        )
        return _check_returned(returned, x, leaves, form)

    taken = {"x", "output"}
    state_names = [fresh_name(name, taken) for name in names_in_state(form)]
    names = [fresh_name(name.replace(".", "_"), taken) for name in tensors]
    return trace_function(
        step,
        list(zip(names, tensors.values(), strict=True)),
        [("x", x)],
        list(zip(state_names, leaves, strict=True)),
        num_outputs=1,
    )


def named_tensors(cell: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters of a cell, then its buffers, by name."""
    return {**dict(cell.named_parameters()), **dict(cell.named_buffers())}


def trace_function(
    function: Callable[..., Sequence[torch.Tensor]],
    parameters: Sequence[tuple[str, torch.Tensor]],
    inputs: Sequence[tuple[str, torch.Tensor]],
    state: Sequence[tuple[str, torch.Tensor]],
    *,
    num_outputs: int,
    decompositions: Decompositions | None = None,
) -> Traced:
    """Trace `function(parameters, *inputs, state)` with two batch sizes and join the graphs.

    The function returns `num_outputs` outputs, then one next state for each state, then sums.
    """
    first, second = (
        _record_at(num_rows, function, parameters, inputs, state, decompositions or {})
        for num_rows in TRACE_ROWS
    )
    return _join(first, second, parameters, inputs, state, num_outputs)


def example_of(value: Value | Node, device: Any) -> torch.Tensor:
    """A tensor like a value of a step, of one row, to trace with."""
    return torch.zeros(sizes_at(value.shape, 1), dtype=value.dtype, device=device)


def _record_at(
    num_rows: int,
    function: Callable[..., Sequence[torch.Tensor]],
    parameters: Sequence[tuple[str, torch.Tensor]],
    inputs: Sequence[tuple[str, torch.Tensor]],
    state: Sequence[tuple[str, torch.Tensor]],
    decompositions: Decompositions,
) -> Recording:
    rows = [_with_rows(value, num_rows) for _, value in inputs]
    state_rows = [_with_rows(value, num_rows) for _, value in state]
    weights = [_zeros(value.shape, value) for _, value in parameters]

    def flat(*values: torch.Tensor) -> Sequence[torch.Tensor]:
        p, i = len(weights), len(weights) + len(rows)
        return function(values[:p], *values[p:i], values[i:])

    names = [name for name, _ in (*parameters, *inputs, *state)]
    with torch.inference_mode(False), torch.random.fork_rng(), _without_autocast():
        try:
            return record(flat, names, [*weights, *rows, *state_rows], decompositions)
        except ValueReadError as error:
            raise TraceError(
                "the step reads the value of a tensor (a branch, a loop or .item() on it), so "
                "it is not one graph for all inputs; choose with torch.where instead"
            ) from error


def _with_rows(value: torch.Tensor, num_rows: int) -> torch.Tensor:
    return _zeros((num_rows, *value.shape[1:]), value)


def _zeros(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tuple(shape), dtype=like.dtype, device=like.device)


def _without_autocast() -> Any:
    stack = contextlib.ExitStack()
    for device in ("cpu", "cuda"):
        stack.enter_context(torch.autocast(device, enabled=False))
    return stack


def _check_returned(
    returned: Any, x: torch.Tensor, leaves: Sequence[torch.Tensor], form: Any
) -> list[torch.Tensor]:
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise TraceError(
            f"the step must return (output, new_state), got {_describe(returned)}; "
            "write `return h, h` where the output is the state"
        )
    output, new_state = returned
    new_leaves, new_form = pytree.tree_flatten(new_state)
    if not isinstance(output, torch.Tensor):
        raise TraceError(f"the output of a step must be one tensor, got {_describe(output)}")
    if new_form != form:
        raise TraceError(
            f"the step must return a state like the one that it got, {form}, got {new_form}"
        )
    for index, (old, new) in enumerate(zip(leaves, new_leaves, strict=True)):
        if old.shape != new.shape or old.dtype != new.dtype:
            raise TraceError(
                f"state {index} goes in as {_describe(old)} and comes out as {_describe(new)} with "
                f"a batch of {x.shape[0]}; the state must keep its shape and dtype"
            )
    if output.ndim == 0 or output.shape[0] != x.shape[0]:
        raise TraceError(
            f"the output of a step must have the batch first, ({x.shape[0]}, ...), got "
            f"{_describe(output)}"
        )
    return [output, *new_leaves]


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def names_in_state(form: pytree.TreeSpec) -> list[str]:
    """What the tensors of a state are called: h; h, c; the keys of a dict; otherwise numbered."""
    count = form.num_leaves
    paths = pytree.tree_leaves_with_path(pytree.tree_unflatten(list(range(count)), form))
    names = [
        "_".join(str(getattr(key, "key", getattr(key, "idx", ""))) for key in path)
        for path, _ in paths
    ]
    if all(name.isidentifier() for name in names):
        return names
    return ["h", "c"][:count] if count <= 2 else [f"state_{i}" for i in range(count)]


# ---- from two recordings to one StepGraph ----


def _join(
    first: Recording,
    second: Recording,
    parameters: Sequence[tuple[str, torch.Tensor]],
    inputs: Sequence[tuple[str, torch.Tensor]],
    state: Sequence[tuple[str, torch.Tensor]],
    num_outputs: int,
) -> Traced:
    if [node.op for node in first.nodes] != [node.op for node in second.nodes]:
        raise TraceError(
            f"the step does something else for a batch of {TRACE_ROWS[0]} than for one of "
            f"{TRACE_ROWS[1]}; it must not depend on the batch size"
        )
    nodes = tuple(_node(a, b) for a, b in zip(first.nodes, second.nodes, strict=True))
    live = live_nodes(nodes, first.ends)
    read = {*first.ends, *(name for node in live for name in node.reads)}
    captured = {name: value for name, value in first.captured.items() if name in read}
    last_state = num_outputs + len(state)
    graph = StepGraph(
        tuple(_value(*item) for item in (*parameters, *captured.items())),
        tuple(_row_value(*item) for item in inputs),
        tuple(_row_value(*item) for item in state),
        live,
        first.ends[:num_outputs],
        first.ends[num_outputs:last_state],
        first.ends[last_state:],
    )
    return Traced(simplify(graph.check()), tuple(captured.values()))


def _value(name: str, tensor: torch.Tensor) -> Value:
    return Value(name, tuple(tensor.shape), tensor.dtype)


def _row_value(name: str, tensor: torch.Tensor) -> Value:
    return Value(name, (Rows(), *tensor.shape[1:]), tensor.dtype)


def _node(a: Node, b: Node) -> Node:
    _refuse_mutation(a)
    args, kwargs = _merge(a.args, b.args, a.op), _merge(a.kwargs, b.kwargs, a.op)
    shape: Shape | None = None
    if a.shape is not None and b.shape is not None:
        shape = tuple(
            x if x == y else _rows_of(x, y, a.op) for x, y in zip(a.shape, b.shape, strict=True)
        )
    if a.packet in RESHAPES:
        args = (args[0], shape)  # without -1, which does not stand for a size of no rows
    return replace(a, args=args, kwargs=kwargs, shape=shape)


def _refuse_mutation(node: Node) -> None:
    schema = getattr(node.op, "_schema", None)
    if schema is not None and schema.is_mutable:
        raise TraceError(
            f"the step changes a parameter, a buffer or its input in place ({node.op}); what "
            "must be carried from step to step belongs into the state"
        )


def _merge(a: Argument, b: Argument, op: object) -> Argument:
    """One argument out of the same argument of both recordings."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(_merge(x, y, op) for x, y in zip(a, b, strict=True))
    if a == b and type(a) is type(b):
        return a
    return _rows_of(a, b, op)


def _rows_of(a: Any, b: Any, op: object) -> Rows:
    factor, rest = divmod(a, TRACE_ROWS[0]) if isinstance(a, int) else (0, 1)
    if rest or not isinstance(b, int) or b != factor * TRACE_ROWS[1]:
        raise TraceError(
            f"the step computes with the batch size ({a} for a batch of {TRACE_ROWS[0]}, {b} for "
            f"one of {TRACE_ROWS[1]} in {op}); the rows of a batch must be treated alike, "
            "whatever their number"
        )
    return Rows(factor)
