"""How C writes the elementwise operations of a step: a table.

What the table does not name, no kernel does.
"""

from __future__ import annotations

from typing import Any

import torch

from rondo.compiler.elementwise import ARITHMETIC, Spelling, between, clamped, function
from rondo.compiler.kernel import Target

aten = torch.ops.aten


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


CLAMP = clamped("clamp_min_", "clamp_max_")

C_SPELLING: dict[Any, Spelling] = {
    **ARITHMETIC,
    aten.abs: function("LIBM(fabs)"),
    aten.sqrt: function("LIBM(sqrt)"),
    aten.rsqrt: lambda x: f"1 / LIBM(sqrt)({x})",
    aten.exp: function("exp_"),
    aten.tanh: function("tanh_"),
    aten.sigmoid: function("sigmoid_"),
    aten.silu: function("silu_"),
    aten.relu: function("relu_"),
    aten.gelu: _gelu,
    aten.softplus: lambda x, beta="1", threshold="20": f"softplus_({x}, {beta}, {threshold})",
    aten.leaky_relu: _leaky,
    aten.elu: _elu,
    **{
        getattr(aten, name): function(f"{name}_")
        for name in (
            *("log", "log1p", "log2", "log10", "expm1", "exp2", "erf", "erfc"),
            *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "hypot"),
            *("sinh", "cosh", "asinh", "acosh", "atanh"),
        )
    },
    **{getattr(aten, name): function(f"LIBM({name})") for name in ("floor", "ceil", "trunc")},
    aten.round: function("LIBM(rint)"),
    aten.fmod: function("LIBM(fmod)"),
    aten.pow: _power,
    aten.sign: function("sign_"),
    aten.sgn: function("sign_"),
    aten.maximum: function("maximum_"),
    aten.minimum: function("minimum_"),
    aten.clamp: CLAMP,
    aten.hardtanh: lambda x, low="-1", high="1": CLAMP(x, low, high),
    aten.clamp_min: function("clamp_min_"),
    aten.clamp_max: function("clamp_max_"),
    aten.where: lambda condition, a, b: f"{condition} ? {a} : {b}",
    aten.masked_fill: lambda x, mask, value: f"{mask} ? {value} : {x}",
    aten.logical_and: between("&&"),
    aten.logical_or: between("||"),
    aten.logical_xor: between("!="),
    aten.logical_not: lambda x: f"!{x}",
    aten.bitwise_not: lambda x: f"!{x}",
}
"""How C writes an elementwise operation."""

FAR_SPELLING: dict[Any, Spelling] = {
    aten.sin: function("LIBM(sin)"),
    aten.cos: function("LIBM(cos)"),
    aten.tan: function("LIBM(tan)"),
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
