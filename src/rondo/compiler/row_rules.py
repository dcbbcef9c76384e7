"""For every operation that is known: where the rows are in its result.

A rule gets the :class:`Operands` of a node and returns the :class:`Layout` of its result, or a
tuple of layouts where it has several results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.graph import Ref, Rows, Shape
from rondo.compiler.layouts import SHARED, SUMMED, Along, Layout, Operands

aten = torch.ops.aten


def random(o: Operands) -> Layout | tuple[Layout, ...]:
    """Random numbers for every row; one draw for the whole batch is no property of a row."""
    shape = o.node.shape
    if shape is None:  # native_dropout: the result and its mask
        return (o.layout(o.argument(0)),) * 2
    if Rows() in shape:
        return Along(shape.index(Rows()))
    return o.mixed("draws random numbers that the whole batch shares")


def pointwise(o: Operands) -> Layout:
    """Elementwise with broadcasting: the rows must lie along one dimension of the result."""
    arguments = [Ref(name) for name in o.node.reads]
    layouts = [o.layout(argument) for argument in arguments]
    if SUMMED in layouts:
        return _linear(o, layouts)
    ndim = len(o.node.shape or ())
    dims = {
        ndim - len(o.shape(argument)) + layout.dim
        for argument, layout in zip(arguments, layouts, strict=True)
        if isinstance(layout, Along)
    }
    if not dims:
        return SHARED
    if len(dims) > 1:
        return o.mixed("combines different rows of the batch")
    return Along(dims.pop())


def _linear(o: Operands, layouts: list[Layout]) -> Layout:
    """A sum over rows stays one under a linear operation, and under no other."""
    packet, others = o.node.packet, [layout for layout in layouts if layout != SUMMED]
    if any(isinstance(layout, Along) for layout in others):
        return o.mixed("mixes a sum over the rows back into the rows")
    numbers = [a for a in o.node.args if not isinstance(a, Ref)]
    additive = packet in {aten.add, aten.sub} and not others and len(layouts) == 2
    scaling = packet in {aten.mul, aten.neg, aten.clone, aten._to_copy} and (
        layouts.count(SUMMED) == 1
    )
    divided = packet is aten.div and layouts.count(SUMMED) == 1 and layouts[0] == SUMMED
    if additive or scaling or (divided and len(others) + len(numbers) == 1):
        return SUMMED
    return o.mixed("is not linear in a sum over the rows")


def same(o: Operands) -> Layout:
    """The result is laid out like the first argument."""
    return o.layout(o.argument(0))


def transpose(o: Operands) -> Layout:
    """`t`, `transpose(dim0, dim1)`."""
    ndim = len(o.shape(o.argument(0)))
    order = list(range(ndim))
    first, second = (0, 1) if o.node.packet is aten.t else (o.argument(1), o.argument(2))
    if ndim > 1:
        order[first], order[second] = order[second], order[first]
    return _permuted(o, order)


def permute(o: Operands) -> Layout:
    """`permute(dims)`."""
    ndim = len(o.shape(o.argument(0)))
    return _permuted(o, [dim % ndim for dim in o.argument(1)])


def _permuted(o: Operands, order: list[int]) -> Layout:
    layout = o.layout(o.argument(0))
    return Along(order.index(layout.dim)) if isinstance(layout, Along) else layout


def reshape(o: Operands) -> Layout:
    """A view keeps the rows apart if what lies before and behind them keeps its size."""
    layout, shape = o.layout(o.argument(0)), o.shape(o.argument(0))
    result = o.node.shape or ()
    if not isinstance(layout, Along):
        return layout
    if result.count(Rows()) != 1:
        return o.mixed("folds the rows of the batch into another dimension")
    dim = result.index(Rows())
    if _count(shape[: layout.dim]) != _count(result[:dim]):
        return o.mixed("moves elements from row to row")
    return Along(dim)


def _count(sizes: Shape) -> int:
    product = 1
    for size in sizes:
        assert isinstance(size, int), f"two dimensions follow the batch size in {sizes}"
        product *= size
    return product


def expand(o: Operands) -> Layout:
    """`expand(sizes)`: new dimensions come in front; a shared value may gain rows."""
    layout, result = o.layout(o.argument(0)), o.node.shape or ()
    if isinstance(layout, Along):
        return Along(layout.dim + len(result) - len(o.shape(o.argument(0))))
    if Rows() in result and layout == SHARED:
        return Along(result.index(Rows()))
    return layout if Rows() not in result else o.mixed("spreads a sum over the rows")


def unsqueeze(o: Operands) -> Layout:
    """`unsqueeze(dim)`."""
    layout = o.layout(o.argument(0))
    at = o.argument(1) % (len(o.shape(o.argument(0))) + 1)
    return Along(layout.dim + (at <= layout.dim)) if isinstance(layout, Along) else layout


def squeeze(o: Operands) -> Layout:
    """`squeeze(dim)`."""
    layout, shape = o.layout(o.argument(0)), o.shape(o.argument(0))
    dims = o.argument(1, tuple(range(len(shape))))
    dims = [dim % len(shape) for dim in (dims if isinstance(dims, tuple) else (dims,))]
    if not isinstance(layout, Along):
        return layout
    return Along(layout.dim - sum(d < layout.dim and shape[d] == 1 for d in dims))


def _dim_of(o: Operands, index: int, default: int = 0) -> int:
    ndim = max(len(o.shape(o.argument(0))), 1)
    return int(o.argument(index, default)) % ndim


def select(o: Operands) -> Layout:
    """`select(dim, index)` removes a dimension."""
    layout, dim = o.layout(o.argument(0)), _dim_of(o, 1)
    if not isinstance(layout, Along):
        return layout
    if dim == layout.dim:
        return o.mixed("picks one row of the batch")
    return Along(layout.dim - (dim < layout.dim))


def slice_(o: Operands) -> Layout:
    """`slice(dim, start, end, step)`; a slice of all rows is none."""
    layout, dim = o.layout(o.argument(0)), _dim_of(o, 1)
    whole = o.node.shape == o.shape(o.argument(0)) and o.argument(4, 1) == 1
    if isinstance(layout, Along) and dim == layout.dim and not whole:
        return o.mixed("picks some rows of the batch")
    return layout


def split(o: Operands) -> tuple[Layout, ...] | Layout:
    """`split(size, dim)`, `unbind(dim)`: several results, each laid out like the whole."""
    unbind = o.node.packet is aten.unbind
    layout, dim = o.layout(o.argument(0)), _dim_of(o, 1 if unbind else 2)
    if not isinstance(layout, Along):
        return layout
    if dim == layout.dim:
        return o.mixed("takes the rows of the batch apart")
    return Along(layout.dim - (dim < layout.dim)) if unbind else layout


def cat(o: Operands) -> Layout:
    """`cat(tensors, dim)` along another dimension than the rows."""
    layouts = _joined_layouts(o)
    if len(layouts) > 1:
        return o.mixed("joins values with and without rows")
    (layout,) = layouts
    if isinstance(layout, Along) and _cat_dim(o) == layout.dim:
        return o.mixed("joins rows of the batch")
    return layout


def stack(o: Operands) -> Layout:
    """`stack(tensors, dim)`: a new dimension beside the rows."""
    layouts = _joined_layouts(o)
    if len(layouts) > 1:
        return o.mixed("joins values with and without rows")
    (layout,) = layouts
    return Along(layout.dim + (_cat_dim(o) <= layout.dim)) if isinstance(layout, Along) else layout


def _joined_layouts(o: Operands) -> set[Layout]:
    """The layouts of what is joined; zeros go with a sum over the rows, being one themselves."""
    layouts = {o.layout(argument) for argument in o.argument(0)}
    known = {o.layout(argument) for argument in o.argument(0) if argument.name not in o.zeros}
    return known if layouts == {SHARED, SUMMED} else layouts


def _cat_dim(o: Operands) -> int:
    return int(o.argument(1, 0)) % max(len(o.node.shape or ()), 1)


def matrix_product(o: Operands) -> Layout:
    """`mm`, `bmm`: rows of either factor are rows of the product; a common row is summed."""
    return _product(o, o.argument(0), o.argument(1))


def added_matrix_product(o: Operands) -> Layout:
    """`addmm(c, a, b)`, `baddbmm(c, a, b)`."""
    product, added = _product(o, o.argument(1), o.argument(2)), o.argument(0)
    layout = o.layout(added)
    if isinstance(layout, Along):
        layout = Along(layout.dim + len(o.node.shape or ()) - len(o.shape(added)))
    if isinstance(product, Along) and layout in (SHARED, product):
        return product
    if product == layout:
        return product
    return o.mixed("adds values whose rows differ")


def _product(o: Operands, a: Any, b: Any) -> Layout:
    left, right = o.layout(a), o.layout(b)
    ndim = len(o.shape(a))
    row, column = ndim - 2, ndim - 1
    if left == SHARED and right == SHARED:
        return SHARED
    if {left, right} == {SHARED, SUMMED}:
        return SUMMED
    if left == Along(column) and right == Along(row):
        return SUMMED
    if left == Along(row) and right == SHARED:
        return Along(row)
    if left == SHARED and right == Along(column):
        return Along(column)
    if ndim == 3 and {left, right} <= {Along(0), SHARED}:
        return Along(0)
    return o.mixed("multiplies rows of the batch with each other")


def total(o: Operands) -> Layout:
    """`sum(dims, keepdim)`: over the rows it is a sum over rows, otherwise rows stay."""
    layout, shape = o.layout(o.argument(0)), o.shape(o.argument(0))
    dims = _reduced(o, shape)
    if isinstance(layout, Along) and layout.dim in dims:
        return SUMMED
    return _after_reduction(o, layout, dims, bool(o.argument(2, False)))


def reduction(o: Operands) -> Layout:
    """`mean`, `amax`, `amin`: within a row."""
    layout, dims = o.layout(o.argument(0)), _reduced(o, o.shape(o.argument(0)))
    return _after_reduction(o, layout, dims, bool(o.argument(2, False)))


def norm(o: Operands) -> Layout:
    """`linalg_vector_norm(x, order, dims, keepdim)`: within a row."""
    shape = o.shape(o.argument(0))
    dims = o.argument(2)
    reduced = {dim % len(shape) for dim in (range(len(shape)) if dims is None else dims)}
    layout = _after_reduction(o, o.layout(o.argument(0)), reduced, bool(o.argument(3, False)))
    return o.mixed("is not linear in a sum over rows") if layout == SUMMED else layout


def repeat(o: Operands) -> Layout:
    """`repeat(x, times)`: new dimensions come in front; the rows themselves are not repeated."""
    layout, times = o.layout(o.argument(0)), o.argument(1)
    if not isinstance(layout, Along):
        return layout if Rows() not in (o.node.shape or ()) else o.mixed("makes rows")
    dim = layout.dim + len(times) - len(o.shape(o.argument(0)))
    return Along(dim) if times[dim] == 1 else o.mixed("repeats the rows of the batch")


def variance(o: Operands) -> Layout | tuple[Layout, ...]:
    """`var_mean(dims, correction=, keepdim=)` within a row, two results; `var`, one."""
    layout, dims = o.layout(o.argument(0)), _reduced(o, o.shape(o.argument(0)))
    keep = bool(dict(o.node.kwargs).get("keepdim", False))
    result = _after_reduction(o, layout, dims, keep)
    return result if o.node.packet is aten.var else (result,) * 2


def _reduced(o: Operands, shape: Shape) -> set[int]:
    dims = o.argument(1)
    dims = range(len(shape)) if dims in (None, ()) else dims
    return {dim % max(len(shape), 1) for dim in (dims if not isinstance(dims, int) else (dims,))}


def _after_reduction(o: Operands, layout: Layout, dims: set[int], keepdim: bool) -> Layout:
    if layout == SUMMED:
        return SUMMED if o.node.packet is aten.sum else o.mixed("is not linear in a sum over rows")
    if not isinstance(layout, Along):
        return layout
    if layout.dim in dims:
        return o.mixed("reduces over the rows of the batch")
    return layout if keepdim else Along(layout.dim - sum(dim < layout.dim for dim in dims))


def within_row(o: Operands) -> Layout:
    """`softmax(dim)`, `cumsum(dim)`: along another dimension than the rows."""
    layout, dim = o.layout(o.argument(0)), _dim_of(o, 1)
    if isinstance(layout, Along) and layout.dim == dim:
        return o.mixed("runs over the rows of the batch")
    return layout if layout != SUMMED else o.mixed("is not linear in a sum over rows")


def layer_norm(o: Operands) -> Layout | tuple[Layout, ...]:
    """`native_layer_norm(x, sizes, ...)`: over the last dimensions; three results."""
    layout, shape = o.layout(o.argument(0)), o.shape(o.argument(0))
    if isinstance(layout, Along) and layout.dim >= len(shape) - len(o.argument(1)):
        return o.mixed("normalises over the rows of the batch")
    return (layout,) * 3


def create(o: Operands) -> Layout:
    """`full`, `zeros`, `empty`, `new_zeros`: rows where a size follows the batch."""
    shape = o.node.shape or ()
    return Along(shape.index(Rows())) if Rows() in shape else SHARED


def scattered(o: Operands) -> Layout:
    """`slice_scatter(x, part, dim, ...)`, `select_scatter`: the part takes a place in x."""
    layout, dim = o.layout(o.argument(0)), _dim_of(o, 2)
    part = o.layout(o.argument(1))
    if o.node.packet is aten.select_scatter and isinstance(part, Along):
        part = Along(part.dim + (dim <= part.dim))
    if layout == SHARED and (part == SHARED or (part == SUMMED and o.argument(0).name in o.zeros)):
        return part  # a sum over the rows among zeros is a sum over the rows
    if layout != part or layout == Along(dim):
        return o.mixed("puts values into others whose rows differ")
    return layout


def padded_back(o: Operands) -> Layout:
    """`slice_backward`, `select_backward` (gradient, sizes, dim, ...): rows where they were."""
    layout, result = o.layout(o.argument(0)), o.node.shape or ()
    if not isinstance(layout, Along):
        return layout
    dim = result.index(Rows()) if Rows() in result else -1
    return Along(dim) if dim >= 0 and o.argument(2) % len(result) != dim else o.mixed("moves rows")


def convolution(o: Operands) -> Layout:
    """`convolution(x, weight, bias, ...)`: rows first, the weight shared."""
    shared = all(o.layout(o.argument(index)) == SHARED for index in (1, 2))
    if o.layout(o.argument(0)) == Along(0) and shared:
        return Along(0)
    return o.mixed("has weights that differ from row to row")


def convolution_backward(o: Operands) -> Layout | tuple[Layout, ...]:
    """`convolution_backward(gradient, x, weight, ...)`: to the input, the weight, the bias."""
    if o.layout(o.argument(0)) == Along(0) == o.layout(o.argument(1)):
        return Along(0), SUMMED, SUMMED
    return o.mixed("has rows in another dimension")


ROW_RULES: dict[Any, Callable[[Operands], Any]] = {
    **dict.fromkeys([aten.clone, aten.detach, aten.alias, aten._to_copy], same),
    **dict.fromkeys([aten.zeros_like, aten.ones_like, aten.full_like, aten.empty_like], same),
    aten.fill: same,
    **dict.fromkeys([aten.t, aten.transpose], transpose),
    aten.permute: permute,
    **dict.fromkeys([aten.view, aten._unsafe_view, aten.reshape], reshape),
    aten.expand: expand,
    aten.unsqueeze: unsqueeze,
    aten.squeeze: squeeze,
    aten.select: select,
    aten.slice: slice_,
    **dict.fromkeys([aten.split, aten.split_with_sizes, aten.unbind], split),
    aten.cat: cat,
    aten.stack: stack,
    **dict.fromkeys([aten.mm, aten.bmm], matrix_product),
    **dict.fromkeys([aten.addmm, aten.baddbmm], added_matrix_product),
    aten.sum: total,
    **dict.fromkeys([aten.mean, aten.amax, aten.amin], reduction),
    aten.linalg_vector_norm: norm,
    aten.repeat: repeat,
    **dict.fromkeys([aten.var_mean, aten.var], variance),
    **dict.fromkeys([aten._softmax, aten._log_softmax, aten.cumsum], within_row),
    aten.native_layer_norm: layer_norm,
    **dict.fromkeys([aten.full, aten.zeros, aten.ones, aten.empty, aten.scalar_tensor], create),
    **dict.fromkeys([aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty], create),
    **dict.fromkeys([aten.slice_backward, aten.select_backward], padded_back),
    **dict.fromkeys([aten.slice_scatter, aten.select_scatter], scattered),
    aten.convolution: convolution,
    aten.convolution_backward: convolution_backward,
}
