"""When an operation mixes the rows of the batch.

In go the :class:`Operands` of a node, out comes why it mixes rows, or None where it keeps them
apart. Most operations treat every element on its own, or work along the dimensions that they are
told, along their last ones, or along all but the first: there no rows may lie. Which operation has
which rule stands in `row_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from rondo.compiler.graph import Rows, Shape
from rondo.compiler.layouts import Operands, row_dims

Rule = Callable[[Operands], str | None]
"""Why a node mixes rows, or None."""

DIMS = ("dim", "dims", "dimension", "dim1", "dim2")
"""The names of arguments that are dimensions."""

SIZES = {
    *("size", "sizes", "shape", "input_size", "input_sizes", "output_size", "stride"),
    *("end", "repeats", "N", "bias_sizes", "split_size", "split_sizes"),
}
"""The names of arguments in which the number of rows may stand."""


def unknown(operands: Operands) -> str:
    """The rule of all operations that have none."""
    return "is not known to keep batch rows independent"


def computes_with_rows(operands: Operands) -> str | None:
    """The rule of every operation: what is right for B rows is not for T*B rows."""
    node = operands.node
    counted = _has_rows((node.args, node.kwargs)) and any(
        _has_rows(value) for name, value in operands.arguments.items() if name not in SIZES
    )
    return "computes with the number of rows of the batch" if counted else None


def _has_rows(given: Any) -> bool:
    return any(map(_has_rows, given)) if isinstance(given, tuple) else isinstance(given, Rows)


def apart(operands: Operands) -> None:
    """Every element of the result depends on one element of each value, or on none."""


def along_its_dims(why: str) -> Rule:
    """A rule of an operation that works along the dimensions that it is told, or along all."""

    def rule(o: Operands) -> str | None:
        given = [o.arguments[name] for name in DIMS if name in o.arguments]
        dims = [d for item in given for d in (item if isinstance(item, list | tuple) else [item])]
        for own, ndim in o.rows_lie():
            forbidden = [dim % ndim for dim in dims if dim is not None] or range(ndim)
            return why if own in forbidden else None
        return None

    return rule


def along_last(num_dims: int, why: str = "works along the rows of the batch") -> Rule:
    """A rule of an operation that works along its last dimensions."""

    def rule(o: Operands) -> str | None:
        dim, ndim = next(o.rows_lie(), (0, num_dims + 1))
        return why if dim >= ndim - num_dims else None

    return rule


def rows_first(o: Operands) -> str | None:
    """The rule of operations that treat only what lies along the first dimension apart."""
    other = any(dim > 0 for dim, _ in o.rows_lie())
    return "has rows in another dimension than the first" if other else None


def put_back(o: Operands) -> str | None:
    """The rule of `slice_backward` and the like: the gradient of a part in zeros."""
    shape = o.node.shape or ()
    dims = {o.arguments[name] % len(shape) for name in DIMS if name in o.arguments}
    is_all = shape == o.shape(o.node.args[0]) and o.argument("step") == 1
    return "takes some rows of the batch" if dims & {*row_dims(shape)} and not is_all else None


def slice_(o: Operands) -> str | None:
    """`slice(dim, start, end, step)`; a slice of all rows is none."""
    is_all = o.node.shape == o.shape(o.node.args[0]) and o.argument("step") == 1
    return None if is_all else along_its_dims("picks some rows of the batch")(o)


def reshape(o: Operands) -> str | None:
    """A view keeps the rows apart if what lies before and behind them keeps its size."""
    result = o.node.shape or ()
    for dim, _ in o.rows_lie():
        before = _count(o.shape(o.node.args[0])[:dim])
        if not any(_count(result[:new]) == before for new in row_dims(result)):
            return "moves elements from row to row"
    return None


def _count(sizes: Shape) -> int:
    return prod(size for size in sizes if isinstance(size, int))


def repeat(o: Operands) -> str | None:
    """`repeat(repeats)`: new dimensions come in front; the rows themselves are not repeated."""
    repeats = o.argument("repeats")
    again = any(repeats[dim - ndim] != 1 for dim, ndim in o.rows_lie())
    return "repeats the rows of the batch" if again else None


def pad(o: Operands) -> str | None:
    """`constant_pad_nd(pad)`: two numbers for each dimension, from the last one on."""
    sizes = o.argument("pad")
    padded = {-1 - index // 2 for index, size in enumerate(sizes) if size}
    more = any(dim - ndim in padded for dim, ndim in o.rows_lie())
    return "puts values beside the rows of the batch" if more else None


def added_product(o: Operands) -> str | None:
    """`addmm(self, mat1, mat2)` and the like; a sum over the rows is added to nothing."""
    own = o.argument("self")
    if o.node.shape is not None and not row_dims(o.node.shape) and own.name not in o.zeros:
        return "adds a sum over the rows to what is none"
    return None


def layer_norm(o: Operands) -> str | None:
    """Layer and RMS norms, over their last dimensions."""
    num_dims = len(o.argument("normalized_shape"))
    return along_last(num_dims, "normalises over the rows of the batch")(o)


def batch_norm(o: Operands) -> str | None:
    """In training over all dimensions but the second."""
    training = o.argument("training") or o.argument("train")
    over = training and any(dim != 1 for dim, _ in o.rows_lie())
    return "normalises over the rows of the batch" if over else None


def loss(o: Operands) -> str | None:
    """`mse_loss(self, target, reduction)` and the like: a number for every element, or a mean."""
    is_mean = o.argument("reduction") != 0 and any(o.rows_lie())
    return "reduces over the rows of the batch" if is_mean else None


def renorm(o: Operands) -> str | None:
    """`renorm(p, dim, maxnorm)` treats what lies along a dimension apart."""
    over = any(dim != o.argument("dim") % ndim for dim, ndim in o.rows_lie())
    return "normalises over the rows of the batch" if over else None
