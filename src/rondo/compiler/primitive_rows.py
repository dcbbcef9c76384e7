"""Operations within a row that are made of products, sums, extremes and arithmetic.

In go the terms and numbers that an operation of torch is given, out comes its result, or its
results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from rondo.compiler.expansion import Term, broadcast_shape, reduced_shape
from rondo.compiler.graph import Rows, Shape

aten = torch.ops.aten

MOST_OF_ROWS = 1 << 15
"""The most multiplications for each row that a product of two values with rows is done with."""


# ---- products ----


def _product(left: Term, right: Term) -> Term:
    """The product of two matrices, or of matrices of which each row of the batch has its own."""
    if len(left.shape) == 2:
        return left.shaped(aten.mm.default, (left.shape[0], right.shape[1]), right)
    *_, height, depth = left.shape
    width = right.shape[2]
    sizes = [size for size in (height, depth, width) if isinstance(size, int)]
    if not (left.has_rows(0) and right.has_rows(0)) or math.prod(sizes) > MOST_OF_ROWS:
        return left.shaped(aten.bmm.default, (*left.shape[:2], width), right)
    turned = right.shaped(aten.transpose.int, (right.shape[0], width, depth), 1, 2)
    return (left.unsqueeze(2) * turned.unsqueeze(1)).sum(3, keepdim=False)


def _products(left: Term, right: Term) -> Any:
    """`bmm(a, b)`."""
    return _product(left, right) if left.has_rows(0) and right.has_rows(0) else NotImplemented


def _added_product(
    added: Term, left: Term, right: Term, *, beta: float = 1, alpha: float = 1
) -> Term:
    """`addmm(c, a, b)`, `baddbmm(c, a, b)`: beta c + alpha a b."""
    product = _product(left, right).named("product")
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else product + (added if beta == 1 else added * beta)


def _matrix_times_vector(matrix: Term, vector: Term) -> Term:
    """`mv(a, v)`."""
    return (matrix * vector).sum(1, keepdim=False)


def _added_vector(
    added: Term, matrix: Term, vector: Term, *, beta: float = 1, alpha: float = 1
) -> Term:
    """`addmv(c, a, v)`: beta c + alpha a v."""
    product = _matrix_times_vector(matrix, vector) * alpha
    return product if beta == 0 else product + added * beta


def _product_of_three(
    first: Term,
    second: Term,
    third: Term,
    new_of_first: tuple[int, ...],
    new_of_second: tuple[int, ...],
    new_of_third: tuple[int, ...],
    summed: tuple[int, ...],
    *_: int,
) -> Any:
    """`_trilinear`: the sum over some dimensions of a product of three, each with new ones."""
    given = ((first, new_of_first), (second, new_of_second), (third, new_of_third))
    a, b, c = (_widened(term, new) for term, new in given)
    shape = broadcast_shape([a.shape, b.shape, c.shape])
    if math.prod(size for size in shape if isinstance(size, int)) > MOST_OF_ROWS:
        return NotImplemented
    return (a * b * c).sum(*summed, keepdim=False)


def _widened(x: Term, dims: tuple[int, ...]) -> Term:
    """With new dimensions of one element."""
    for dim in sorted(dims):
        x = x.unsqueeze(dim)
    return x


# ---- gates and softmax ----


def _gated(x: Term, dim: int = -1) -> Any:
    """`glu`: one half of x times the logistic function of the other."""
    dim %= len(x.shape)
    if x.has_rows(dim):
        return NotImplemented
    half = x.size(dim) // 2
    value, gate = x.slice(dim, 0, half), x.slice(dim, half, 2 * half)
    return value * gate.call(aten.sigmoid.default)


def _softmax(x: Term, dim: int, *types: Any) -> Term:
    """The exponentials over their sum, exp(x - max x) / sum."""
    power, total, _ = _powers(x, dim)
    return power / total


def _log_softmax(x: Term, dim: int, *types: Any) -> Term:
    """The logarithm of that, x - max x - log sum exp(x - max x)."""
    _, total, centred = _powers(x, dim)
    return centred - total.call(aten.log.default).named("log")


def _powers(x: Term, dim: int) -> tuple[Term, Term, Term]:
    """The exponentials exp(x - max x), their sum, and x - max x."""
    dim %= len(x.shape)
    centred = (x - x.amax(dim).named("max")).named("centred")
    power = centred.call(aten.exp.default).named("exp")
    return power, power.sum(dim).named("sum"), centred


def _safe_softmax(x: Term, dim: int, *types: Any) -> Term:
    """The softmax, 0 where all that it is of is -inf."""
    dim %= len(x.shape)
    largest = _finite(x.amax(dim))
    power = (x - largest).call(aten.exp.default)
    total = power.sum(dim)
    return total.equals(0.0).where(0.0, power / total)


def _log_sum_exp(x: Term, dims: tuple[int, ...], keepdim: bool = False) -> Term:
    """Log sum exp x."""
    dims = _dims(x, dims)
    largest = _finite(x.amax(*dims))
    total = (x - largest).call(aten.exp.default).sum(*dims)
    result = total.call(aten.log.default) + largest
    return result if keepdim else result.reshaped(reduced_shape(x.shape, dims, False))


def _finite(x: Term) -> Term:
    """The number, 0 where it is infinite."""
    return x.call(aten.abs.default).equals(math.inf).where(0.0, x)


# ---- means and deviations ----


def _mean(x: Term, dims: tuple[int, ...] | None = None, keepdim: bool = False) -> Term:
    dims = _dims(x, dims)
    total = x.sum(*dims, keepdim=keepdim).named("sum")
    return total * (1 / _count(x.shape, dims))


def _moments(x: Term, dims: tuple[int, ...], divisor: float) -> tuple[Term, Term, Term]:
    """The mean, the centred numbers, and the sum of their squares over the divisor."""
    mean = (x.sum(*dims).named("sum") * (1 / _count(x.shape, dims))).named("mean")
    centred = (x - mean).named("centred")
    squares = (centred * centred).named("square").sum(*dims).named("squares")
    share = 1 / divisor if divisor > 0 else math.inf
    return mean, centred, (squares * share).named("variance")


def _layer_norm(
    x: Term, sizes: tuple[int, ...], weight: Term | None, bias: Term | None, eps: float
) -> tuple[Term, Term, Term]:
    """The result, the mean, 1 / deviation."""
    dims = tuple(range(len(x.shape) - len(sizes), len(x.shape)))
    result, mean, inverse = _normal(x, dims, eps)
    if weight is not None:
        result = (result * weight).named("scaled")
    if bias is not None:
        result = (result + bias).named("moved")
    return result, mean, inverse


def _normal(x: Term, dims: tuple[int, ...], eps: float) -> tuple[Term, Term, Term]:
    """(x - mean) / deviation, the mean, 1 / deviation."""
    mean, centred, variance = _moments(x, dims, _count(x.shape, dims))
    inverse = (variance + eps).named("shifted").call(aten.rsqrt.default).named("inverse")
    return (centred * inverse).named("normal"), mean, inverse


def _group_norm(
    x: Term,
    weight: Term | None,
    bias: Term | None,
    num_rows: Rows,
    num_channels: int,
    size: int,
    num_groups: int,
    eps: float,
) -> tuple[Term, Term, Term]:
    """The result, and of each group the mean and 1 / deviation."""
    groups = x.reshaped((num_rows, num_groups, num_channels // num_groups * size))
    result, mean, inverse = _normal(groups, (2,), eps)
    result = result.reshaped(x.shape)
    each = (num_channels, *(1,) * (len(x.shape) - 2))
    result = result if weight is None else result * weight.reshaped(each)
    result = result if bias is None else result + bias.reshaped(each)
    kept = (num_rows, num_groups)
    return result, mean.reshaped(kept), inverse.reshaped(kept)


def _rms_norm(
    x: Term, sizes: tuple[int, ...], weight: Term | None, eps: float | None
) -> tuple[Term, Term]:
    """The numbers over the root of the mean of their squares, and 1 / that root."""
    dims = tuple(range(len(x.shape) - len(sizes), len(x.shape)))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    mean = (x * x).sum(*dims) * (1 / _count(x.shape, dims))
    inverse = (mean + eps).call(aten.rsqrt.default)
    result = x * inverse
    return result if weight is None else result * weight, inverse


def _variance(
    x: Term,
    dims: tuple[int, ...] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Term:
    variance, _ = _variance_and_mean(x, dims, correction=correction, keepdim=True)
    return variance.reshaped(reduced_shape(x.shape, _dims(x, dims), keepdim))


def _variance_and_mean(
    x: Term,
    dims: tuple[int, ...] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> tuple[Term, Term]:
    dims = _dims(x, dims)
    divisor = _count(x.shape, dims) - (1 if correction is None else correction)
    mean, _, variance = _moments(x, dims, divisor)
    if keepdim:
        return variance, mean
    left = reduced_shape(x.shape, dims, False)
    return variance.reshaped(left).named("variance_view"), mean.reshaped(left).named("mean_view")


def _deviation(x: Term, dims: tuple[int, ...] | None = None, **options: Any) -> Term:
    return _variance(x, dims, **options).call(aten.sqrt.default)


# ---- norms, and whether any or all are true ----


def _norm(
    x: Term, order: float | None = 2, dims: tuple[int, ...] | None = None, keepdim: bool = False
) -> Any:
    """The root of the sum of powers, and what it comes to for 0, 1 and infinity."""
    if dims is None:
        return NotImplemented
    dims, order = _dims(x, dims), 2 if order is None else order
    if order == 2:
        squares = (x * x).named("square").sum(*dims, keepdim=keepdim).named("sum")
        return squares.call(aten.sqrt.default)
    size = x.call(aten.abs.default)
    if math.isinf(order):
        reduce = size.amax if order > 0 else size.amin
        return reduce(*dims, keepdim=keepdim)
    if order == 0:
        return size.compare(aten.ne.Tensor, 0.0).as_type(x.dtype).sum(*dims, keepdim=keepdim)
    if order == 1:
        return size.sum(*dims, keepdim=keepdim)
    powers = size.call(aten.pow.Tensor_Scalar, order).sum(*dims, keepdim=keepdim)
    return powers.call(aten.pow.Tensor_Scalar, 1 / order)


def _any(x: Term, dims: Any = None, keepdim: bool = False) -> Term:
    return _truths(x).amax(*_dims(x, dims), keepdim=keepdim).compare(aten.ne.Tensor, 0.0)


def _all(x: Term, dims: Any = None, keepdim: bool = False) -> Term:
    return _truths(x).amin(*_dims(x, dims), keepdim=keepdim).compare(aten.ne.Tensor, 0.0)


def _truths(x: Term) -> Term:
    """1 where a number is not 0, or a truth value true, and 0 elsewhere."""
    is_true = x if x.dtype == torch.bool else x.compare(aten.ne.Tensor, 0.0)
    return is_true.as_type(x.expansion.dtype)


def _dims(x: Term, dims: Any) -> tuple[int, ...]:
    """Dimensions, counted from the first; all of them where none is named."""
    if dims is None or dims == ():
        return tuple(range(len(x.shape)))
    several = dims if isinstance(dims, tuple) else (dims,)
    return tuple(dim % max(1, len(x.shape)) for dim in several)


def _count(shape: Shape, dims: Iterable[int]) -> int:
    sizes = [shape[dim] for dim in dims]
    return math.prod(0 if isinstance(size, Rows) else size for size in sizes)


ROWS: dict[Any, Callable[..., Any]] = {
    aten.bmm: _products,
    **dict.fromkeys([aten.addmm, aten.baddbmm], _added_product),
    aten.mv: _matrix_times_vector,
    aten.addmv: _added_vector,
    aten._trilinear: _product_of_three,
    aten.glu: _gated,
    aten._softmax: _softmax,
    aten._log_softmax: _log_softmax,
    aten._safe_softmax: _safe_softmax,
    aten.logsumexp: _log_sum_exp,
    aten.mean: _mean,
    aten.native_layer_norm: _layer_norm,
    aten.native_group_norm: _group_norm,
    aten._fused_rms_norm: _rms_norm,
    aten.var: _variance,
    aten.var_mean: _variance_and_mean,
    aten.std: _deviation,
    **dict.fromkeys([aten.linalg_vector_norm, aten.norm], _norm),
    aten.any: _any,
    aten.all: _all,
}
"""For an operation, its result or results; `NotImplemented`: it stays as it is."""
