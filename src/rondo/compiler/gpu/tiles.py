"""The loops and products of a kernel in Triton's language, tile by tile.

In goes what a phase does, out come lines that do every so manyth tile of it: some rows times some
neighbouring elements of a row. Names that they use: `rows`, the rows of the step, which are the
first ones; `first`, where they begin in packed values; and those of `bodies.py`.
"""

from __future__ import annotations

from math import ceil, prod

from rondo.compiler.gpu.addresses import address, moved, power_of_two
from rondo.compiler.gpu.bodies import (
    EMPTY_REDUCTION,
    REDUCED,
    body_lines,
    element_lines,
    index_lines,
    row_lines,
    store_total,
    total_name,
)
from rondo.compiler.gpu.phases import Phase, Rows, Tiles, Work, product_of
from rondo.compiler.gpu.products import Sums, keep_lines, num_kept, sum_lines
from rondo.compiler.gpu.rows import num_rows_at_once, rows_lines
from rondo.compiler.kernel import Kernel, Load, Loop, Product, Reduce

MOST_COLUMNS, MOST_NUMBERS = 128, 1024
"""The most columns, and numbers, of a tile without products."""

MOST_REDUCED = 1024
"""The most elements of a row that are summed at once."""

COMBINED = {
    "sum": "{a} + {b}",
    "product": "{a} * {b}",
    "max": "greater({a}, {b})",
    "min": "smaller({a}, {b})",
}


def sums_of(kernel: Kernel, phase: Phase) -> list[list[Sums]]:
    """The sums of products that a tile of each loop or product of a phase needs."""
    found: list[list[Sums]] = []
    num_parts = 0
    for item in phase.work:
        found.append([])
        for product, columns in _columns_of(kernel, item):
            found[-1].append(Sums(product, columns, num_parts))
            num_parts += num_kept(kernel, found[-1][-1])
    return found


def _columns_of(kernel: Kernel, item: Work) -> list[tuple[Product, dict[str, int]]]:
    """The products that are computed tile by tile, and the first column of each sum of them."""
    if isinstance(item, Rows):
        return []
    if isinstance(item, Product):
        return [(item, {"total": 0})]
    size = prod(item.loop.sizes)
    return [
        (
            product,
            {
                f"sum_{part.name}": part.index.offset - product.result_offset
                for part in item.loop.body
                if isinstance(part, Load)
                and part.buffer == name
                and product_of(kernel, products, part, size) == product
            },
        )
        for name, products in item.products.items()
        for product in products
    ]


def work_lines(kernel: Kernel, item: Work, every_sums: list[Sums]) -> list[str]:
    """Do every so manyth tile of what a phase does, given the sums that a tile needs."""
    if isinstance(item, Rows):
        return rows_lines(kernel, item)
    if isinstance(item, Tiles) and item.loop.num_reduced:
        return _lines_that_reduce(kernel, item.loop)
    size, height, width = _sizes(kernel, item)
    body = [line for sums in every_sums for line in sum_lines(kernel, sums)]
    if isinstance(item, Product):
        place = address(kernel.buffers[item.result], moved("j", item.result_offset))
        body.append(f"tl.store({place}, total, mask=is_live)")
    else:
        names = {name.removeprefix("sum_"): name for sums in every_sums for name in sums.columns}
        body = [*index_lines(item.loop.sizes, "j", 0), *body]
        body += body_lines(kernel, item.loop, names, _combined, {})
    return [*_tile_lines(size, height, width), *(f"    {line}" for line in body)]


def kept_lines(kernel: Kernel, item: Work, every_sums: list[Sums]) -> list[str]:
    """Read what the sums of that tile of a loop or a product need that has the program's number."""
    if isinstance(item, Rows) or not every_sums:
        return []
    size, _, width = _sizes(kernel, item)
    return [
        f"j = {_columns_of_tile('program', size, width)}",
        f"known = j < {size}",
        *(line for sums in every_sums for line in keep_lines(kernel, sums)),
    ]


def _sizes(kernel: Kernel, item: Tiles | Product) -> tuple[int, str, str]:
    """The elements of a row, and the rows and columns of a tile."""
    if isinstance(item, Product):
        return kernel.matrices[item.matrix].width, "ROWS", "COLUMNS"
    size = prod(item.loop.sizes)
    if item.products or item.like_products:
        return size, "ROWS", "COLUMNS"
    rows, columns = _tile_sizes(size)
    return size, str(rows), str(columns)


def _lines_that_reduce(kernel: Kernel, loop: Loop) -> list[str]:
    """A loop that sums over the elements of a row, or finds their extremes."""
    num_kept = len(loop.sizes) - loop.num_reduced
    kept, reduced = prod(loop.sizes[:num_kept]), prod(loop.sizes[num_kept:])
    height, width = _line_sizes(reduced)
    reductions = [item for item in loop.body if isinstance(item, Reduce)]
    inner = [
        *element_lines(f"start + tl.arange(0, {width})[None, :]", reduced),
        *index_lines(loop.sizes[num_kept:], "j", num_kept),
        *body_lines(kernel, loop, {}, _combined, {}),
    ]
    return [
        f"for tile in range(program, tl.cdiv(num_rows * {kept}, {height}), num_programs):",
        f"    line = tile * {height} + tl.arange(0, {height})[:, None]",
        *(f"    {line}" for line in row_lines(f"row = line // {kept}")),
        *(f"    {line}" for line in index_lines(loop.sizes[:num_kept], f"line % {kept}", 0)),
        *(
            f"    {total_name(item)} = tl.full(({height}, {width}), "
            f"{EMPTY_REDUCTION[item.kind]}, tl.float32)"
            for item in reductions
        ),
        f"    for start in range(0, {reduced}, {width}):",
        *(f"        {line}" for line in inner),
        *(f"    {_finish(kernel, item)}" for item in reductions),
    ]


def _combined(item: Reduce, numbers: str) -> list[str]:
    """Add numbers to those that were there before."""
    total = total_name(item)
    return [f"{total} = {COMBINED[item.kind].format(a=total, b=numbers)}"]


def _finish(kernel: Kernel, item: Reduce) -> str:
    total = REDUCED[item.kind].format(a=total_name(item))
    return store_total(kernel, item, item.index.written, f"{total}[:, None]")


def num_tiles(kernel: Kernel, item: Work, num_rows: int, rows: int, columns: int) -> int:
    """How many tiles a loop or a product has, those of products being of so many rows and columns.

    More programs than that have nothing to do.
    """
    if isinstance(item, Rows):
        return ceil(num_rows / num_rows_at_once(item))
    if isinstance(item, Product):
        size = kernel.matrices[item.matrix].width
    else:
        size, reduced = prod(item.loop.sizes), item.loop.num_reduced
        if reduced:
            height, _ = _line_sizes(prod(item.loop.sizes[-reduced:]))
            return ceil(num_rows * prod(item.loop.sizes[:-reduced]) / height)
        if not (item.products or item.like_products):
            rows, columns = _tile_sizes(size)
    return ceil(num_rows / rows) * ceil(size / columns)


def _tile_sizes(size: int) -> tuple[int, int]:
    """The rows and columns of a tile without products, of rows of so many elements."""
    columns = min(MOST_COLUMNS, power_of_two(size))
    return MOST_NUMBERS // columns, columns


def _line_sizes(reduced: int) -> tuple[int, int]:
    """How many sums over so many elements are made at once, and of how many elements at once."""
    width = min(MOST_REDUCED, power_of_two(reduced))
    return MOST_NUMBERS // width, width


def _tile_lines(size: int, height: str, width: str) -> list[str]:
    """The beginning of a loop over tiles: which rows and columns a tile is of."""
    across = f"tl.cdiv({size}, {width})"
    rows = f"row = (tile // {across} * {height} + tl.arange(0, {height}))[:, None]"
    body = [*row_lines(rows), *element_lines(_columns_of_tile("tile", size, width), size)]
    return [
        f"for tile in range(program, tl.cdiv(num_rows, {height}) * {across}, num_programs):",
        *(f"    {line}" for line in body),
    ]


def _columns_of_tile(tile: str, size: int, width: str) -> str:
    """The numbers of the columns of a tile, of rows of so many elements."""
    return f"({tile} % tl.cdiv({size}, {width}) * {width} + tl.arange(0, {width}))[None, :]"
