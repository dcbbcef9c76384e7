"""Loops over the elements of a row, as C.

In goes a :class:`Loop` of a kernel, out come lines of C, which compilers turn into vector code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from rondo.compiler.c_operators import C_SPELLING, FAR_SPELLING
from rondo.compiler.elementwise import IGNORED, Spelling, written
from rondo.compiler.graph import Ref
from rondo.compiler.kernel import Compute, Kernel, Load, Loop, NotCoveredError, Reduce, Store
from rondo.compiler.region import CONSTANTS

aten = torch.ops.aten

C_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.bool: "uint8_t",
}

EMPTY_REDUCTION = {"sum": "0", "product": "1", "max": "-INFINITY", "min": "INFINITY"}

OPERATORS = {"sum": "+", "product": "*"}
"""What a reduction is written with that compilers know to be one."""


def loop_lines(kernel: Kernel, loop: Loop) -> list[str]:
    """The loops over the elements of a row, nested, line by line.

    Where functions hold only up to `FAR`, the row is looked through first. If it holds a number
    beyond, functions that hold everywhere take their place, one number at a time.
    """
    lines = _nested_lines(kernel, loop, C_SPELLING)
    limited = [i for i in loop.body if isinstance(i, Compute) and i.node.packet in FAR_SPELLING]
    if not limited:
        return lines
    far_lines = _nested_lines(kernel, loop, {**C_SPELLING, **FAR_SPELLING})
    return [
        "{",
        *(f"    {line}" for line in _look_lines(kernel, loop, [item.args[0] for item in limited])),
        "    if (num_far) {",
        *(f"        {line}" for line in far_lines),
        "    } else {",
        *(f"        {line}" for line in lines),
        "    }",
        "}",
    ]


def _look_lines(kernel: Kernel, loop: Loop, numbers: list[Any]) -> list[str]:
    """Count the numbers beyond `FAR`."""
    names = {number.name for number in numbers if isinstance(number, Ref)}
    needed: list[Load | Compute] = []
    for item in reversed(loop.body):
        if isinstance(item, Load | Compute) and item.name in names:
            needed.insert(0, item)
            if isinstance(item, Compute):
                names.update(a.name for a in item.args if isinstance(a, Ref))
    sizes = loop.sizes or (1,)
    *opening, last = _for_lines(sizes)
    indent = "    " * len(sizes)
    return [
        "whole num_far = 0;",
        *opening,
        "#pragma omp simd reduction(+ : num_far)",
        last,
        *(f"{indent}{_statement(kernel, item, C_SPELLING)}" for item in needed),
        *(f"{indent}num_far += LIBM(fabs)({_number(number)}) > FAR;" for number in numbers),
        *("    " * number + "}" for number in reversed(range(len(sizes)))),
    ]


def _for_lines(sizes: tuple[int, ...]) -> list[str]:
    return [
        f"{'    ' * n}for (int64_t j{n} = 0; j{n} < {size}; ++j{n}) {{"
        for n, size in enumerate(sizes)
    ]


def _nested_lines(kernel: Kernel, loop: Loop, spellings: Mapping[Any, Spelling]) -> list[str]:
    sizes = loop.sizes or (1,)
    reductions = [item for item in loop.body if isinstance(item, Reduce)]
    num_kept = len(loop.sizes) - loop.num_reduced
    opening: list[str] = []
    closing: list[str] = []
    for number, for_line in enumerate(_for_lines(sizes)):
        indent = "    " * number
        if number == num_kept and reductions:
            opening += [
                f"{indent}real {_accumulator(item)} = {EMPTY_REDUCTION[item.kind]};"
                for item in reductions
            ]
            closing = [f"{indent}{_finish(kernel, item)}" for item in reductions] + closing
        last = number == len(sizes) - 1
        if last and all(item.kind in OPERATORS for item in reductions):
            opening.append(f"#pragma omp simd{_clauses(reductions)}")
        opening.append(for_line)
        closing = [f"{indent}}}", *closing]
    indent = "    " * len(sizes)
    body = [f"{indent}{_statement(kernel, item, spellings)}" for item in loop.stores_last]
    return [*opening, *body, *closing]


def _clauses(reductions: list[Reduce]) -> str:
    """What compilers are told of the sums and products of a loop."""
    clauses = ""
    for kind, operator in OPERATORS.items():
        names = [_accumulator(item) for item in reductions if item.kind == kind]
        clauses += f" reduction({operator} : {', '.join(names)})" if names else ""
    return clauses


def _accumulator(item: Reduce) -> str:
    return f"{item.buffer}_{item.kind}"


def _finish(kernel: Kernel, item: Reduce) -> str:
    cast = "to_stored" if kernel.buffers[item.buffer].dtype == torch.bfloat16 else ""
    return f"{item.buffer}_at[{item.index.written}] = {cast}({_accumulator(item)});"


def _statement(
    kernel: Kernel, item: Load | Compute | Store | Reduce, spellings: Mapping[Any, Spelling]
) -> str:
    if isinstance(item, Load):
        kind = "real" if item.dtype != torch.bool else "int"
        element = f"{item.buffer}_at[{item.index.written}]"
        if item.dtype == torch.bfloat16:
            element = f"from_stored({element})"
        if item.dtype == torch.bool and kernel.buffers[item.buffer].dtype != torch.bool:
            element = f"{element} != 0"
        return f"const {kind} {item.name} = {element};"
    if isinstance(item, Store):
        dtype = kernel.buffers[item.buffer].dtype
        value = f"({C_TYPES[dtype]})({item.value})"
        if dtype == torch.bfloat16:
            value = f"to_stored({item.value})"
        elif dtype == torch.bool:
            value = f"{item.value} != 0"
        return f"{item.buffer}_at[{item.index.written}] = {value};"
    if isinstance(item, Compute):
        kind = "real" if item.dtype != torch.bool else "int"
        return f"const {kind} {item.name} = {_expression(item, spellings)};"
    total, value = _accumulator(item), item.value
    if item.kind in OPERATORS:
        return f"{total} {OPERATORS[item.kind]}= {value};"
    sign = ">" if item.kind == "max" else "<"
    return f"{total} = {value} {sign} {total} || {value} != {value} ? {value} : {total};"


def _expression(item: Compute, spellings: Mapping[Any, Spelling]) -> str:
    node = item.node
    if node.packet in CONSTANTS or node.packet is aten.arange:
        return _number(item.args[0])
    if node.packet is aten._to_copy and item.dtype == torch.bool:
        return f"{_number(item.args[0])} != 0"
    spelling = spellings.get(node.packet)
    if spelling is None:
        raise NotCoveredError(f"{node.op_name} is an operation that no kernel does")
    keywords = {key: _number(value) for key, value in node.kwargs if key not in IGNORED}
    try:
        return spelling(*(None if a is None else _number(a) for a in item.args), **keywords)
    except TypeError as error:
        raise NotCoveredError(
            f"{node.op_name} has options that no kernel knows", node.name
        ) from error


def _number(value: Any) -> str:
    return written(value, _literal)


def _literal(value: float) -> str:
    if value != value:
        return "(real)NAN"
    if value in (float("inf"), -float("inf")):
        return f"(real){'-' if value < 0 else ''}INFINITY"
    return f"(real){value!r}" if value >= 0 else f"((real){value!r})"
