"""Whether the rules about rows say what is true: a function is recorded, and run on changed rows.

The function and its gradient are written down below autograd, with two numbers of rows, as one
graph. It is then run on a batch, on the batch with another row in one place, and on two parts of
the batch: so it shows for every value of the graph where its rows lie and what they depend on.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rondo.compiler.graph import Node, Ref, Rows, StepGraph, Value, map_argument, sizes_at
from rondo.compiler.interpret import evaluate
from rondo.compiler.layouts import SHARED, SUMMED, Along, Layout, Mixed
from rondo.compiler.rows import row_layouts

FIRST, SECOND, NUM_ROWS = 3, 7, 4
"""Numbers of rows that a function is recorded with, and that its graph is run with. No other size
of a case should be one of them, or follow one by a factor."""

Make = Callable[[int], Tensor]
"""An argument for so many rows; what the batch shares is the same for any number."""


PUT_BACK = {
    torch.ops.aten.slice.Tensor: torch.ops.aten.slice_scatter.default,
    torch.ops.aten.select.int: torch.ops.aten.select_scatter.default,
}
"""For a view: what puts a changed one back."""


class _Written(TorchDispatchMode):
    """Writes down the operations that torch ends in; changes in place become new values."""

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor] = {}
        self.alive = list(given.values())
        self.names = {id(tensor): name for name, tensor in given.items()}
        self.views: dict[int, tuple[Any, Tensor, tuple[Any, ...]]] = {}

    def __torch_dispatch__(
        self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        refs = map_argument(self.ref, tuple(args))
        keywords = {name: map_argument(self.ref, value) for name, value in (kwargs or {}).items()}
        result = op(*args, **(kwargs or {}))
        if op._schema.is_mutable:
            self.write(_out_of_place(op), refs, keywords, result)
            self.put_back(result)
        elif result is not None:
            self.write(op, refs, keywords, result)
        if op in PUT_BACK:
            self.views[id(result)] = op, args[0], tuple(args[1:])
        return result

    def put_back(self, changed: Tensor) -> None:
        """Write down what a changed view changes."""
        if id(changed) in self.views:
            op, whole, rest = self.views[id(changed)]
            self.write(PUT_BACK[op], (self.ref(whole), self.ref(changed), *rest), {}, whole)
            self.put_back(whole)

    def ref(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if id(leaf) not in self.names:
            self.names[id(leaf)] = name = f"constant_{len(self.constants)}"
            self.constants[name] = leaf
            self.alive.append(leaf)
        return Ref(self.names[id(leaf)])

    def write(self, op: Any, args: Any, keywords: dict[str, Any], result: Any) -> None:
        name = f"{getattr(op, 'overloadpacket', op).__name__}_{len(self.nodes)}"
        shape, dtype = (None, None)
        if isinstance(result, Tensor):
            shape, dtype = tuple(result.shape), result.dtype
            self.alive.append(result)
            self.names[id(result)] = name
        self.nodes.append(Node(name, op, args, tuple(keywords.items()), shape, dtype))
        if isinstance(result, tuple | list):
            for index, part in enumerate(result):
                self.write(operator.getitem, (Ref(name), index), {}, part)


def _out_of_place(op: Any) -> Any:
    """`add_.Tensor` -> `add.Tensor`."""

    def types(one: Any) -> list[str]:
        return [f"{argument.name}: {argument.type}" for argument in one._schema.arguments]

    packet = getattr(torch.ops.aten, op._schema.name.removeprefix("aten::").removesuffix("_"))
    every = (getattr(packet, name) for name in packet.overloads())
    return next(one for one in every if types(one) == types(op))


def graph_of(
    function: Callable[..., Any], makes: Sequence[Make], gradient: bool = True
) -> tuple[StepGraph, dict[str, Tensor]]:
    """A function and its gradient as a graph, and the constants that it reads.

    Args:
        function: Gives a tensor or several.
        makes: Its arguments, with rows in the dimension whose size follows the number of rows.
        gradient: Whether its gradient is wanted too.
    """
    first, second = (_written(function, makes, num_rows, gradient) for num_rows in (FIRST, SECOND))
    (given, a), (more, b) = first, second
    assert [node.op for node in a.nodes] == [node.op for node in b.nodes]
    values = [
        Value(name, _merged(tuple(x.shape), tuple(y.shape)), x.dtype)
        for (name, x), y in zip(given.items(), more.values(), strict=True)
    ]
    constants = [Value(name, tuple(t.shape), t.dtype) for name, t in a.constants.items()]
    graph = StepGraph(
        (*constants, *(value for value in values if Rows() not in value.shape)),
        tuple(value for value in values if Rows() in value.shape),
        (),
        tuple(map(_joined, a.nodes, b.nodes)),
        tuple(node.name for node in a.nodes if node.shape is not None),
        (),
    )
    return graph.check(), a.constants


def _written(
    function: Callable[..., Any], makes: Sequence[Make], num_rows: int, gradient: bool
) -> tuple[dict[str, Tensor], _Written]:
    given = {f"x{index}": make(num_rows) for index, make in enumerate(makes)}
    moving = [x.requires_grad_() for x in given.values() if x.is_floating_point() and gradient]
    with _Written(given) as written:
        results = function(*given.values())
    results = [results] if isinstance(results, Tensor) else list(results)
    ends = [result for result in results if result.requires_grad]
    for index, end in enumerate(ends):
        given[f"grad{index}"] = cotangent = torch.randn_like(end)
        written.alive.append(cotangent)
        written.names[id(cotangent)] = f"grad{index}"
    if ends:
        with written:
            cotangents = [given[f"grad{index}"] for index in range(len(ends))]
            torch.autograd.grad(ends, moving, cotangents, allow_unused=True)
    return {name: tensor.detach() for name, tensor in given.items()}, written


def _joined(a: Node, b: Node) -> Node:
    shape = None if a.shape is None else _merged(a.shape, b.shape)
    return Node(a.name, a.op, _merged(a.args, b.args), _merged(a.kwargs, b.kwargs), shape, a.dtype)


def _merged(a: Any, b: Any) -> Any:
    """One argument of the same argument for two numbers of rows."""
    if isinstance(a, tuple):
        return tuple(_merged(x, y) for x, y in zip(a, b, strict=True))
    if a == b:
        return a
    assert a % FIRST == 0, f"{a} for {FIRST} rows, {b} for {SECOND}"
    assert b == a // FIRST * SECOND, f"{a} for {FIRST} rows, {b} for {SECOND}"
    return Rows(a // FIRST)


# ---- what is true ----


def wrong_layouts(
    graph: StepGraph, constants: Mapping[str, Tensor], makes: Sequence[Make]
) -> list[str]:
    """What is not true of what the rules say about the values of a graph."""
    layouts = row_layouts(graph)

    def cut(values: dict[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
        return {name: _rows(value, layouts[name], first, last) for name, value in values.items()}

    def run(given: dict[str, Tensor], num_rows: int) -> dict[str, Any]:
        return evaluate(graph.nodes, {**constants, **given}, num_rows)

    batch, other = _numbers(graph, makes), _numbers(graph, makes)
    pieces = [cut(batch, 0, 2), cut(other, 2, 3), cut(batch, 3, NUM_ROWS)]
    changed = {name: _joined_rows([p[name] for p in pieces], layouts[name]) for name in batch}
    whole, moved = run(batch, NUM_ROWS), run(changed, NUM_ROWS)
    parts = run(cut(batch, 0, 1), 1), run(cut(batch, 1, NUM_ROWS), NUM_ROWS - 1)
    return [
        f"{node}: {layouts[node.name]}"
        for node in graph.nodes
        if isinstance(whole[node.name], Tensor)
        and not _holds(
            layouts[node.name],
            whole[node.name],
            moved[node.name],
            [part[node.name] for part in parts],
        )
    ]


def _numbers(graph: StepGraph, makes: Sequence[Make]) -> dict[str, Tensor]:
    """Numbers for the arguments of a graph."""
    given = {f"x{index}": make(NUM_ROWS) for index, make in enumerate(makes)}
    for value in graph.arguments():
        if value.name.startswith("grad"):
            given[value.name] = torch.randn(sizes_at(value.shape, NUM_ROWS), dtype=value.dtype)
    return given


def _rows(value: Tensor, layout: Layout, first: int, last: int) -> Tensor:
    """Some rows of a value; all of one that has none."""
    return value.narrow(layout.dim, first, last - first) if isinstance(layout, Along) else value


def _joined_rows(parts: Sequence[Tensor], layout: Layout) -> Tensor:
    return torch.cat([*parts], layout.dim) if isinstance(layout, Along) else parts[0]


def _holds(layout: Layout, whole: Tensor, moved: Tensor, parts: Sequence[Tensor]) -> bool:
    """Whether what a layout says of a value is so.

    Args:
        layout: What is said.
        whole: The value for a batch.
        moved: The value for the same batch with another third row.
        parts: The value for the first row alone, and for the other rows.
    """
    if isinstance(layout, Mixed):
        return True
    if layout == SHARED:
        return all(_same_bits(whole, value) for value in (moved, *parts))
    if layout == SUMMED:
        return _close(whole, parts[0] + parts[1])
    kept = ((0, 2), (3, NUM_ROWS))
    others = all(_same_bits(*(_rows(v, layout, *rows) for v in (whole, moved))) for rows in kept)
    return others and _close(whole, _joined_rows(parts, layout))


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return (
        a.shape == b.shape
        and torch.equal(a.isnan(), b.isnan())
        and torch.equal(a.nan_to_num(), b.nan_to_num())
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)
