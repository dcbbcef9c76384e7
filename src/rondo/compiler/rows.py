"""Where the rows of the batch are in every value of a step, and whether they stay apart.

In goes a :class:`StepGraph`, out comes a :class:`Layout` for every value. Work may leave the loop,
and run once for all T*B rows of all steps, only if every row of its result depends on the same row
of its inputs alone; or if it sums over the rows, as the gradient of a weight does, for then one
sum over T*B rows is the sum over the steps. Both are proved here, operation by operation, from a
table of rules. What the table does not know is *mixed*: it stays in the loop.
"""

from __future__ import annotations

from typing import Any

import torch

from rondo.compiler.graph import Rows, Shape, StepGraph, draws_random, is_getitem
from rondo.compiler.layouts import SHARED, Along, Layout, Mixed, Operands
from rondo.compiler.row_rules import ROW_RULES, pointwise, random

aten = torch.ops.aten

ZEROS = {aten.zeros, aten.new_zeros, aten.zeros_like}
"""Operations whose result is zero."""


def row_layouts(graph: StepGraph) -> dict[str, Layout]:
    """The layout of every input and node of a step."""
    layouts: dict[str, Any] = {value.name: SHARED for value in graph.parameters}
    layouts |= {value.name: _given(value.shape) for value in (*graph.inputs, *graph.state)}
    shapes = {name: value.shape for name, value in graph.by_name.items()}
    zeros = _zeros(graph)
    for node in graph.nodes:
        layouts[node.name] = _layout(Operands(node, layouts, shapes, zeros))
    return {
        name: layout if isinstance(layout, Layout) else _joined(layout)
        for name, layout in layouts.items()
    }


def _zeros(graph: StepGraph) -> frozenset[str]:
    """The values that are zero whatever comes in."""
    zeros: set[str] = set()
    for node in graph.nodes:
        is_view = node.packet in {aten.expand, aten.view, aten.clone}
        if node.packet in ZEROS or (is_view and node.args[0].name in zeros):
            zeros.add(node.name)
    return frozenset(zeros)


def _given(shape: Shape) -> Layout:
    return Along(shape.index(Rows())) if Rows() in shape else SHARED


def _joined(layouts: tuple[Layout, ...]) -> Layout:
    mixed = [layout for layout in layouts if isinstance(layout, Mixed)]
    return mixed[0] if mixed else layouts[0]


def _layout(operands: Operands) -> Any:
    """The layout of a node's result; a tuple of layouts where it has several results."""
    node = operands.node
    if is_getitem(node):
        several = operands.layouts[node.args[0].name]
        return several[node.args[1]] if isinstance(several, tuple) else several
    tags = getattr(node.op, "tags", ())
    read = [operands.layouts[name] for name in node.reads]
    for layout in read:
        if isinstance(layout, Mixed):
            return layout
    has_rows = Rows() in (node.shape or ())
    if read and not has_rows and set(read) == {SHARED} and not draws_random(node):
        return SHARED
    rule = random if draws_random(node) else ROW_RULES.get(node.packet)
    if rule is None and torch.Tag.pointwise in tags:
        rule = pointwise
    if rule is None:
        return operands.mixed("is not known to treat the rows of a batch independently")
    return rule(operands)
