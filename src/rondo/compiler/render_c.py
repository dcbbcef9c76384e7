"""From a kernel to C.

In goes a :class:`Kernel`, out comes the source of a library with one function, `rondo_run`, which
runs all steps of the loop. The source is C with the vector extensions of GCC and Clang: what every
kernel has in common lies beside this file in `c/`, and in front of it come the types, the tables of
sizes and the functions that do one step for some rows. Loops over the elements of a row
are plain C that compilers turn into vector code.

`-ffast-math` is not used: it breaks the range reduction of `exp_`. Results are the same for
any number of threads.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib.resources import files

import torch

from rondo.compiler.c_loops import C_TYPES, loop_lines
from rondo.compiler.identifiers import identifiers, with_names
from rondo.compiler.kernel import Buffer, Kernel, Level, Loop, Product, Reduce, Store, Sum
from rondo.compiler.row_memory import RowMemory, memory_of, row_bytes, touched

ALIGNMENT = 16
"""Rows of local values take a multiple of so many numbers: the widest vectors."""

ROUNDED_ROWS = 96
"""Rows that are rounded to bfloat16 before they are multiplied, at most at a time."""


def _endings(buffer: Buffer) -> tuple[str, ...]:
    """What stands behind a buffer's name.

    There is a pointer to all rows, pointers to each of them, or one row alone; the row at hand; and
    what is reduced.
    """
    all_rows = {"previous": "_rows", "row": "_row"}.get(buffer.place, "_all")
    return all_rows, "_at", "_sum", "_product", "_max", "_min"


def render_c(kernel: Kernel, *, spoils: bool = False, paired: bool | None = None) -> str:
    """Write a kernel down as C.

    Args:
        kernel: The kernel.
        spoils: Whether memory holds NaN until something is written there, so that tests see what is
            read too early; otherwise it holds what happens to lie there.
        paired: Whether a kernel of bfloat16 multiplies pairs of numbers; None: where the processor
            has an instruction for it.
    """
    real = C_TYPES[kernel.dtype]
    kernel = with_names(kernel, identifiers(kernel, _words(real), _endings))
    is_half = _is_half(kernel)
    return "\n".join(
        (
            _types(kernel.dtype),
            f"typedef {'uint16_t' if is_half else real} stored;",
            f"typedef {'stored' if is_half else 'uint16_t'} bfloat16;\n",
            *map(_common, functions_of(real)),
            *_halves(is_half, paired),
            _spoil(spoils),
            _common("panels.c"),
            _tables(kernel),
            _common("share.c"),
            _common("call.c"),
            *([_common("pairs.c")] if is_half else []),
            _stage(kernel, "opening", kernel.opening, spoils),
            _step(kernel, spoils),
            _stage(kernel, "closing", kernel.closing, spoils),
            _stage(kernel, "add_up", ()),
            _common("workspace.c"),
            _common("pack.c"),
            _common("driver.c"),
        )
    )


def _is_half(kernel: Kernel) -> bool:
    return kernel.stored == torch.bfloat16


def _halves(is_half: bool, paired: bool | None) -> list[str]:
    """How numbers are read that are stored, and whether products take pairs of them."""
    if not is_half:
        return ["#define from_stored(x) (x)\n"]
    chosen = [] if paired is None else [f"#define PAIRED {int(paired)}\n"]
    return [*chosen, _common("bfloat16.c")]


def _spoil(spoils: bool) -> str:
    """What fills memory with NaN, whose bits may all be 1; or does nothing."""
    return (
        f"#define SPOIL(memory, bytes) {'memset(memory, 0xff, bytes)' if spoils else '(void)0'}\n"
    )


def functions_of(real: str) -> tuple[str, ...]:
    """The files of the functions of numbers of a type, each after those that it reads."""
    common = ("exponential", "logarithm", "trigonometric", "error_function")
    return (
        f"math_{real}.c",
        *(f"{name}.c" for name in common),
        f"power_{real}.c",
        "power.c",
        "functions.c",
    )


def render_product(dtype: torch.dtype, *, paired: bool = False) -> str:
    """Write down the library of products that all kernels of a type share.

    Args:
        dtype: The type of the sums, and of rows and matrices if they are not paired.
        paired: Whether these are pairs of bfloat16.
    """
    chosen = ("#define PAIRED 1\n", _common("panels.c"), _common("dot.c"))
    layout = chosen if paired else (_common("panels.c"),)
    return "\n".join((_types(dtype), *layout, _common("product.c")))


def _types(dtype: torch.dtype) -> str:
    real, suffix = C_TYPES[dtype], "##f" if dtype == torch.float32 else ""
    return (
        "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n"
        f"typedef {real} real;\n#define LIBM(name) name{suffix}\n"
        "#define INLINED static inline __attribute__((always_inline)) /* for vector code */\n"
        "#define RARE static __attribute__((cold, noinline)) /* a few times in a run */\n"
    )


@functools.cache
def _words(real: str) -> frozenset[str]:
    """What means something where the stages of a kernel stand."""
    names = (*functions_of(real), "bfloat16.c", "panels.c", "share.c", "call.c", "pairs.c")
    texts = (*map(_common, names), *SIGNATURES.values())
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def _common(name: str) -> str:
    return files("rondo.compiler").joinpath("c", name).read_text(encoding="utf-8")


def tensor_order(kernel: Kernel) -> list[Buffer]:
    """The buffers whose memory is given to the kernel, in the order in which it expects them.

    After the states come the states after a reset, then the matrices.
    """
    places = ("shared", "input", "previous", "output", "total", "state")
    return [buffer for place in places for buffer in kernel.at(place)]


def _tables(kernel: Kernel) -> str:
    order = [buffer.name for buffer in tensor_order(kernel)]
    states = kernel.at("state")
    first_matrix = len(order) + len(states)
    matrices = [
        f"{{{first_matrix + number}, {matrix.depth}, {matrix.width}, {matrix.batch or 0}}},"
        f" /* {matrix.tensor} */"
        for number, matrix in enumerate(kernel.matrices)
    ]
    previous = [
        f"{{{order.index(buffer.name)}, {buffer.size}}}, /* {buffer.name} */"
        for buffer in kernel.at("previous")
    ]
    totals = [
        f"{{{order.index(buffer.name)}, {buffer.sizes[0]}, {buffer.sizes[1]}}}, /* {buffer.name} */"
        for buffer in kernel.at("total")
    ]
    sizes = ", ".join(str(state.size) for state in states)
    return "\n".join(
        (
            "typedef struct { int tensor; int64_t depth, width, batch; } matrix;",
            *_table("matrix", "MATRICES", matrices),
            f"#define NUM_STATES {len(states)}",
            f"#define FIRST_STATE {len(order) - len(states)}",
            f"static const int64_t STATE_SIZES[] = {{{sizes}}};",
            "typedef struct { int tensor; int64_t size; } previous_state;",
            *_table("previous_state", "PREVIOUS", previous),
            "typedef struct { int tensor; int64_t height, width; } total;",
            *_table("total", "TOTALS", totals),
            f"#define TOTAL_ROWS {sum(buffer.sizes[0] for buffer in kernel.at('total'))}",
            f"#define TOTALS_SIZE ({_sum_of(_total_size(b) for b in kernel.at('total'))})",
            f"#define CHUNKED {int(_is_chunked(kernel))}",
            f"#define HAS_OPENING {int(bool(kernel.opening))}",
            f"#define HAS_CLOSING {int(bool(kernel.closing))}",
            f"#define CHUNK_SIZE {sum(map(_row_stride, kernel.at('chunk')))}",
            f"#define LOCAL_SIZE {sum(map(_row_stride, kernel.at('local')))}",
            *_rows_bytes(kernel),
            "",
        )
    )


def _table(kind: str, name: str, rows: list[str]) -> list[str]:
    return [
        f"#define NUM_{name} {len(rows)}",
        f"static const {kind} {name}[] = {{",
        *(f"    {row}" for row in rows or ["{0}, /* none */"]),
        "};",
    ]


def _sum_of(terms: Iterable[str]) -> str:
    return " + ".join(terms) or "0"


def _total_size(buffer: Buffer) -> str:
    return f"{buffer.sizes[0]} * in_vectors({buffer.sizes[1]})"


def _is_chunked(kernel: Kernel) -> bool:
    """Whether anything is done for the rows of some steps together."""
    return bool(kernel.opening or kernel.closing or kernel.sums or kernel.at("previous"))


def _rows_bytes(kernel: Kernel) -> list[str]:
    """What the rows take in the workspace of a piece of work, whichever stage it does.

    Behind them lie rows that are rounded to bfloat16, in pairs.
    """
    stages = (kernel.opening, kernel.levels, kernel.closing)
    rows = max(memory_of(kernel, levels).workspace_bytes for levels in stages)
    if not _is_half(kernel):
        return [f"#define ROWS_BYTES {rows}"]
    depth = max((matrix.depth for matrix in kernel.matrices), default=0)
    return [
        f"#define ROUNDED_ROWS {ROUNDED_ROWS}",
        f"#define ROUNDED_AT {rows}",
        f"#define ROWS_BYTES (ROUNDED_AT + PAIRED * {ROUNDED_ROWS * 4 * -(-depth // 2)})",
    ]


def _row_stride(buffer: Buffer) -> int:
    """Numbers from row to row of a local value; tiles may write a vector beyond its end."""
    return -(-buffer.size // ALIGNMENT) * ALIGNMENT + ALIGNMENT


# ---- stages ----


SIGNATURES = {
    "opening": "const call *c, struct room *room, int64_t first, int64_t rows",
    "step": "const call *c, struct room *room, int64_t packed, int64_t row, "
    "int64_t chunk_row,\n    int64_t rows",
    "closing": "const call *c, struct room *room, int64_t first, int64_t rows",
    "add_up": "const call *c, struct room *room, int64_t rows",
}

EXPLAINED = {
    "opening": "/* What is done for rows of some steps before these steps; the first is number"
    "\n * `first` of the chunk. */",
    "step": "/* The parts of a step for some rows, which begin at `packed` among the rows of all"
    "\n * steps, at `row` in the batch and at `chunk_row` in the chunk. */",
    "closing": "/* What is done for rows of some steps after these steps. */",
    "add_up": "/* Add the rows of a chunk to the sums over all steps. */",
}


OF_STATE = ("local", "row", "state")
"""Where values lie that no other step reads, and the state."""


def _stage(kernel: Kernel, stage: str, levels: tuple[Level, ...], spoils: bool = False) -> str:
    """A stage as a function; the loops of a very long one in functions of their own."""
    memory = memory_of(kernel, levels)
    functions: list[str] = []
    body = []
    for level in levels:
        if level.loops:
            body += _row_loops(kernel, level, stage, memory, functions, spoils)
        body += [_product(kernel, product, stage) for product in level.products]
    if stage == "add_up":
        body += [_add_up(kernel, total) for total in kernel.sums]
    return "\n".join([*functions, EXPLAINED[stage], _function(kernel, stage, body, memory)])


def _step(kernel: Kernel, spoils: bool) -> str:
    """A step as functions in the order in which they run, and the table of them.

    Threads may share each: loops and copies by rows, products by columns.
    """
    memory = memory_of(kernel, kernel.levels)
    functions: list[str] = []
    parts: list[tuple[str, list[str]]] = []
    for level in kernel.levels:
        if level.loops:
            loops = _row_loops(kernel, level, "step", memory, functions, spoils)
            parts.append(("BY_ROWS", loops))
        if level.products:
            products = [_product(kernel, product, "step") for product in level.products]
            parts.append(("BY_COLUMNS", products))
    if kernel.commits:
        commits = [line for commit in kernel.commits for line in _commit(kernel, *commit)]
        parts.append(("BY_ROWS", commits))
    names = [f"step_part_{number}" for number in range(len(parts))]
    texts = [
        _function(kernel, "step", body, memory, of_step=name)
        for name, (_, body) in zip(names, parts, strict=True)
    ]
    rows = [f"{{{name}, {kind}}}," for name, (kind, _) in zip(names, parts, strict=True)]
    table = _table("step_part", "STEP_PARTS", rows)
    end = f"#define PARTS_OF_LAST {_parts_unless_last(kernel)} /* where nobody reads the state */"
    return "\n".join([*functions, EXPLAINED["step"], *texts, *table, end, ""])


def _row_loops(
    kernel: Kernel,
    level: Level,
    stage: str,
    memory: RowMemory,
    functions: list[str],
    spoils: bool,
) -> list[str]:
    """The loops of a level, row by row; those of a long stage are added to `functions`."""
    body = [_for_rows(stage) + " {"]
    used = touched(level.loops)
    rows = [kernel.buffers[name] for name in used if kernel.buffers[name].place == "row"]
    body += [f"    SPOIL({row.name}_row, {row_bytes(row)});" for row in rows if spoils]
    for loops in memory.groups(level):
        lines = _row_lines(kernel, loops, stage)
        if memory.is_long:
            name = f"{stage}_{len(functions)}"
            functions.append(_function(kernel, stage, lines, memory, of_row=name))
            lines = [f"{name}({', '.join(_arguments(stage))}, r);"]
        body += [f"    {line}" for line in lines]
    return [*body, "}"]


def _for_rows(stage: str) -> str:
    """The rows that a stage does: in a step, those that fall to a thread."""
    if stage == "step":
        return "for (int64_t r = room->first_row; r < room->last_row; ++r)"
    return "for (int64_t r = 0; r < rows; ++r)"


def _parts_unless_last(kernel: Kernel) -> int:
    """How many parts of a step make more than the state after it; all, where that is little."""
    written = [
        (part, _written(level, part))
        for level in kernel.levels
        for part in ("loops", "products")
        if (level.loops if part == "loops" else level.products)
    ]
    number = len(written)
    while number and all(kernel.buffers[name].place in OF_STATE for name in written[number - 1][1]):
        number -= 1
    saves = any(part == "products" for part, _ in written[number:])
    return number if saves else len(written) + bool(kernel.commits)


def _written(level: Level, part: str) -> set[str]:
    """The buffers that a part of a level writes."""
    if part == "products":
        return {product.result for product in level.products}
    items = [item for loop in level.loops for item in loop.body]
    return {item.buffer for item in items if isinstance(item, Store | Reduce)}


def _row_lines(kernel: Kernel, loops: tuple[Loop, ...], stage: str) -> list[str]:
    """Loops over the elements of the row at hand."""
    lines = [_row_pointer(kernel.buffers[name], stage) for name in touched(loops)]
    return [*lines, *(line for loop in loops for line in loop_lines(kernel, loop))]


def _function(
    kernel: Kernel,
    stage: str,
    body: list[str],
    memory: RowMemory,
    *,
    of_row: str | None = None,
    of_step: str | None = None,
) -> str:
    """A function of a stage, or under a name one for a part of it: of row `r`, or of a step."""
    head, signature = f"static void {of_step or stage}", SIGNATURES[stage]
    if of_row is not None:
        head = f"static __attribute__((noinline)) void {of_row}"
        signature = f"{signature}, int64_t r"
    lines = [*_pointers(kernel, "\n".join(body), memory), *body]
    return "\n".join((f"{head}(\n    {signature}) {{", *(f"    {x}" for x in lines), "}", ""))


def _arguments(stage: str) -> list[str]:
    """The names of what the function of a stage is given."""
    return [parameter.split()[-1].lstrip("*") for parameter in SIGNATURES[stage].split(",")]


def _commit(kernel: Kernel, state: str, local: str) -> tuple[str, str]:
    size, stride = kernel.buffers[state].size, _row_stride(kernel.buffers[local])
    return (
        _for_rows("step"),
        f"    memcpy({state}_all + (row + r) * {size}, {local}_all + r * {stride}, "
        f"{size} * sizeof(real));",
    )


def _pointers(kernel: Kernel, body: str, memory: RowMemory) -> list[str]:
    """Where each buffer begins that the code reads or writes."""
    used = set(re.findall(r"\w+", body))
    lines = []
    for number, buffer in enumerate(tensor_order(kernel)):
        kind = C_TYPES[buffer.dtype]
        const = "" if buffer.place in ("state", "output") else "const "
        if buffer.place not in ("previous", "total") and f"{buffer.name}_all" in used:
            lines.append(f"{const}{kind} *restrict const {buffer.name}_all = c->tensors[{number}];")
    for number, buffer in enumerate(kernel.at("previous")):
        if f"{buffer.name}_rows" in used:
            lines.append(
                f"const real *const *const {buffer.name}_rows = "
                f"room->previous + {number} * room->capacity;"
            )
    for place, capacity in (("chunk", "capacity"), ("local", "step_capacity")):
        offset = 0
        for buffer in kernel.at(place):
            kind = C_TYPES[buffer.dtype]
            if f"{buffer.name}_all" in used:
                lines.append(
                    f"{kind} *restrict const {buffer.name}_all = "
                    f"({kind} *)(room->{place} + {offset} * room->{capacity});"
                )
            offset += _row_stride(buffer)
    lines += memory.lines(used)
    packed: list[str] = []
    for number, matrix in enumerate(kernel.matrices):
        if f"matrix_{number}" in used:
            begin = " + ".join(["c->packed", *packed])
            lines.append(f"const real *const matrix_{number} = {begin};")
        packed.append(f"packed_size({matrix.depth}, {matrix.width})")
    return lines


def _row_pointer(buffer: Buffer, stage: str) -> str:
    """The row at hand of a buffer."""
    kind, name, size = C_TYPES[buffer.dtype], buffer.name, buffer.size
    in_step = stage == "step"
    packed = "(packed + r)" if in_step else "room->packed_rows[first + r]"
    in_chunk = "chunk_row + r" if in_step else "first + r"
    place = {
        "shared": f"{name}_all",
        "input": f"{name}_all + {packed} * {size}",
        "output": f"{name}_all + {packed} * {size}",
        "previous": f"{name}_rows[{in_chunk}]",
        "state": f"{name}_all + (row + r) * {size}",
        "chunk": f"{name}_all + ({in_chunk}) * {_row_stride(buffer)}",
        "local": f"{name}_all + r * {_row_stride(buffer)}",
        "row": f"{name}_row",
    }[buffer.place]
    const = "const " if buffer.place in ("shared", "input", "previous") else ""
    return f"{const}{kind} *const {name}_at = {place};"


def _product(kernel: Kernel, product: Product, stage: str) -> str:
    matrix = kernel.matrices[product.matrix]
    left, result = kernel.buffers[product.left], kernel.buffers[product.result]
    sizes = f"rows, {matrix.depth}, {matrix.width}"
    share = "room->member, room->team" if stage == "step" else "0, 1"
    products, given = ("", "c, room, ") if _is_half(kernel) else ("c->products->", "")
    if stage == "step" and left.place != "previous":
        return (
            f"{products}of_rows({given}{sizes}, {_first_row(left)} + {product.left_offset}, "
            f"{_distance(left)}, matrix_{product.matrix}, {_first_row(result)} + "
            f"{product.result_offset}, {_distance(result)}, {share});"
        )
    assert not _is_half(kernel), "of bfloat16, torch multiplies what is not in a step"
    return (
        f"c->products->of_rows_anywhere({sizes}, "
        f"{_rows(left, product.left_offset, 'left', stage)}, matrix_{product.matrix}, "
        f"(real *const *){_rows(result, product.result_offset, 'right', stage)}, {share});"
    )


def _first_row(buffer: Buffer) -> str:
    """The first row of a step."""
    start = {
        "input": f" + packed * {buffer.size}",
        "output": f" + packed * {buffer.size}",
        "state": f" + row * {buffer.size}",
        "chunk": f" + chunk_row * {_row_stride(buffer)}",
        "local": "",
    }[buffer.place]
    return f"{buffer.name}_all{start}"


def _distance(buffer: Buffer) -> int:
    """Numbers from row to row."""
    return _row_stride(buffer) if buffer.place in ("chunk", "local") else buffer.size


def _rows(buffer: Buffer, offset: int, table: str, stage: str) -> str:
    """Pointers to the rows at hand of a buffer, in one of the tables of the room."""
    table, stride = f"room->{table}", _distance(buffer)
    first = {"step": "chunk_row", "add_up": "0"}.get(stage, "first")
    if buffer.place == "previous":
        return f"rows_from({table}, {buffer.name}_rows + {first}, {offset}, rows)"
    if stage == "step":
        return f"rows_at({table}, {_first_row(buffer)} + {offset}, {stride}, 0, rows)"
    if buffer.place == "chunk":
        begin = f"{buffer.name}_all + {first} * {stride} + {offset}"
        return f"rows_at({table}, {begin}, {stride}, 0, rows)"
    at = f"room->packed_rows + {first}"
    return f"rows_at({table}, {buffer.name}_all + {offset}, {stride}, {at}, rows)"


def _add_up(kernel: Kernel, this: Sum) -> str:
    """Add to a sum what the rows of a chunk give."""
    totals = kernel.at("total")
    number = [buffer.name for buffer in totals].index(this.total)
    height, width = totals[number].sizes
    begin = _sum_of(["room->totals", *map(_total_size, totals[:number])])
    tensor = tensor_order(kernel).index(totals[number])
    left = "ones(room->left, rows)"
    if this.left is not None:
        left = _rows(kernel.buffers[this.left], this.left_offset, "left", "add_up")
    right = _rows(kernel.buffers[this.right], this.right_offset, "right", "add_up")
    return f"add_rows(c, room, {tensor}, rows, {height}, {width}, {left}, {right}, {begin});"
