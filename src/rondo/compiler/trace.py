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
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from rondo.compiler.graph import (
    Argument,
    Node,
    Ref,
    Rows,
    Shape,
    StepGraph,
    Value,
    live_nodes,
    map_argument,
)
from rondo.compiler.simplify import simplify
from rondo.compiler.views import RESHAPES

TRACE_ROWS = (3, 5)  # two batch sizes; what differs between their graphs follows the batch size

aten = torch.ops.aten
ALIASES = {aten.lift_fresh_copy.default, aten.alias.default, aten.lift_fresh.default}


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
    state_names = [_fresh(name, taken) for name in names_in_state(form)]
    names = [_fresh(name.replace(".", "_"), taken) for name in tensors]
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
    decompositions: Mapping[Any, Callable[..., Any]] | None = None,
) -> Traced:
    """Trace `function(parameters, *inputs, state)` with two batch sizes and join the graphs.

    The function returns `num_outputs` outputs, then one next state for each state, then sums.
    """
    traces = [
        _trace_at(num_rows, function, parameters, inputs, state, decompositions)
        for num_rows in TRACE_ROWS
    ]
    return _join(traces, parameters, inputs, state, num_outputs)


def _trace_at(
    num_rows: int,
    function: Callable[..., Sequence[torch.Tensor]],
    parameters: Sequence[tuple[str, torch.Tensor]],
    inputs: Sequence[tuple[str, torch.Tensor]],
    state: Sequence[tuple[str, torch.Tensor]],
    decompositions: Mapping[Any, Callable[..., Any]] | None,
) -> torch.fx.GraphModule:
    rows = [_with_rows(value, num_rows) for _, value in inputs]
    state_rows = [_with_rows(value, num_rows) for _, value in state]
    weights = [_zeros(value.shape, value) for _, value in parameters]

    def flat(*values: torch.Tensor) -> Sequence[torch.Tensor]:
        p, i = len(weights), len(weights) + len(rows)
        return function(values[:p], *values[p:i], values[i:])

    with torch.inference_mode(False), torch.random.fork_rng(), _without_autocast():
        try:
            pure = torch.func.functionalize(flat, remove="mutations")
            traced = make_fx(pure, decomposition_table=dict(decompositions or {}))(
                *weights, *rows, *state_rows
            )
        except RuntimeError as error:
            if "tracing tensor" in str(error) or "data-dependent" in str(error):
                raise TraceError(
                    "the step reads the value of a tensor (a branch, a loop or .item() on it), so "
                    "it is not one graph for all inputs; choose with torch.where instead"
                ) from error
            raise
    traced.graph.eliminate_dead_code()
    return traced


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


# ---- from two fx graphs to one StepGraph ----


def _join(
    traces: list[torch.fx.GraphModule],
    parameters: Sequence[tuple[str, torch.Tensor]],
    inputs: Sequence[tuple[str, torch.Tensor]],
    state: Sequence[tuple[str, torch.Tensor]],
    num_outputs: int,
) -> Traced:
    first, second = (list(traced.graph.nodes) for traced in traces)
    if [n.target for n in first if n.op == "call_function"] != [
        n.target for n in second if n.op == "call_function"
    ]:
        raise TraceError(
            f"the step does something else for a batch of {TRACE_ROWS[0]} than for one of "
            f"{TRACE_ROWS[1]}; it must not depend on the batch size"
        )
    names = [name for name, _ in (*parameters, *inputs, *state)]
    renamed: dict[str, str] = {}
    captured: list[tuple[str, torch.Tensor]] = []
    nodes: list[Node] = []
    ends: tuple[str, ...] = ()
    taken = set(names)
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.op == "placeholder":
            renamed[a.name] = names[index]
        elif a.op == "get_attr":
            renamed[a.name] = name = _fresh(f"constant_{len(captured)}", taken)
            captured.append((name, getattr(traces[0], str(a.target))))
        elif a.op == "output":
            ends = tuple(renamed[end.name] for end in a.args[0])
        elif a.target in ALIASES:
            renamed[a.name] = renamed[a.args[0].name]
        else:
            renamed[a.name] = _fresh(a.name, taken)
            nodes.append(_node(a, b, renamed))
    last_state = num_outputs + len(state)
    graph = StepGraph(
        tuple(_value(*item) for item in (*parameters, *captured)),
        tuple(_row_value(*item) for item in inputs),
        tuple(_row_value(*item) for item in state),
        live_nodes(tuple(nodes), ends),
        ends[:num_outputs],
        ends[num_outputs:last_state],
        ends[last_state:],
    )
    return Traced(simplify(graph.check()), tuple(value for _, value in captured))


def _fresh(name: str, taken: set[str]) -> str:
    name = name.strip("_")
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def _value(name: str, tensor: torch.Tensor) -> Value:
    return Value(name, tuple(tensor.shape), tensor.dtype)


def _row_value(name: str, tensor: torch.Tensor) -> Value:
    return Value(name, (Rows(), *tensor.shape[1:]), tensor.dtype)


def _node(a: torch.fx.Node, b: torch.fx.Node, renamed: dict[str, str]) -> Node:
    _refuse_mutation(a)
    keys = sorted(a.kwargs)
    node = Node(
        renamed[a.name],
        a.target if callable(a.target) else operator.getitem,
        tuple(_merge(x, y, a) for x, y in zip(a.args, b.args, strict=True)),
        tuple((key, _merge(a.kwargs[key], b.kwargs[key], a)) for key in keys),
        *_merged_meta(a, b),
    )
    args = map_argument(
        lambda leaf: Ref(renamed[leaf.name]) if isinstance(leaf, Ref) else leaf, node.args
    )
    kwargs = map_argument(
        lambda leaf: Ref(renamed[leaf.name]) if isinstance(leaf, Ref) else leaf, node.kwargs
    )
    if node.packet in RESHAPES:
        args = (args[0], node.shape)  # without -1, which does not stand for a size of no rows
    return replace(node, args=args, kwargs=kwargs)


def _refuse_mutation(node: torch.fx.Node) -> None:
    schema = getattr(node.target, "_schema", None)
    if schema is not None and schema.is_mutable:
        raise TraceError(
            f"the step changes a parameter, a buffer or its input in place ({node.target}); what "
            "must be carried from step to step belongs into the state"
        )


def _merge(a: Any, b: Any, node: torch.fx.Node) -> Argument:
    """One argument out of the same argument of both traces."""
    if isinstance(a, torch.fx.Node):
        return Ref(a.name)
    if isinstance(a, list | tuple):
        return tuple(_merge(x, y, node) for x, y in zip(a, b, strict=True))
    if a == b and type(a) is type(b):
        return a
    return _rows_of(a, b, str(node.target))


def _rows_of(a: Any, b: Any, where: str) -> Rows:
    factor, rest = divmod(a, TRACE_ROWS[0]) if isinstance(a, int) else (0, 1)
    if rest or not isinstance(b, int) or b != factor * TRACE_ROWS[1]:
        raise TraceError(
            f"the step computes with the batch size ({a} for a batch of {TRACE_ROWS[0]}, {b} for "
            f"one of {TRACE_ROWS[1]} in {where}); the rows of a batch must be treated alike, "
            "whatever their number"
        )
    return Rows(factor)


def _merged_meta(a: torch.fx.Node, b: torch.fx.Node) -> tuple[Shape | None, torch.dtype | None]:
    first, second = a.meta["val"], b.meta["val"]
    if not isinstance(first, torch.Tensor):  # several results
        return None, None
    shape = tuple(
        x if x == y else _rows_of(x, y, str(a.target))
        for x, y in zip(first.shape, second.shape, strict=True)
    )
    return shape, first.dtype
