"""How Triton's language writes the elementwise operations of a step: a table.

What the table does not name, no kernel for a GPU does.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from rondo.compiler.elementwise import ARITHMETIC, Spelling, between, clamped, function
from rondo.compiler.kernel import NotCoveredError, Target

aten = torch.ops.aten


def _power(x: str, exponent: str) -> str:
    """A power of a number of halves, by products and a root."""
    try:
        number = float(exponent.strip("()"))
    except ValueError:
        number = math.nan
    size = abs(number)
    if not (2 * size).is_integer() or not 0 < size <= MOST_POWER:
        raise NotCoveredError(f"a power of {exponent} is none that kernels for GPUs do")
    factors = [x] * int(size) + ([f"tl.sqrt({x})"] if size % 1 else [])
    product = " * ".join(factors)
    return product if number > 0 else f"1.0 / ({product})"


MOST_POWER = 8
"""The highest power that is written as a product."""


def _gelu(x: str, *, approximate: str = '"none"') -> str:
    return f"gelu_tanh({x})" if approximate == '"tanh"' else f"gelu({x})"


CLAMP = clamped("greater", "smaller")

TRITON_SPELLING: dict[Any, Spelling] = {
    **ARITHMETIC,
    aten.abs: function("tl.abs"),
    aten.sqrt: function("tl.sqrt"),
    aten.rsqrt: lambda x: f"1.0 / tl.sqrt({x})",
    **{
        getattr(aten, name): function(f"tl.{name}")
        for name in ("exp2", "log2", "sin", "cos", "erf", "floor", "ceil")
    },
    **{
        getattr(aten, name): function(name)
        for name in ("exp", "log", "tanh", "sigmoid", "expm1", "log1p", "sign")
    },
    aten.sgn: function("sign"),
    aten.trunc: lambda x: f"tl.where({x} < 0, tl.ceil({x}), tl.floor({x}))",
    aten.fmod: between("%"),
    aten.silu: lambda x: f"{x} * sigmoid({x})",
    aten.relu: lambda x: f"greater({x}, 0.0)",
    aten.gelu: _gelu,
    aten.softplus: lambda x, beta="1.0", threshold="20.0": f"softplus({x}, {beta}, {threshold})",
    aten.leaky_relu: lambda x, slope="0.01": f"tl.where({x} > 0, {x}, {slope} * {x})",
    aten.elu: lambda x, alpha="1.0", scale="1.0", input_scale="1.0": (
        f"elu({x}, {alpha}, {scale}, {input_scale})"
    ),
    aten.pow: _power,
    aten.maximum: function("greater"),
    aten.minimum: function("smaller"),
    aten.clamp: CLAMP,
    aten.hardtanh: lambda x, low="-1.0", high="1.0": CLAMP(x, low, high),
    aten.clamp_min: function("greater"),
    aten.clamp_max: function("smaller"),
    aten.where: function("tl.where"),
    aten.masked_fill: lambda x, mask, value: f"tl.where({mask}, {value}, {x})",
    aten.logical_and: between("&"),
    aten.logical_or: between("|"),
    aten.logical_xor: between("^"),
    aten.logical_not: lambda x: f"{x} == 0",
    aten.bitwise_not: lambda x: f"{x} == 0",
}
"""How Triton writes an elementwise operation of names and numbers."""

TRITON_TARGET = Target(
    elementwise=TRITON_SPELLING,
    computed={
        torch.float32: torch.float32,
        torch.bfloat16: torch.float32,
        torch.float16: torch.float32,
    },
    around=False,
    in_place=False,
    exact_factors=False,
)
"""What Triton's language can be written for: the loop; what is around it is left to torch."""
