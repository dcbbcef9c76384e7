"""The stages of a kernel as functions of C.

In go the levels of a stage, out come functions: what is done before some steps, the parts of a
step, what is done after some steps, and the sums over the steps.
"""

from __future__ import annotations

from rondo.compiler.c_last_step import num_parts_of_last
from rondo.compiler.c_loops import loop_lines
from rondo.compiler.c_places import distance, first_row, pointers, row_pointer, rows_of
from rondo.compiler.c_tables import is_half, row_stride, sum_of, table, tensor_order, total_size
from rondo.compiler.kernel import Kernel, Level, Loop, Product, Sum
from rondo.compiler.row_memory import RowMemory, memory_of, row_bytes, touched

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


def stage_text(kernel: Kernel, stage: str, levels: tuple[Level, ...], spoils: bool = False) -> str:
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


def step_text(kernel: Kernel, spoils: bool) -> str:
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
    entries = [f"{{{name}, {kind}}}," for name, (kind, _) in zip(names, parts, strict=True)]
    listed = table("step_part", "STEP_PARTS", entries)
    end = f"#define PARTS_OF_LAST {num_parts_of_last(kernel)} /* where nobody reads the state */"
    return "\n".join([*functions, EXPLAINED["step"], *texts, *listed, end, ""])


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


def _row_lines(kernel: Kernel, loops: tuple[Loop, ...], stage: str) -> list[str]:
    """Loops over the elements of the row at hand."""
    lines = [row_pointer(kernel.buffers[name], stage) for name in touched(loops)]
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
    lines = [*pointers(kernel, "\n".join(body), memory), *body]
    return "\n".join((f"{head}(\n    {signature}) {{", *(f"    {x}" for x in lines), "}", ""))


def _arguments(stage: str) -> list[str]:
    """The names of what the function of a stage is given."""
    return [parameter.split()[-1].lstrip("*") for parameter in SIGNATURES[stage].split(",")]


def _commit(kernel: Kernel, state: str, local: str) -> tuple[str, str]:
    size, stride = kernel.buffers[state].size, row_stride(kernel.buffers[local])
    return (
        _for_rows("step"),
        f"    memcpy({state}_all + (row + r) * {size}, {local}_all + r * {stride}, "
        f"{size} * sizeof(real));",
    )


def _product(kernel: Kernel, product: Product, stage: str) -> str:
    matrix = kernel.matrices[product.matrix]
    left, result = kernel.buffers[product.left], kernel.buffers[product.result]
    sizes = f"rows, {matrix.depth}, {matrix.width}"
    share = "room->member, room->team" if stage == "step" else "0, 1"
    products, given = ("", "c, room, ") if is_half(kernel) else ("c->products->", "")
    if stage == "step" and left.place != "previous":
        return (
            f"{products}of_rows({given}{sizes}, {first_row(left)} + {product.left_offset}, "
            f"{distance(left)}, matrix_{product.matrix}, {first_row(result)} + "
            f"{product.result_offset}, {distance(result)}, {share});"
        )
    assert not is_half(kernel), "of bfloat16, torch multiplies what is not in a step"
    return (
        f"c->products->of_rows_anywhere({sizes}, "
        f"{rows_of(left, product.left_offset, 'left', stage)}, matrix_{product.matrix}, "
        f"(real *const *){rows_of(result, product.result_offset, 'right', stage)}, {share});"
    )


def _add_up(kernel: Kernel, this: Sum) -> str:
    """Add to a sum what the rows of a chunk give."""
    totals = kernel.at("total")
    number = [buffer.name for buffer in totals].index(this.total)
    height, width = totals[number].sizes
    begin = sum_of(["room->totals", *map(total_size, totals[:number])])
    tensor = tensor_order(kernel).index(totals[number])
    left = "ones(room->left, rows)"
    if this.left is not None:
        left = rows_of(kernel.buffers[this.left], this.left_offset, "left", "add_up")
    right = rows_of(kernel.buffers[this.right], this.right_offset, "right", "add_up")
    return f"add_rows(c, room, {tensor}, rows, {height}, {width}, {left}, {right}, {begin});"
