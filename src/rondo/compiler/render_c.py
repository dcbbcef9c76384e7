"""From a kernel to C.

In goes a :class:`Kernel`, out comes the source of a library with one function, `rondo_run`, which
runs all steps of the loop. The source is C with the vector extensions of GCC and Clang: what every
kernel has in common lies beside this file in `c/`, and in front of it come the types, the tables of
sizes and the function `step`, which does one step for some rows. Loops over the elements of a row
are plain C that compilers turn into vector code.

`-ffast-math` is not used: it breaks the range reduction of `exp_`. Results are the same for
any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import torch

from rondo.compiler.graph import Ref
from rondo.compiler.kernel import (
    Buffer,
    Compute,
    Kernel,
    Load,
    Loop,
    NotCoveredError,
    Reduce,
    Store,
)
from rondo.compiler.region import CONSTANTS
from rondo.compiler.views import Index

aten = torch.ops.aten

ALIGNMENT = 16
"""Rows of local values take a multiple of so many numbers: the widest vectors."""

C_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.bool: "uint8_t",
}

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
    simple = {"(real)2": f"{x} * {x}", "(real)3": f"{x} * {x} * {x}", "(real)1": x}
    return simple.get(exponent, f"LIBM(pow)({x}, {exponent})")


def _gelu(x: str, *, approximate: str = '"none"') -> str:
    return f"gelu_tanh_({x})" if approximate == '"tanh"' else f"gelu_({x})"


def _leaky(x: str, slope: str = "(real)0.01") -> str:
    return f"{x} > 0 ? {x} : {slope} * {x}"


def _elu(x: str, alpha: str = "1", scale: str = "1", input_scale: str = "1") -> str:
    return f"{scale} * ({x} > 0 ? {x} : {alpha} * LIBM(expm1)({x} * {input_scale}))"


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
        getattr(aten, name): _function(f"LIBM({name})")
        for name in (
            "log",
            "log1p",
            "log2",
            "log10",
            "expm1",
            "exp2",
            "erf",
            "erfc",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "asinh",
            "acosh",
            "atanh",
            "floor",
            "ceil",
            "trunc",
            "atan2",
            "hypot",
        )
    },
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

EMPTY_REDUCTION = {"sum": "0", "max": "-INFINITY", "min": "INFINITY"}


def render_c(kernel: Kernel) -> str:
    """Write a kernel down as C."""
    real = C_TYPES[kernel.dtype]
    is_half = kernel.stored == torch.bfloat16
    return "\n".join(
        (
            _types(kernel.dtype),
            f"typedef {'uint16_t' if is_half else real} stored;",
            f"typedef {'stored' if is_half else 'uint16_t'} bfloat16;\n",
            _common(f"math_{real}.c"),
            _common("bfloat16.c") if is_half else "#define from_stored(x) (x)\n",
            _common("functions.c"),
            _common("panels.c"),
            _tables(kernel),
            _step(kernel),
            _common("driver.c"),
        )
    )


def render_product(dtype: torch.dtype) -> str:
    """Write down the library of products that all kernels of a type share."""
    return "\n".join((_types(dtype), _common("panels.c"), _common("product.c")))


def _types(dtype: torch.dtype) -> str:
    real, suffix = C_TYPES[dtype], "##f" if dtype == torch.float32 else ""
    return (
        "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n"
        f"typedef {real} real;\n#define LIBM(name) name{suffix}\n"
    )


def _common(name: str) -> str:
    return files("rondo.compiler").joinpath("c", name).read_text(encoding="utf-8")


def tensor_order(kernel: Kernel) -> list[Buffer]:
    """The buffers whose memory is given to the kernel, in the order in which it expects them."""
    return [
        buffer for place in ("shared", "input", "output", "state") for buffer in kernel.at(place)
    ]


def _tables(kernel: Kernel) -> str:
    order = [buffer.name for buffer in tensor_order(kernel)]
    states = kernel.at("state")
    first_matrix = len(order) + len(states)
    rows = [
        f"    {{{first_matrix + number}, {matrix.depth}, {matrix.width}, {matrix.batch or 0}}},"
        f" /* {matrix.tensor} */"
        for number, matrix in enumerate(kernel.matrices)
    ] or ["    {0, 0, 0, 0}, /* none */"]
    sizes = ", ".join(str(state.size) for state in states)
    return "\n".join(
        (
            "typedef struct { int tensor; int64_t depth, width, batch; } matrix;",
            f"#define NUM_MATRICES {len(kernel.matrices)}",
            "static const matrix MATRICES[] = {",
            *rows,
            "};",
            f"#define NUM_STATES {len(states)}",
            f"#define FIRST_STATE {len(order) - len(states)}",
            f"static const int64_t STATE_SIZES[] = {{{sizes}}};",
            f"#define LOCAL_SIZE {sum(map(_row_stride, kernel.at('local')))}",
            "",
        )
    )


def _row_stride(buffer: Buffer) -> int:
    """Numbers from row to row of a local value; tiles may write a vector beyond its end."""
    return -(-buffer.size // ALIGNMENT) * ALIGNMENT + ALIGNMENT


def _step(kernel: Kernel) -> str:
    lines = [
        "/* One step for some rows, which begin at `packed` among the rows of all steps, and at",
        " * `row` in the batch. */",
        "static void step(",
        "    product_function *product, void *const *tensors, const real *matrices, real *scratch,",
        "    int64_t capacity,",
        "    int64_t packed, int64_t row, int64_t rows) {",
        *(f"    {line}" for line in _pointers(kernel)),
    ]
    for level in kernel.levels:
        if level.loops:
            lines.append("    for (int64_t r = 0; r < rows; ++r) {")
            used = _used(level.loops)
            lines += [f"        {_row_pointer(kernel.buffers[name])}" for name in used]
            for loop in level.loops:
                lines += [f"        {line}" for line in _loop(kernel, loop)]
            lines.append("    }")
        for product in level.products:
            lines.append(f"    {_product(kernel, product)}")
    for state, local in kernel.commits:
        lines.append("    for (int64_t r = 0; r < rows; ++r)")
        size = kernel.buffers[state].size
        stride = _row_stride(kernel.buffers[local])
        lines.append(
            f"        memcpy({state}_all + (row + r) * {size}, {local}_all + r * {stride}, "
            f"{size} * sizeof(real));"
        )
    return "\n".join([*lines, "}", ""])


def _pointers(kernel: Kernel) -> list[str]:
    """Where each buffer begins for the rows at hand."""
    lines = []
    for number, buffer in enumerate(tensor_order(kernel)):
        kind = C_TYPES[buffer.dtype]
        const = "const " if buffer.place in ("shared", "input") else ""
        lines.append(f"{const}{kind} *restrict const {buffer.name}_all = tensors[{number}];")
    offset = 0
    for buffer in kernel.at("local"):
        kind = C_TYPES[buffer.dtype]
        lines.append(
            f"{kind} *restrict const {buffer.name}_all = ({kind} *)(scratch + {offset} * capacity);"
        )
        offset += _row_stride(buffer)
    lines += [
        f"{C_TYPES[buffer.dtype]} {buffer.name}_row[{max(buffer.size, 1)}];"
        for buffer in kernel.at("row")
    ]
    packed = ["0"]
    for number, matrix in enumerate(kernel.matrices):
        lines.append(f"const real *const matrix_{number} = matrices + {' + '.join(packed)};")
        packed.append(f"packed_size({matrix.depth}, {matrix.width})")
    return lines


def _used(loops: tuple[Loop, ...]) -> list[str]:
    names: dict[str, None] = {}
    for loop in loops:
        for item in loop.body:
            if not isinstance(item, Compute):
                names[item.buffer] = None
    return list(names)


def _row_pointer(buffer: Buffer) -> str:
    """The row at hand of a buffer."""
    kind, name = C_TYPES[buffer.dtype], buffer.name
    offset = {
        "shared": "",
        "input": f" + (packed + r) * {buffer.size}",
        "output": f" + (packed + r) * {buffer.size}",
        "state": f" + (row + r) * {buffer.size}",
        "local": f" + r * {_row_stride(buffer)}",
        "row": "",
    }[buffer.place]
    base = f"{name}_row" if buffer.place == "row" else f"{name}_all"
    const = "const " if buffer.place in ("shared", "input") else ""
    return f"{const}{kind} *const {name}_at = {base}{offset};"


def _product(kernel: Kernel, product: Any) -> str:
    left, result = kernel.buffers[product.left], kernel.buffers[product.result]
    matrix = kernel.matrices[product.matrix]
    start = {
        "input": f" + packed * {left.size}",
        "output": f" + packed * {left.size}",
        "state": f" + row * {left.size}",
    }.get(left.place, "")
    stride = _row_stride(left) if left.place == "local" else left.size
    return (
        f"product(rows, {matrix.depth}, {matrix.width}, {left.name}_all{start} + "
        f"{product.left_offset}, {stride}, matrix_{product.matrix}, {result.name}_all + "
        f"{product.result_offset}, {_row_stride(result)});"
    )


# ---- loops over the elements of a row ----


def _loop(kernel: Kernel, loop: Loop) -> list[str]:
    sizes = loop.sizes or (1,)
    reductions = [item for item in loop.body if isinstance(item, Reduce)]
    num_kept = len(loop.sizes) - loop.num_reduced
    sums = [_accumulator(item) for item in reductions if item.kind == "sum"]
    opening: list[str] = []
    closing: list[str] = []
    for number, size in enumerate(sizes):
        indent = "    " * number
        if number == num_kept and reductions:
            opening += [
                f"{indent}real {_accumulator(item)} = {EMPTY_REDUCTION[item.kind]};"
                for item in reductions
            ]
            closing = [f"{indent}{_finish(kernel, item)}" for item in reductions] + closing
        last = number == len(sizes) - 1
        if last and all(item.kind == "sum" for item in reductions):
            clause = f" reduction(+ : {', '.join(sums)})" if sums else ""
            opening.append(f"#pragma omp simd{clause}")
        opening.append(f"{indent}for (int64_t j{number} = 0; j{number} < {size}; ++j{number}) {{")
        closing = [f"{indent}}}", *closing]
    indent = "    " * len(sizes)
    body = [f"{indent}{_statement(kernel, item)}" for item in _stores_last(loop)]
    return [*opening, *body, *closing]


def _stores_last(loop: Loop) -> list[Load | Compute | Store | Reduce]:
    """The body with what it stores at its end, so that nothing is read after it was replaced."""
    first = [item for item in loop.body if not isinstance(item, Store)]
    return [*first, *(item for item in loop.body if isinstance(item, Store))]


def _accumulator(item: Reduce) -> str:
    return f"{item.buffer}_{item.kind}"


def _finish(kernel: Kernel, item: Reduce) -> str:
    cast = "to_stored" if kernel.buffers[item.buffer].dtype == torch.bfloat16 else ""
    return f"{item.buffer}_at[{_index(item.index)}] = {cast}({_accumulator(item)});"


def _statement(kernel: Kernel, item: Load | Compute | Store | Reduce) -> str:
    if isinstance(item, Load):
        kind = "real" if item.dtype != torch.bool else "int"
        element = f"{item.buffer}_at[{_index(item.index)}]"
        if item.dtype == torch.bfloat16:
            element = f"from_stored({element})"
        return f"const {kind} {item.name} = {element};"
    if isinstance(item, Store):
        dtype = kernel.buffers[item.buffer].dtype
        value = f"({C_TYPES[dtype]})({item.value})"
        if dtype == torch.bfloat16:
            value = f"to_stored({item.value})"
        elif dtype == torch.bool:
            value = f"{item.value} != 0"
        return f"{item.buffer}_at[{_index(item.index)}] = {value};"
    if isinstance(item, Compute):
        kind = "real" if item.dtype != torch.bool else "int"
        return f"const {kind} {item.name} = {_expression(item)};"
    total, value = _accumulator(item), item.value
    if item.kind == "sum":
        return f"{total} += {value};"
    sign = ">" if item.kind == "max" else "<"
    return f"{total} = {value} {sign} {total} || {value} != {value} ? {value} : {total};"


def _index(index: Index) -> str:
    terms = [
        f"j{number}" if coefficient == 1 else f"{coefficient} * j{number}"
        for number, coefficient in enumerate(index.coefficients)
        if coefficient
    ]
    return " + ".join([*terms, str(index.offset)] if index.offset or not terms else terms)


def _expression(item: Compute) -> str:
    node = item.node
    if node.packet in CONSTANTS:
        return _number(item.args[0])
    if node.packet is aten._to_copy and item.dtype == torch.bool:
        return f"{_number(item.args[0])} != 0"
    spelling = C_SPELLING.get(node.packet)
    if spelling is None:
        raise NotCoveredError(f"{node.op_name} is not known to the renderer")
    keywords = {key: _number(value) for key, value in node.kwargs if key not in IGNORED}
    try:
        return spelling(*(None if a is None else _number(a) for a in item.args), **keywords)
    except TypeError as error:
        raise NotCoveredError(f"{node} has options that the renderer does not know") from error


IGNORED = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"}
"""Options that say nothing about numbers."""


def _number(value: Any) -> str:
    if isinstance(value, Ref):
        return value.name
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        if value != value:
            return "(real)NAN"
        if value in (float("inf"), -float("inf")):
            return f"(real){'-' if value < 0 else ''}INFINITY"
        return f"(real){value!r}" if value >= 0 else f"((real){value!r})"
    raise NotCoveredError(f"{value!r} is no number")
