"""How C writes the elementwise operations of a step: a table.

What the table does not name, no kernel does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.kernel import Target

aten = torch.ops.aten

Spelling = Callable[..., str]


def _scaled(sign: str, swapped: bool = False) -> Spelling:
    """`a + alpha b`, `a - alpha b`, `b - alpha a`."""

    def spell(a: str, b: str, alpha: str = "1") -> str:
        first, second = (b, a) if swapped else (a, b)
        return f"{first} {sign} {second}" if alpha == "1" else f"{first} {sign} {alpha} * {second}"

    return spell


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    inner = x if low is None else f"clamp_min_({x}, {low})"
    return inner if high is None else f"clamp_max_({inner}, {high})"


def _power(x: str, exponent: str) -> str:
    for number, simple in SIMPLE_POWERS.items():
        if exponent.replace("(real)", "").strip("()").removesuffix(".0") == number:
            return simple.format(x=x)
    return f"pow_({x}, {exponent})"


SIMPLE_POWERS = {
    "1": "{x}",
    "2": "{x} * {x}",
    "3": "{x} * {x} * {x}",
    "0.5": "LIBM(sqrt)({x})",
    "-1": "1 / {x}",
    "-2": "1 / ({x} * {x})",
    "-0.5": "1 / LIBM(sqrt)({x})",
}
"""Exponents for which torch does not call `pow` either."""


def _gelu(x: str, *, approximate: str = '"none"') -> str:
    return f"gelu_tanh_({x})" if approximate == '"tanh"' else f"gelu_({x})"


def _leaky(x: str, slope: str = "(real)0.01") -> str:
    return f"{x} > 0 ? {x} : {slope} * {x}"


def _elu(x: str, alpha: str = "1", scale: str = "1", input_scale: str = "1") -> str:
    return f"{scale} * ({x} > 0 ? {x} : {alpha} * expm1_({x} * {input_scale}))"


def _function(name: str) -> Spelling:
    return lambda *arguments: f"{name}({', '.join(arguments)})"


def _between(operator: str) -> Spelling:
    return lambda a, b: f"{a} {operator} {b}"


C_SPELLING: dict[Any, Spelling] = {
    aten.add: _scaled("+"),
    aten.sub: _scaled("-"),
    aten.rsub: _scaled("-", swapped=True),
    aten.mul: _between("*"),
    aten.div: _between("/"),
    aten.neg: lambda x: f"-{x}",
    aten.reciprocal: lambda x: f"1 / {x}",
    aten.abs: _function("LIBM(fabs)"),
    aten.sqrt: _function("LIBM(sqrt)"),
    aten.rsqrt: lambda x: f"1 / LIBM(sqrt)({x})",
    aten.exp: _function("exp_"),
    aten.tanh: _function("tanh_"),
    aten.sigmoid: _function("sigmoid_"),
    aten.silu: _function("silu_"),
    aten.relu: _function("relu_"),
    aten.gelu: _gelu,
    aten.softplus: lambda x, beta="1", threshold="20": f"softplus_({x}, {beta}, {threshold})",
    aten.leaky_relu: _leaky,
    aten.elu: _elu,
    **{
        getattr(aten, name): _function(f"{name}_")
        for name in (
            *("log", "log1p", "log2", "log10", "expm1", "exp2", "erf", "erfc"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "hypot"),
            *("sinh", "cosh", "asinh", "acosh", "atanh"),
        )
    },
    **{getattr(aten, name): _function(f"LIBM({name})") for name in ("floor", "ceil", "trunc")},
    aten.round: _function("LIBM(rint)"),
    aten.pow: _power,
    aten.square: lambda x: f"{x} * {x}",
    aten.sign: _function("sign_"),
    aten.sgn: _function("sign_"),
    aten.maximum: _function("maximum_"),
    aten.minimum: _function("minimum_"),
    aten.clamp: _clamp,
    aten.hardtanh: lambda x, low="-1", high="1": _clamp(x, low, high),
    aten.clamp_min: _function("clamp_min_"),
    aten.clamp_max: _function("clamp_max_"),
    aten.where: lambda condition, a, b: f"{condition} ? {a} : {b}",
    aten.masked_fill: lambda x, mask, value: f"{mask} ? {value} : {x}",
    aten.lerp: lambda a, b, weight: f"{a} + {weight} * ({b} - {a})",
    aten.addcmul: lambda a, b, c, value="1": f"{a} + {value} * {b} * {c}",
    aten.addcdiv: lambda a, b, c, value="1": f"{a} + {value} * {b} / {c}",
    **{
        getattr(aten, name): _between(operator)
        for name, operator in (
            ("eq", "=="),
            ("ne", "!="),
            ("lt", "<"),
            ("le", "<="),
            ("gt", ">"),
            ("ge", ">="),
            ("logical_and", "&&"),
            ("logical_or", "||"),
            ("logical_xor", "!="),
            ("bitwise_and", "&"),
            ("bitwise_or", "|"),
            ("bitwise_xor", "^"),
        )
    },
    aten.logical_not: lambda x: f"!{x}",
    aten.bitwise_not: lambda x: f"!{x}",
    aten.isnan: lambda x: f"{x} != {x}",
    aten._to_copy: lambda x: x,
}
"""How C writes an elementwise operation."""

FAR_SPELLING: dict[Any, Spelling] = {
    aten.sin: _function("LIBM(sin)"),
    aten.cos: _function("LIBM(cos)"),
    aten.tan: _function("LIBM(tan)"),
}
"""How C writes the operations that hold only up to `FAR` otherwise, for one number at a time."""

C_TARGET = Target(
    elementwise=C_SPELLING,
    computed={
        torch.float32: torch.float32,
        torch.float64: torch.float64,
        torch.bfloat16: torch.float32,
    },
)
"""What C can be written for."""
