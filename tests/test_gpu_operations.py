"""Every elementwise operation that kernels for GPUs know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import rondo
from gpu_cases import (
    Applied,
    run_where_kernels_run,
)
from rondo.compiler.gpu.operators import TRITON_SPELLING

pytest.importorskip("triton")
pytestmark = run_where_kernels_run

aten = torch.ops.aten


def of_one(function: Any) -> Any:
    return lambda x, y: function(x)


OPERATIONS: dict[Any, Any] = {
    aten.add: lambda x, y: torch.add(x, y, alpha=0.5),
    aten.sub: lambda x, y: torch.sub(x, y, alpha=2),
    aten.rsub: lambda x, y: 2 - x,
    aten.mul: torch.mul,
    aten.div: torch.div,
    **{
        getattr(aten, name): of_one(getattr(torch, name))
        for name in (
            *("neg", "reciprocal", "abs", "sqrt", "rsqrt", "exp", "exp2", "log", "log2", "sin"),
            *("cos", "erf", "floor", "ceil", "tanh", "sigmoid", "expm1", "log1p", "sign", "sgn"),
            *("relu", "square"),
        )
    },
    aten.silu: of_one(nn.functional.silu),
    aten.gelu: lambda x, y: nn.functional.gelu(x) + nn.functional.gelu(y, approximate="tanh"),
    aten.softplus: lambda x, y: nn.functional.softplus(x) + nn.functional.softplus(y, 2.0, 3.0),
    aten.leaky_relu: of_one(nn.functional.leaky_relu),
    aten.elu: lambda x, y: nn.functional.elu(x, 0.7) + nn.functional.selu(y),
    aten.pow: lambda x, y: x**2 + x**3 + y**0.5 + x**-1 + x**-2 + y**-0.5 + y**2.5 + x**4,
    aten.maximum: torch.maximum,
    aten.minimum: torch.minimum,
    aten.clamp: lambda x, y: x.clamp(-0.5, 0.7) + y.clamp(max=0.2) + y.clamp(min=-1),
    aten.hardtanh: of_one(nn.functional.hardtanh),
    aten.clamp_min: lambda x, y: x.clamp_min(0.1),
    aten.clamp_max: lambda x, y: x.clamp_max(0.1),
    aten.where: lambda x, y: torch.where(x > y, x, 2.0 * y),
    aten.masked_fill: lambda x, y: x.masked_fill(y > 0, 3.0),
    aten.lerp: lambda x, y: torch.lerp(x, y, 0.3),
    aten.addcmul: lambda x, y: torch.addcmul(x, x, y, value=0.5),
    aten.addcdiv: lambda x, y: torch.addcdiv(x, x, y, value=0.5),
    aten.eq: lambda x, y: (x == x.floor()) * y,
    aten.ne: lambda x, y: (x != x.floor()) * y,
    **{
        getattr(aten, name): lambda x, y, name=name: getattr(torch, name)(x, y) * y
        for name in ("lt", "le", "gt", "ge")
    },
    **{
        getattr(aten, name): lambda x, y, name=name: getattr(torch, name)(x > 0, y > 0) * y
        for name in (
            *("logical_and", "logical_or", "logical_xor"),
            *("bitwise_and", "bitwise_or", "bitwise_xor"),
        )
    },
    aten.logical_not: lambda x, y: torch.logical_not(x > 0) * y,
    aten.bitwise_not: lambda x, y: torch.bitwise_not(x > 0) * y,
    aten.trunc: of_one(torch.trunc),
    aten.fmod: lambda x, y: torch.fmod(x, 0.7) + torch.fmod(x.nan_to_num(1.0, 2.0, 3.0), y),
    aten.isnan: lambda x, y: torch.where(torch.isnan(x), y, x),
    aten._to_copy: lambda x, y: (x > 0).to(x.dtype) + y.to(torch.bool).to(x.dtype),
}
"""An expression for each operation that kernels know."""


def test_each_operation_has_an_expression() -> None:
    assert set(OPERATIONS) == set(TRITON_SPELLING)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_each_operation(operation: Any) -> None:
    cell = Applied(OPERATIONS[operation])
    x = torch.randn(4, 3, 8)
    x[0, 0, :6] = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-6])
    x[0, 1, :6] = torch.tensor([50.0, -50.0, 100.0, -100.0, 1e-20, 3.0])
    x = torch.cat([x, x.abs()])
    h = torch.randn(8, 8).abs()
    if operation is aten.gelu:
        x = torch.where(x.isinf(), 1.0, x)  # of which torch makes NaN
    if operation in (aten.sin, aten.cos):
        x = torch.where(x.abs() < 1e4, x, 1.0)
    got, expected = (
        rondo.Recurrent(cell, engine=engine)(x, h)[0] for engine in ("cuda", "reference")
    )
    torch.testing.assert_close(got, expected, rtol=4e-6, atol=1e-7, equal_nan=True)
