"""How Triton's language writes the elementwise operations of a step: a table.

What the table does not name, no kernel for a GPU does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.kernel import NotCoveredError, Target

aten = torch.ops.aten

Spelling = Callable[..., str]


def _scaled(sign: str, swapped: bool = False) -> Spelling:
    """`a + alpha b`, `a - alpha b`, `b - alpha a`."""

    def spell(a: str, b: str, alpha: str = "1") -> str:
        first, second = (b, a) if swapped else (a, b)
        return f"{first} {sign} {second}" if alpha == "1" else f"{first} {sign} {alpha} * {second}"

    return spell


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    inner = x if low is None else f"greater({x}, {low})"
    return inner if high is None else f"smaller({inner}, {high})"


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


def _function(name: str) -> Spelling:
    return lambda *arguments: f"{name}({', '.join(arguments)})"


def _between(operator: str) -> Spelling:
    return lambda a, b: f"{a} {operator} {b}"


TRITON_SPELLING: dict[Any, Spelling] = {
    aten.add: _scaled("+"),
    aten.sub: _scaled("-"),
    aten.rsub: _scaled("-", swapped=True),
    aten.mul: _between("*"),
    aten.div: _between("/"),
    aten.neg: lambda x: f"-{x}",
    aten.reciprocal: lambda x: f"1.0 / {x}",
    aten.abs: _function("tl.abs"),
    aten.sqrt: _function("tl.sqrt"),
    aten.rsqrt: lambda x: f"1.0 / tl.sqrt({x})",
    **{
        getattr(aten, name): _function(f"tl.{name}")
        for name in ("exp2", "log2", "sin", "cos", "erf", "floor", "ceil")
    },
    **{
        getattr(aten, name): _function(name)
        for name in ("exp", "log", "tanh", "sigmoid", "expm1", "log1p", "sign")
    },
    aten.sgn: _function("sign"),
    aten.silu: lambda x: f"{x} * sigmoid({x})",
    aten.relu: lambda x: f"greater({x}, 0.0)",
    aten.gelu: _gelu,
    aten.softplus: lambda x, beta="1.0", threshold="20.0": f"softplus({x}, {beta}, {threshold})",
    aten.leaky_relu: lambda x, slope="0.01": f"tl.where({x} > 0, {x}, {slope} * {x})",
    aten.elu: lambda x, alpha="1.0", scale="1.0", input_scale="1.0": (
        f"elu({x}, {alpha}, {scale}, {input_scale})"
    ),
    aten.pow: _power,
    aten.square: lambda x: f"{x} * {x}",
    aten.maximum: _function("greater"),
    aten.minimum: _function("smaller"),
    aten.clamp: _clamp,
    aten.hardtanh: lambda x, low="-1.0", high="1.0": _clamp(x, low, high),
    aten.clamp_min: _function("greater"),
    aten.clamp_max: _function("smaller"),
    aten.where: _function("tl.where"),
    aten.masked_fill: lambda x, mask, value: f"tl.where({mask}, {value}, {x})",
    aten.lerp: lambda a, b, weight: f"{a} + {weight} * ({b} - {a})",
    aten.addcmul: lambda a, b, c, value="1.0": f"{a} + {value} * {b} * {c}",
    aten.addcdiv: lambda a, b, c, value="1.0": f"{a} + {value} * {b} / {c}",
    **{
        getattr(aten, name): _between(operator)
        for name, operator in (
            *(("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")),
            *(("logical_and", "&"), ("logical_or", "|"), ("logical_xor", "^")),
            *(("bitwise_and", "&"), ("bitwise_or", "|"), ("bitwise_xor", "^")),
        )
    },
    aten.logical_not: lambda x: f"{x} == 0",
    aten.bitwise_not: lambda x: f"{x} == 0",
    aten.isnan: lambda x: f"{x} != {x}",
    aten._to_copy: lambda x: x,
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
)
"""What Triton's language can be written for: the loop; what is around it is left to torch."""
