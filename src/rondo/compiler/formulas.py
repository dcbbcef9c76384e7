"""Operations of torch that are taken apart into arithmetic while a step is recorded.

In go the arguments of an operation that autograd runs on its way back, such as `tanh_backward`, out
comes its result, by operations that kernels and plans know: arithmetic, sums within a row, slices.
The formulas are those of torch's own documentation of each function; torch keeps such a table too,
but loading it takes longer than to record, compile and run a cell.

Numbers of half precision are computed in float32 and rounded once, as torch's kernels do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

Formula = Callable[..., Any]
HALF = {torch.bfloat16, torch.float16}


def _widened(formula: Formula) -> Formula:
    """The formula, computed in float32 where it is given numbers of half precision."""

    @wraps(formula)
    def run(*args: Any, **options: Any) -> Any:
        given = args[0].dtype
        if given not in HALF:
            return formula(*args, **options)
        wide = [
            arg.float() if isinstance(arg, Tensor) and arg.dtype in HALF else arg for arg in args
        ]
        return formula(*wide, **options).to(given)

    return run


# ---- functions of one number ----


def _tanh(grad: Tensor, y: Tensor) -> Tensor:
    return grad * (1 - y * y) if not y.is_complex() else NotImplemented


def _sigmoid(grad: Tensor, y: Tensor) -> Tensor:
    return grad * (y * (1 - y)) if not y.is_complex() else NotImplemented


def _threshold(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    return torch.where(x <= threshold, 0, grad)


def _gelu(grad: Tensor, x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "none":
        share = 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))
        density = torch.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
        return grad * (share + x * density)
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    squared = x * x
    tanh = torch.tanh(scale * (x + cubic * (squared * x)))
    slope = scale * (1 + 3 * cubic * squared)
    return grad * (0.5 * (1 + tanh) + 0.5 * x * ((1 - tanh * tanh) * slope))


def _silu(grad: Tensor, x: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(x)
    return grad * sigmoid * (1 + x * (1 - sigmoid))


def _softplus(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    power = torch.exp(x * beta)
    return torch.where(x * beta > threshold, grad, grad * power / (power + 1.0))


def _log_sigmoid(grad: Tensor, x: Tensor, buffer: Tensor) -> Tensor:
    return grad * torch.sigmoid(-x)


def _elu(
    grad: Tensor, alpha: float, scale: float, slope: float, is_result: bool, value: Tensor
) -> Tensor:
    factor = alpha * scale
    rising = grad * slope * (value + factor)
    if not is_result:
        rising = grad * slope * factor * torch.exp(value * slope)
    return torch.where(value <= 0, rising, grad * scale)


def _hardtanh(grad: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    return torch.where((x <= low) | (x >= high), 0.0, grad)


def _leaky_relu(grad: Tensor, x: Tensor, slope: float, is_result: bool) -> Tensor:
    return torch.where(x > 0, grad, grad * slope)


SINGLE_SIXTH = float(torch.tensor(1 / 6, dtype=torch.float32))
"""The slope of `hardsigmoid`, which torch takes in float32, also for float64."""


def _hardsigmoid(grad: Tensor, x: Tensor) -> Tensor:
    return torch.where((x > -3.0) & (x < 3.0), grad * SINGLE_SIXTH, 0.0)


def _hardswish(grad: Tensor, x: Tensor) -> Tensor:
    rising = torch.where(x < 3, grad * (x / 3 + 0.5), grad)
    return torch.where(x <= -3, 0.0, rising)


def _mish(grad: Tensor, x: Tensor) -> Tensor:
    tanh = torch.tanh(torch.nn.functional.softplus(x))
    return grad * (tanh + x * torch.sigmoid(x) * (1 - tanh * tanh))


def _logit(grad: Tensor, x: Tensor, eps: float | None = None) -> Tensor:
    low = 0.0 if eps is None else eps
    outside = math.nan if eps is None else 0.0
    return torch.where((x >= low) & (x <= 1.0 - low), grad / (x * (1.0 - x)), outside)


def _glu(grad: Tensor, x: Tensor, dim: int) -> Tensor:
    value, gate = x.chunk(2, dim)
    share = torch.sigmoid(gate)
    return torch.cat([share * grad, (1.0 - share) * share * value * grad], dim)


# ---- functions of a row ----


def _softmax(grad: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    product = grad * y
    return (product - y * product.sum(dim, keepdim=True)).to(dtype)


def _log_softmax(grad: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    return (grad - torch.exp(y) * grad.sum(dim, keepdim=True)).to(dtype)


def _layer_norm(
    grad: Tensor,
    x: Tensor,
    sizes: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """The gradient of y = (x - mean) rstd weight + bias, each row normalised on its own."""
    given = x.dtype
    if given in HALF:
        grad, x = grad.float(), x.float()
        weight = None if weight is None else weight.float()
    first = x.ndim - len(sizes)
    inner, outer = list(range(first, x.ndim)), list(range(first))
    count = math.prod(sizes)
    normed = (x - mean) * rstd
    scaled = grad if weight is None else grad * weight
    of_x = of_weight = of_bias = None
    if wanted[0]:
        centred = (
            scaled * count - scaled.sum(inner, True) - normed * (scaled * normed).sum(inner, True)
        )
        of_x = ((rstd / count) * centred).to(given)
    if wanted[1] and weight is not None:
        of_weight = (grad * normed).sum(outer) if outer else grad * normed
    if wanted[2] and bias is not None:
        of_bias = grad.sum(outer) if outer else grad.clone()
    return of_x, *(None if value is None else value.to(given) for value in (of_weight, of_bias))


# ---- parts of a value ----


def _dropout(grad: Tensor, mask: Tensor, scale: float) -> Tensor:
    return grad * (mask.to(grad.dtype) * scale)


def _slice(grad: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Tensor:
    return torch.slice_scatter(grad.new_zeros(sizes), grad, dim, start, end, step)


def _select(grad: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    return torch.select_scatter(grad.new_zeros(sizes), grad, dim, index)


def _diagonal(grad: Tensor, sizes: Sequence[int], offset: int, first: int, second: int) -> Tensor:
    return torch.diagonal_scatter(grad.new_zeros(sizes), grad, offset, first, second)


def _as_strided(
    x: Tensor, sizes: Sequence[int], strides: Sequence[int], offset: int | None = None
) -> Any:
    """A view by numbers of elements, as slices and selections of a contiguous value."""
    if not x.is_contiguous() or 0 in sizes:
        return NotImplemented
    begin = int(x.storage_offset())
    left = 0 if offset is None else offset - begin
    wanted = list(zip(sizes, strides, strict=True))
    result, dim = x, 0
    for size, stride in zip(x.shape, x.stride(), strict=True):
        start = min(left // stride, size - 1) if left >= 0 else -1
        left -= start * stride
        if start < 0:
            return NotImplemented
        count, apart = wanted[0] if wanted else (0, 0)
        step, rest = divmod(apart, stride)
        if wanted and step and not rest and start + (count - 1) * step < size:
            wanted.pop(0)
            if (start, count, step) != (0, size, 1):
                end = start + (count - 1) * step + 1
                result = aten.slice.Tensor(result, dim, start, end, step)
            dim += 1
        else:
            result = aten.select.int(result, dim, start)
    return NotImplemented if wanted or left else result


def _like(create: Any) -> Formula:
    """What is like a value takes its sizes and its type, and nothing that it holds."""

    def run(x: Tensor, *numbers: float, memory_format: Any = None, **options: Any) -> Any:
        if memory_format is not torch.contiguous_format and not _lies_in_order(x):
            return NotImplemented
        return create(x.shape, *numbers, **_kind(x, options))

    return run


def _new(create: Any) -> Formula:
    """What is made anew takes the type of a value, and nothing that it holds."""

    def run(x: Tensor, *sizes_and_numbers: Any, **options: Any) -> Tensor:
        made: Tensor = create(*sizes_and_numbers, **_kind(x, options))
        return made

    return run


def _kind(x: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    """The type and the place of a value, or those that are chosen."""
    given = {"dtype": x.dtype, "layout": x.layout, "device": x.device}
    return {**given, **{key: value for key, value in options.items() if value is not None}}


def _lies_in_order(x: Tensor) -> bool:
    """Whether what is made like a value lies in memory dimension after dimension."""
    strides = [step for step, size in zip(x.stride(), x.shape, strict=True) if step and size > 1]
    return strides == sorted(strides, reverse=True)


CONVOLUTION_BACKWARD = aten.convolution_backward.default


def _convolution_in_two(grad: Tensor, *rest: Any) -> Any:
    """The gradient of a convolution as two operations: to its input, and to its weights.

    The gradient of a state goes through the first at every step; the second then leaves the loop.
    """
    *arguments, (to_input, to_weight, to_bias) = rest
    if not to_input or not (to_weight or to_bias):
        return NotImplemented
    of_input, _, _ = CONVOLUTION_BACKWARD(grad, *arguments, [True, False, False])
    _, *of_weights = CONVOLUTION_BACKWARD(grad, *arguments, [False, to_weight, to_bias])
    return of_input, *of_weights


FORMULAS: dict[Any, Formula] = {
    **{
        op: _widened(formula)
        for op, formula in (
            (aten.tanh_backward.default, _tanh),
            (aten.sigmoid_backward.default, _sigmoid),
            (aten.gelu_backward.default, _gelu),
            (aten.silu_backward.default, _silu),
            (aten.softplus_backward.default, _softplus),
            (aten.log_sigmoid_backward.default, _log_sigmoid),
            (aten.elu_backward.default, _elu),
            (aten.hardtanh_backward.default, _hardtanh),
            (aten.leaky_relu_backward.default, _leaky_relu),
            (aten.hardsigmoid_backward.default, _hardsigmoid),
            (aten.hardswish_backward.default, _hardswish),
            (aten.mish_backward.default, _mish),
            (aten.logit_backward.default, _logit),
            (aten.glu_backward.default, _glu),
        )
    },
    aten.threshold_backward.default: _threshold,
    aten._softmax_backward_data.default: _softmax,
    aten._log_softmax_backward_data.default: _log_softmax,
    aten.native_layer_norm_backward.default: _layer_norm,
    aten.native_dropout_backward.default: _dropout,
    aten.slice_backward.default: _slice,
    aten.select_backward.default: _select,
    aten.diagonal_backward.default: _diagonal,
    aten.as_strided.default: _as_strided,
    aten.empty_like.default: _like(aten.empty.memory_format),
    aten.zeros_like.default: _like(aten.zeros.default),
    aten.ones_like.default: _like(aten.ones.default),
    aten.full_like.default: _like(aten.full.default),
    aten.new_empty.default: _new(aten.empty.memory_format),
    aten.new_empty_strided.default: _new(aten.empty_strided.default),
    aten.new_zeros.default: _new(aten.zeros.default),
    aten.new_ones.default: _new(aten.ones.default),
    aten.new_full.default: _new(aten.full.default),
    aten.rand_like.default: _like(aten.rand.default),
    aten.randn_like.default: _like(aten.randn.default),
    CONVOLUTION_BACKWARD: _convolution_in_two,
}
"""For an operation, what is done instead; `NotImplemented`: it stays as it is."""
