"""Operations within a row that go by the numbers of its elements: choosing, sorting out, masking.

In go the terms and numbers that an operation of torch is given, out comes its result, or its
results. What is chosen by a number, as `x[:, [2, 0]]` is, is the sum of all elements of which those
with other numbers are left out: then an index is a number like any other, whichever it is. So each
of the elements that are chosen costs as much as an element of a product with a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from rondo.compiler.expansion import Term, reduced_shape
from rondo.compiler.graph import Rows
from rondo.compiler.kernel import NotCoveredError

aten = torch.ops.aten

MOST_PAIRS = 1 << 15
"""The most pairs of an element of a row and a number that are compared."""

# ---- masks ----


def _lower_triangle(x: Term, diagonal: int = 0) -> Term:
    return (_distance(x) <= diagonal).where(x, 0.0)


def _upper_triangle(x: Term, diagonal: int = 0) -> Term:
    return (_distance(x) >= diagonal).where(x, 0.0)


def _distance(x: Term) -> Term:
    """How far behind the diagonal each element of a matrix is."""
    height, width = x.size(-2), x.size(-1)
    return x.numbers(width) - x.numbers(height, behind=1)


def _on_diagonal(x: Term, offset: int = 0, first: int = -2, second: int = -1) -> Any:
    """The elements on the diagonal of a matrix that is 0 elsewhere."""
    if (offset, first, second) != (0, -2, -1):
        return NotImplemented
    size = x.size(-1)
    is_there = x.numbers(size, behind=1).equals(x.numbers(size))
    return is_there.where(x.unsqueeze(len(x.shape)), 0.0)


def _diagonal_scatter(x: Term, part: Term, offset: int = 0, first: int = 0, second: int = 1) -> Any:
    """Elements put on the diagonal of square matrices."""
    num_dims = len(x.shape)
    first, second = sorted((first % num_dims, second % num_dims))
    is_square = x.shape[first] == x.shape[second] and not x.has_rows(first)
    if offset or not is_square:
        return NotImplemented
    numbers = x.numbers(x.size(first), behind=num_dims - first - 1)
    is_there = numbers.equals(x.numbers(x.size(first), behind=num_dims - second - 1))
    order = [*range(num_dims - 2)]
    order.insert(second - 1, num_dims - 2)  # the diagonal is the last dimension of the part
    shape = tuple(part.shape[dim] for dim in order)
    turned = part.shaped(aten.permute.default, shape, tuple(order))
    return is_there.where(turned.unsqueeze(first), x)


def _running_sum(x: Term, dim: int) -> Any:
    """The sum of all elements up to each."""
    if x.has_rows(dim):
        return NotImplemented
    return _up_to_each(x, dim, 0.0).sum(dim % len(x.shape) + 1, keepdim=False)


def _running_product(x: Term, dim: int) -> Any:
    """The product of all elements up to each."""
    if x.has_rows(dim):
        return NotImplemented
    parts = _up_to_each(x, dim, 1.0)
    dim = dim % len(x.shape) + 1
    shape = reduced_shape(parts.shape, (dim,), False)
    return parts.shaped(aten.prod.dim_int, shape, dim)


def _up_to_each(x: Term, dim: int, otherwise: float) -> Term:
    """For each element along a dimension, in a dimension behind it, all elements up to it."""
    dim %= len(x.shape)
    _check_cost(x, x.size(dim))
    own = x.numbers(x.size(dim), behind=len(x.shape) - dim)
    return (_numbers(x, dim) <= own).where(x.unsqueeze(dim), otherwise)


# ---- numbers of elements ----


def _check_cost(x: Term, pairs: int) -> None:
    """Fail where each row would be gone through so often that torch itself is faster."""
    sizes = (size for size in x.shape if isinstance(size, int))
    if math.prod(sizes) * pairs > MOST_PAIRS:
        raise NotCoveredError(f"{x.like.op_name} with so many numbers is faster in torch")


def _picked(x: Term, dim: int, index: Term) -> Term:
    """The elements along a dimension with the numbers that an index says there."""
    _check_cost(x, index.size(dim))
    chosen = _numbers(x, dim).equals(index.unsqueeze(dim + 1))
    return chosen.where(x.unsqueeze(dim), 0.0).sum(dim + 1, keepdim=False)


def _spread(x: Term, dim: int, index: Term, source: Term) -> Term:
    """The sums of what goes to each element of x along a dimension."""
    parts = _meets(x, dim, index).where(source.unsqueeze(dim), 0.0)
    return parts.sum(dim + 1, keepdim=False)


def _replaced(x: Term, dim: int, index: Term, source: Term) -> Term:
    """X with other elements at the numbers that an index says; the last of several stays."""
    order = _numbers(index, dim)
    last = _meets(x, dim, index).where(order, -1.0).amax(dim + 1)
    value = order.equals(last).where(source.unsqueeze(dim), 0.0).sum(dim + 1, keepdim=False)
    shape = (*last.shape[: dim + 1], *last.shape[dim + 2 :])
    return (last.reshaped(shape) >= 0.0).where(value, x)


def _numbers(x: Term, dim: int) -> Term:
    """The number of each element along a dimension."""
    return x.numbers(x.size(dim), behind=len(x.shape) - dim - 1)


def _meets(x: Term, dim: int, index: Term) -> Term:
    """For each element of x along a dimension, then for each number of an index: is it that?"""
    _check_cost(x, index.size(dim))
    own = x.numbers(x.size(dim), behind=len(x.shape) - dim)
    return own.equals(index.unsqueeze(dim))


def _list(x: Term, dim: int, index: Term) -> Term | None:
    """The numbers of a list that all rows share, with the dimensions of x; None if it is none."""
    is_mask = index.dtype in (torch.bool, torch.uint8)
    has_rows = x.has_rows(dim) or any(isinstance(size, Rows) for size in index.shape)
    if is_mask or has_rows or len(index.shape) != 1:
        return None
    shape = (*(1,) * dim, index.size(0), *(1,) * (len(x.shape) - dim - 1))
    return index.reshaped(shape).as_type(x.dtype)


def _own_numbers(x: Term, dim: int, index: Term) -> Term | None:
    """The numbers of an index that each element has for itself; None if they do not fit to x."""
    fits = all(
        a == b for d, (a, b) in enumerate(zip(x.shape, index.shape, strict=True)) if d != dim
    )
    return index.as_type(x.dtype) if fits and not x.has_rows(dim) else None


def _gather(x: Term, dim: int, index: Term) -> Any:
    """The elements with the numbers of an index along a dimension."""
    dim %= len(x.shape)
    numbers = _own_numbers(x, dim, index)
    return NotImplemented if numbers is None else _picked(x, dim, numbers)


def _scatter(x: Term, dim: int, index: Term, source: Term | float) -> Any:
    """X with other elements at the numbers of an index along a dimension."""
    dim %= len(x.shape)
    numbers = _own_numbers(x, dim, index)
    if numbers is None or (isinstance(source, Term) and source.shape != index.shape):
        return NotImplemented
    if numbers.size(dim) == 1:
        return _numbers(x, dim).equals(numbers).where(source, x)
    if not isinstance(source, Term):
        source = x.filled(source, index.shape)
    return _replaced(x, dim, numbers, source)


def _scatter_add(x: Term, dim: int, index: Term, source: Term) -> Any:
    """x, and added to it what goes to the numbers of an index along a dimension."""
    dim %= len(x.shape)
    numbers = _own_numbers(x, dim, index)
    if numbers is None or source.shape != index.shape:
        return NotImplemented
    return x + _spread(x, dim, numbers, source)


def _index_select(x: Term, dim: int, index: Term) -> Any:
    """The elements with the numbers of a list along a dimension."""
    dim %= len(x.shape)
    numbers = _list(x, dim, index)
    return NotImplemented if numbers is None else _picked(x, dim, numbers)


def _index_add(x: Term, dim: int, index: Term, source: Term, *, alpha: float = 1) -> Any:
    """x, and added to it what goes to the numbers of a list along a dimension."""
    dim %= len(x.shape)
    numbers = _list(x, dim, index)
    if numbers is None:
        return NotImplemented
    return x + _spread(x, dim, numbers, source if alpha == 1 else source * alpha)


def _index_copy(x: Term, dim: int, index: Term, source: Term) -> Any:
    """X with other elements at the numbers of a list along a dimension."""
    dim %= len(x.shape)
    numbers = _list(x, dim, index)
    return NotImplemented if numbers is None else _replaced(x, dim, numbers, source)


def _index_fill(x: Term, dim: int, index: Term, value: Term | float) -> Any:
    """X with one number at the numbers of a list along a dimension."""
    dim %= len(x.shape)
    numbers = _list(x, dim, index)
    if numbers is None:
        return NotImplemented
    count = _meets(x, dim, numbers).as_type(x.dtype).sum(dim + 1, keepdim=False)
    return (count > 0.0).where(value, x)


def _index(x: Term, indices: tuple[Term | None, ...]) -> Any:
    """`x[:, list]`; a list of lists gives a dimension for each."""
    found = _one_list(x, indices)
    if found is None:
        return NotImplemented
    dim, numbers, sizes = found
    shape = (*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
    picked = _picked(x, dim, numbers)
    return picked if len(sizes) == 1 else picked.reshaped(shape)


def _index_put(
    x: Term, indices: tuple[Term | None, ...], values: Term, accumulate: bool = False
) -> Any:
    """X with other elements, or with something added, at `x[:, list]`."""
    found = _one_list(x, indices)
    if found is None or len(found[2]) != 1:
        return NotImplemented
    dim, numbers, sizes = found
    shape = (*x.shape[:dim], *sizes, *x.shape[dim + 1 :])
    if values.shape != shape:
        values = values.shaped(aten.expand.default, shape, shape)
    return (
        x + _spread(x, dim, numbers, values) if accumulate else _replaced(x, dim, numbers, values)
    )


def _one_list(x: Term, indices: Sequence[Term | None]) -> tuple[int, Term, tuple[int, ...]] | None:
    """The dimension that is indexed, the numbers from the start, and the sizes of the index."""
    given = [(dim, index) for dim, index in enumerate(indices) if index is not None]
    if len(given) != 1 or not given[0][1].shape:
        return None
    ((dim, index),) = given
    if any(isinstance(size, Rows) for size in index.shape):
        return None
    sizes = tuple(index.size(d) for d in range(len(index.shape)))
    flat = index if len(sizes) == 1 else index.reshaped((math.prod(sizes),))
    numbers = _list(x, dim, flat)
    if numbers is None:
        return None
    return dim, (numbers < 0.0).where(numbers + float(x.size(dim)), numbers), sizes


# ---- the largest and the smallest ----


def _number_of(x: Term, extreme: Term, dim: int, keepdim: bool) -> Term:
    """The number of the first element that is an extreme, or NaN."""
    is_it = x.equals(extreme) | x.is_nan()
    first = is_it.where(_numbers(x, dim), float(x.size(dim))).amin(dim, keepdim=keepdim)
    return first.as_type(torch.int64)


def _extreme(kind: str, with_value: bool) -> Callable[..., Any]:
    def rule(x: Term, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None or isinstance(dim, Term) or x.has_rows(dim):
            return NotImplemented
        dim %= len(x.shape)
        extreme: Term = getattr(x, kind)(dim)
        number = _number_of(x, extreme, dim, keepdim)
        if not with_value:
            return number
        return extreme if keepdim else getattr(x, kind)(dim, keepdim=False), number

    return rule


BY_NUMBER: dict[Any, Callable[..., Any]] = {
    aten.tril: _lower_triangle,
    aten.triu: _upper_triangle,
    aten.diag_embed: _on_diagonal,
    aten.diagonal_scatter: _diagonal_scatter,
    aten.cumsum: _running_sum,
    aten.cumprod: _running_product,
    aten.gather: _gather,
    aten.scatter: _scatter,
    aten.scatter_add: _scatter_add,
    aten.index_select: _index_select,
    aten.index_add: _index_add,
    aten.index_copy: _index_copy,
    aten.index_fill: _index_fill,
    **dict.fromkeys([aten.index, aten._unsafe_index], _index),
    **dict.fromkeys([aten.index_put, aten._unsafe_index_put], _index_put),
    aten.max: _extreme("amax", with_value=True),
    aten.min: _extreme("amin", with_value=True),
    aten.argmax: _extreme("amax", with_value=False),
    aten.argmin: _extreme("amin", with_value=False),
}
"""For an operation, its result or results; `NotImplemented`: it stays as it is."""
