"""Functions of numbers that kernels have no word for, as arithmetic that they know.

In go the terms and numbers that an operation of torch is given, out comes its result. The formulas
are those of torch's documentation, and what torch does with NaN and infinity they do too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.expansion import Term

aten = torch.ops.aten

Formula = Callable[..., Any]


def _log_sigmoid(x: Term) -> tuple[Term, Term]:
    """Log σ(x) = min(x, 0) - log(1 + exp(-|x|)), and the exponential."""
    power = (-x.call(aten.abs.default)).call(aten.exp.default)
    return x.call(aten.clamp_max.default, 0.0) - power.call(aten.log1p.default), power


def _mish(x: Term) -> Term:
    return x * x.call(aten.softplus.default).call(aten.tanh.default)


def _celu(x: Term, alpha: float = 1.0) -> Term:
    return x.call(aten.elu.default, alpha, 1.0, 1.0 / alpha)


def _prelu(x: Term, weight: Term) -> Term:
    return (x > 0).where(x, weight * x)


def _hardsigmoid(x: Term) -> Term:
    return (x + 3.0).call(aten.clamp.default, 0.0, 6.0) / 6.0


def _hardswish(x: Term) -> Term:
    return x * (x + 3.0).call(aten.clamp.default, 0.0, 6.0) / 6.0


def _hardshrink(x: Term, limit: float = 0.5) -> Term:
    return ((x >= -limit) & (x <= limit)).where(0.0, x)


def _softshrink(x: Term, limit: float = 0.5) -> Term:
    return (x > limit).where(x - limit, (x < -limit).where(x + limit, x * 0.0))


def _threshold(x: Term, limit: float, value: float) -> Term:
    return (x <= limit).where(value, x)


def _fmax(a: Term, b: Term) -> Term:
    return ((a >= b) | b.is_nan()).where(a, b)


def _fmin(a: Term, b: Term) -> Term:
    return ((a <= b) | b.is_nan()).where(a, b)


def _has_other_sign(rest: Term, divisor: Term | float) -> Term:
    """Where a rest is not 0 and its sign is not that of the divisor."""
    negative = rest < 0
    if not isinstance(divisor, Term):
        return negative if divisor > 0 else rest > 0
    positive = (rest > 0) & (divisor < 0)
    return positive | (negative & (divisor > 0))


def _remainder(a: Term, b: Term | float) -> Term:
    """The rest of a division, with the sign of the divisor."""
    rest = a.call(aten.fmod.Tensor, b)
    return _has_other_sign(rest, b).where(rest + b, rest)


def _frac(x: Term) -> Term:
    return x - x.call(aten.trunc.default)


def _divide(a: Term, b: Term | float, *, rounding_mode: str | None = None) -> Any:
    """The quotient a / b, towards 0 or towards the smaller whole number."""
    if rounding_mode is None:
        return NotImplemented
    if rounding_mode == "trunc":
        return (a / b).call(aten.trunc.default)
    rest = a.call(aten.fmod.Tensor, b)
    whole = (a - rest) / b
    whole = _has_other_sign(rest, b).where(whole - 1.0, whole)
    floor = whole.call(aten.floor.default)
    result = (whole - floor > 0.5).where(floor + 1.0, floor)
    if isinstance(b, Term):
        return b.equals(0.0).where(a / b, result)
    return a / b if b == 0 else result


def _floor_divide(a: Term, b: Term | float) -> Any:
    return _divide(a, b, rounding_mode="floor")


def _nan_to_num(
    x: Term, nan: float | None = None, high: float | None = None, low: float | None = None
) -> Term:
    info = torch.finfo(x.dtype)
    x = x.is_nan().where(nan or 0.0, x)
    x = x.equals(math.inf).where(info.max if high is None else high, x)
    return x.equals(-math.inf).where(info.min if low is None else low, x)


def _squared_error(a: Term, b: Term, reduction: int = 1) -> Any:
    return (a - b).call(aten.square.default) if reduction == 0 else NotImplemented


def _smooth_error(a: Term, b: Term, reduction: int = 1, beta: float = 1.0) -> Any:
    if reduction != 0:
        return NotImplemented
    error = (a - b).call(aten.abs.default)
    if beta == 0:
        return error
    return (error < beta).where(error * error * (0.5 / beta), error - 0.5 * beta)


def _huber_error(a: Term, b: Term, reduction: int = 1, delta: float = 1.0) -> Any:
    if reduction != 0:
        return NotImplemented
    error = (a - b).call(aten.abs.default)
    return (error <= delta).where(error * error * 0.5, (error - 0.5 * delta) * delta)


def _add_logarithms(a: Term, b: Term) -> Term:
    """log(exp a + exp b)."""
    difference = (a - b).call(aten.abs.default)
    total = (-difference).call(aten.exp.default).call(aten.log1p.default)
    largest = a.call(aten.maximum.default, b)
    is_infinite = a.equals(b) & a.call(aten.abs.default).equals(math.inf)
    return is_infinite.where(a, largest + total)


def _times_log(x: Term | float, y: Term | float) -> Any:
    """X log y, 0 where x is 0, unless y is NaN."""
    if not isinstance(x, Term) or not isinstance(y, Term):
        return NotImplemented
    return y.is_nan().where(y, x.equals(0.0).where(0.0, x * y.call(aten.log.default)))


def _with_sign(size: Term, of: Term | float) -> Term:
    size = size.call(aten.abs.default)
    if not isinstance(of, Term):
        return -size if math.copysign(1.0, of) < 0 else size
    is_negative = (of < 0) | (of.equals(0.0) & (of.call(aten.reciprocal.default) < 0))
    return is_negative.where(-size, size)


def _logit(x: Term, eps: float | None = None) -> Term:
    if eps is not None:
        x = x.call(aten.clamp.default, eps, 1.0 - eps)
    return (x / (1.0 - x)).call(aten.log.default)


def _heaviside(x: Term, at_zero: Term) -> Term:
    return x.equals(0.0).where(at_zero, (x > 0).as_type(x.dtype))


def _sinc(x: Term) -> Term:
    angle = x * math.pi
    return x.equals(0.0).where(1.0, angle.call(aten.sin.default) / angle)


# ---- gradients ----


def _prelu_backward(grad: Term, x: Term, weight: Term) -> tuple[Term, Term]:
    return (x > 0).where(grad, weight * grad), (x > 0).where(0.0, x * grad)


def _shrink_backward(grad: Term, x: Term, limit: float) -> Term:
    return ((x >= -limit) & (x <= limit)).where(0.0, grad)


def _squared_error_backward(grad: Term, a: Term, b: Term, reduction: int) -> Any:
    return (a - b) * grad * 2.0 if reduction == 0 else NotImplemented


def _smooth_error_backward(grad: Term, a: Term, b: Term, reduction: int, beta: float) -> Any:
    if reduction != 0:
        return NotImplemented
    error = a - b
    inner = error * (1.0 / beta) * grad if beta else error
    outer = error.call(aten.sign.default) * grad
    return (error.call(aten.abs.default) < beta).where(inner, outer)


def _huber_error_backward(grad: Term, a: Term, b: Term, reduction: int, delta: float) -> Any:
    if reduction != 0:
        return NotImplemented
    return (a - b).call(aten.clamp.default, -delta, delta) * grad


NUMBERS: dict[Any, Formula] = {
    aten.log_sigmoid_forward: _log_sigmoid,
    aten.mish: _mish,
    aten.celu: _celu,
    aten._prelu_kernel: _prelu,
    aten.hardsigmoid: _hardsigmoid,
    aten.hardswish: _hardswish,
    aten.hardshrink: _hardshrink,
    aten.softshrink: _softshrink,
    aten.threshold: _threshold,
    aten.fmax: _fmax,
    aten.fmin: _fmin,
    aten.remainder: _remainder,
    aten.frac: _frac,
    aten.div: _divide,
    aten.floor_divide: _floor_divide,
    aten.nan_to_num: _nan_to_num,
    aten.mse_loss: _squared_error,
    aten.smooth_l1_loss: _smooth_error,
    aten.huber_loss: _huber_error,
    aten.logaddexp: _add_logarithms,
    aten.xlogy: _times_log,
    aten.copysign: _with_sign,
    aten.logit: _logit,
    aten.heaviside: _heaviside,
    aten.sinc: _sinc,
    aten._prelu_kernel_backward: _prelu_backward,
    **dict.fromkeys([aten.hardshrink_backward, aten.softshrink_backward], _shrink_backward),
    aten.mse_loss_backward: _squared_error_backward,
    aten.smooth_l1_loss_backward: _smooth_error_backward,
    aten.huber_loss_backward: _huber_error_backward,
    aten.deg2rad: lambda x: x * (math.pi / 180),
    aten.rad2deg: lambda x: x * (180 / math.pi),
}
"""For an operation, its result; `NotImplemented`: it stays as it is."""
