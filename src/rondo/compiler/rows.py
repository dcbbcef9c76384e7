"""Where the rows of the batch are in every value of a step, and whether they stay apart.

In goes a :class:`StepGraph`, out comes a :class:`Layout` for every value. Work may leave the loop,
and run once for all T*B rows of all steps, only if every row of its result depends on the same row
of its inputs alone; or if it sums over the rows, as the gradient of a weight does, for then one
sum over T*B rows is the sum over the steps. Both are proved here, operation by operation.

A table of rules says which operations mix the rows, and when. Where the rows are in the result of
one that does not, the shape of the result says: in the dimension whose size follows the batch. If
there is none, the result is a sum over the rows, where the operation makes such sums. What is not
linear in such a sum belongs to one step; all else is *mixed*: both stay in the loop.
"""

from __future__ import annotations

import torch

from rondo.compiler.graph import Node, Rows, Shape, StepGraph, draws_random, is_getitem
from rondo.compiler.layouts import (
    SHARED,
    SUMMED,
    Along,
    Layout,
    Mixed,
    OfOneStep,
    Operands,
    Summed,
    row_dims,
)
from rondo.compiler.row_rules import Rule, apart, computes_with_rows, unknown
from rondo.compiler.row_sums import SUMS, is_linear
from rondo.compiler.row_table import ROW_RULES, UNIFORM

aten = torch.ops.aten

ZEROS = {aten.zeros, aten.new_zeros, aten.zeros_like}
"""Operations whose result is zero."""

ZERO_OF_ZERO = {aten.expand, aten.view, aten.clone, aten.detach, aten.t, aten.permute}
"""Operations whose result is zero if what they are given is."""


def row_layouts(graph: StepGraph) -> dict[str, Layout]:
    """The layout of every input and node of a step."""
    layouts: dict[str, Layout] = {value.name: SHARED for value in graph.parameters}
    layouts |= {value.name: _given(value.shape) for value in (*graph.inputs, *graph.state)}
    values, zeros = graph.by_name, _zeros(graph)
    for node in graph.nodes:
        whole = values[node.args[0].name] if is_getitem(node) else node
        assert isinstance(whole, Node)
        layouts[node.name] = _layout(Operands(whole, values, layouts, zeros), node.shape)
    return layouts


def _zeros(graph: StepGraph) -> frozenset[str]:
    """The values that are zero whatever comes in."""
    zeros: set[str] = set()
    for node in graph.nodes:
        is_filled = node.packet in {aten.full, aten.scalar_tensor} and node.args[-1] == 0
        is_kept = node.packet in ZERO_OF_ZERO and zeros.issuperset(node.reads)
        if node.packet in ZEROS or is_filled or is_kept:
            zeros.add(node.name)
    return frozenset(zeros)


def _given(shape: Shape) -> Layout:
    return Along(shape.index(Rows())) if Rows() in shape else SHARED


def _layout(operands: Operands, shape: Shape | None) -> Layout:
    """The layout of a node's result of this shape; of several results together, without one."""
    read = _read(operands)
    for layout in read:
        if isinstance(layout, Mixed) and not isinstance(layout, OfOneStep):
            return layout
    if set(map(type, read)) & {Summed, OfOneStep}:
        return _of_sums(operands, read, shape)
    alike = set(read) <= {SHARED} and not row_dims(shape) and not draws_random(operands.node)
    reason = None if alike else _rule(operands.node)(operands)
    reason = reason or computes_with_rows(operands)
    if reason is not None:
        return operands.mixed(reason)
    if alike:
        return SHARED
    if shape is None:
        return next((layout for layout in read if isinstance(layout, Along)), SHARED)
    return _along(operands, shape)


def _read(operands: Operands) -> list[Layout]:
    """The layouts of all values on which a node depends."""
    if operands.node.packet in UNIFORM:
        return []
    return [operands.layouts[name] for name in operands.node.reads]


def _rule(node: Node) -> Rule:
    """The rule of an operation."""
    is_pointwise = torch.Tag.pointwise in node.op.tags  # type: ignore[attr-defined]
    return apart if is_pointwise else ROW_RULES.get(node.packet, unknown)


def _of_sums(operands: Operands, read: list[Layout], shape: Shape | None) -> Layout:
    """What becomes of a sum over the rows: it stays one under linear operations only."""
    if any(isinstance(layout, Along) for layout in read):
        return operands.mixed("mixes a sum over the rows back into the rows")
    if row_dims(shape):
        return operands.mixed("spreads a sum over the rows")
    earlier = next((layout for layout in read if isinstance(layout, OfOneStep)), None)
    if earlier is None and is_linear(operands) and computes_with_rows(operands) is None:
        return SUMMED
    reason = f"{operands.node.op_name} is not linear in a sum over the rows"
    return earlier or OfOneStep(reason)


def _along(operands: Operands, shape: Shape) -> Layout:
    """The layout of a result of an operation that does not mix rows."""
    dims = row_dims(shape)
    if len(dims) > 1:
        return operands.mixed("combines different rows of the batch")
    if dims:
        (dim,) = dims
        whole = shape[dim] == Rows()
        return Along(dim) if whole else operands.mixed("folds the rows into another dimension")
    if draws_random(operands.node):
        return operands.mixed("draws random numbers that the whole batch shares")
    if operands.node.packet in SUMS:
        return SUMMED
    return SHARED if 0 in shape else operands.mixed("gives one result for the whole batch")
