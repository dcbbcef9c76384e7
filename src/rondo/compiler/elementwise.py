"""How C and Triton's language alike write elementwise operations and what they are given.

A spelling takes the names of values and numbers as text and returns an expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.graph import Ref
from rondo.compiler.kernel import NotCoveredError
from rondo.compiler.views import Index

aten = torch.ops.aten

Spelling = Callable[..., str]

IGNORED = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"}
"""Options that say nothing about numbers."""


def written(value: Any, literal: Callable[[float], str]) -> str:
    """How an argument is written; `literal` writes numbers."""
    if isinstance(value, Ref):
        return value.name
    if isinstance(value, Index):
        return f"({value.written})"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return literal(value)
    raise NotCoveredError(f"{value!r} is no number that a kernel knows")


def function(name: str) -> Spelling:
    """The call of a function."""
    return lambda *arguments: f"{name}({', '.join(arguments)})"


def between(operator: str) -> Spelling:
    """An operator between two operands."""
    return lambda a, b: f"{a} {operator} {b}"


def clamped(greater: str, smaller: str) -> Spelling:
    """Limits on both sides, or on one, by functions of these names."""

    def spell(x: str, low: str | None = None, high: str | None = None) -> str:
        inner = x if low is None else f"{greater}({x}, {low})"
        return inner if high is None else f"{smaller}({inner}, {high})"

    return spell


def _scaled(sign: str, swapped: bool = False) -> Spelling:
    """`a + alpha b`, `a - alpha b`, `b - alpha a`."""

    def spell(a: str, b: str, alpha: str = "1") -> str:
        first, second = (b, a) if swapped else (a, b)
        return f"{first} {sign} {second}" if alpha == "1" else f"{first} {sign} {alpha} * {second}"

    return spell


ARITHMETIC: dict[Any, Spelling] = {
    aten.add: _scaled("+"),
    aten.sub: _scaled("-"),
    aten.rsub: _scaled("-", swapped=True),
    aten.mul: between("*"),
    aten.div: between("/"),
    aten.neg: lambda x: f"-{x}",
    aten.reciprocal: lambda x: f"1 / {x}",
    aten.square: lambda x: f"{x} * {x}",
    aten.lerp: lambda a, b, weight: f"{a} + {weight} * ({b} - {a})",
    aten.addcmul: lambda a, b, c, value="1": f"{a} + {value} * {b} * {c}",
    aten.addcdiv: lambda a, b, c, value="1": f"{a} + {value} * {b} / {c}",
    **{
        getattr(aten, name): between(operator)
        for name, operator in (
            *(("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")),
            *(("bitwise_and", "&"), ("bitwise_or", "|"), ("bitwise_xor", "^")),
        )
    },
    aten.isnan: lambda x: f"{x} != {x}",
    aten._to_copy: lambda x: x,
}
"""What both languages write alike."""
