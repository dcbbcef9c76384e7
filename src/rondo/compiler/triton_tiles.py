"""The loops and products of a kernel in Triton's language, tile by tile.

In goes a loop or a product, out come lines that do every so manyth tile of it. Names that they use:
`rows`, the rows of the step, which are the first ones; `first`, where they begin in packed values.
In a tile `r` is the row and `j` the element of each number; `known` tells whether there is such an
element, `is_live` whether its row takes part in the step, `is_inside` whether there is such a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, prod
from typing import Any

import torch

from rondo.compiler.elementwise import IGNORED, written
from rondo.compiler.graph import Node
from rondo.compiler.kernel import (
    Buffer,
    Compute,
    Kernel,
    Load,
    Loop,
    NotCoveredError,
    Product,
    Reduce,
)
from rondo.compiler.phases import Phase, Tiles, product_of
from rondo.compiler.region import CONSTANTS
from rondo.compiler.triton_memory import address, load, moved, power_of_two
from rondo.compiler.triton_operators import TRITON_SPELLING
from rondo.compiler.triton_products import Sums, keep_lines, num_kept, sum_lines

aten = torch.ops.aten

MOST_COLUMNS, MOST_NUMBERS = 128, 1024
"""The most columns, and numbers, of a tile without products."""

MOST_REDUCED = 1024
"""The most elements of a row that are summed at once."""

EMPTY_REDUCTION = {"sum": "0.0", "max": 'float("-inf")', "min": 'float("inf")'}
COMBINED = {"sum": "{a} + {b}", "max": "greater({a}, {b})", "min": "smaller({a}, {b})"}
REDUCED = {"sum": "tl.sum({a}, 1)", "max": "tl.reduce({a}, 1, greater)",
           "min": "tl.reduce({a}, 1, smaller)"}  # fmt: skip


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


def _columns_of(kernel: Kernel, item: Tiles | Product) -> list[tuple[Product, dict[str, int]]]:
    """The products that are computed tile by tile, and the first column of each sum of them."""
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


def work_lines(kernel: Kernel, item: Tiles | Product, every_sums: list[Sums]) -> list[str]:
    """Do every so manyth tile of a loop or a product, given the sums that a tile needs."""
    if isinstance(item, Tiles) and item.loop.num_reduced:
        return _lines_that_reduce(kernel, item.loop)
    size, height, width = _sizes(kernel, item)
    body = [line for sums in every_sums for line in sum_lines(kernel, sums)]
    if isinstance(item, Product):
        place = address(kernel.buffers[item.result], moved("j", item.result_offset))
        body.append(f"tl.store({place}, total, mask=is_live)")
    else:
        names = {name.removeprefix("sum_"): name for sums in every_sums for name in sums.columns}
        body = [*_index_lines(item.loop.sizes, "j", 0), *body]
        body += _body_lines(kernel, item.loop, names)
    return [*_tile_lines(size, height, width), *(f"    {line}" for line in body)]


def kept_lines(kernel: Kernel, item: Tiles | Product, every_sums: list[Sums]) -> list[str]:
    """Read what the sums of that tile of a loop or a product need that has the program's number."""
    if not every_sums:
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
    if item.products:
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
        f"j = start + tl.arange(0, {width})[None, :]",
        "r = row + 0 * j",
        f"known = j < {reduced}",
        "is_inside = (r < num_rows) & known",
        "is_live = (r < rows) & known",
        *_index_lines(loop.sizes[num_kept:], "j", num_kept),
        *_body_lines(kernel, loop, {}),
    ]
    return [
        f"for tile in range(program, tl.cdiv(num_rows * {kept}, {height}), num_programs):",
        f"    line = tile * {height} + tl.arange(0, {height})[:, None]",
        f"    row = line // {kept}",
        "    is_reset = row < 0",
        "    if RESETS != 0:",
        "        is_reset = tl.load(resets + first + row, mask=row < rows, other=0) != 0",
        *(f"    {line}" for line in _index_lines(loop.sizes[:num_kept], f"line % {kept}", 0)),
        *(
            f"    {_accumulator(item)} = tl.full(({height}, {width}), "
            f"{EMPTY_REDUCTION[item.kind]}, tl.float32)"
            for item in reductions
        ),
        f"    for start in range(0, {reduced}, {width}):",
        *(f"        {line}" for line in inner),
        *(f"    {_finish(kernel, item)}" for item in reductions),
    ]


def num_tiles(kernel: Kernel, item: Tiles | Product, num_rows: int, rows: int, columns: int) -> int:
    """How many tiles a loop or a product has, those of products being of so many rows and columns.

    More programs than that have nothing to do.
    """
    if isinstance(item, Product):
        size = kernel.matrices[item.matrix].width
    else:
        size, reduced = prod(item.loop.sizes), item.loop.num_reduced
        if reduced:
            height, _ = _line_sizes(prod(item.loop.sizes[-reduced:]))
            return ceil(num_rows * prod(item.loop.sizes[:-reduced]) / height)
        if not item.products:
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
    return [
        f"for tile in range(program, tl.cdiv(num_rows, {height}) * {across}, num_programs):",
        f"    row = (tile // {across} * {height} + tl.arange(0, {height}))[:, None]",
        f"    j = {_columns_of_tile('tile', size, width)}",
        "    r = row + 0 * j",
        f"    known = j < {size}",
        "    is_inside = (r < num_rows) & known",
        "    is_live = (r < rows) & known",
        "    is_reset = row < 0",
        "    if RESETS != 0:",
        "        is_reset = tl.load(resets + first + row, mask=row < rows, other=0) != 0",
    ]


def _columns_of_tile(tile: str, size: int, width: str) -> str:
    """The numbers of the columns of a tile, of rows of so many elements."""
    return f"({tile} % tl.cdiv({size}, {width}) * {width} + tl.arange(0, {width}))[None, :]"


def _index_lines(sizes: tuple[int, ...], flat: str, first: int) -> list[str]:
    """The loop variables of an element from its number among all of these sizes."""
    lines = []
    below = prod(sizes)
    for number, size in enumerate(sizes):
        below //= max(size, 1)
        text = f"{flat} // {below}" if below > 1 else flat
        if number:
            text = f"({text}) % {size}"
        lines.append(f"j{first + number} = {text}")
    return lines


def _body_lines(kernel: Kernel, loop: Loop, sums: Mapping[str, str]) -> list[str]:
    """What a loop does with the elements of a tile; `sums` holds products under their loads."""
    states = {target: state for state, target in kernel.commits}
    dtypes: dict[str, torch.dtype] = {}
    lines = []
    for item in loop.stores_last:
        if isinstance(item, Load):
            dtypes[item.name] = torch.bool if item.dtype == torch.bool else torch.float32
            value = sums.get(item.name) or _loaded(kernel.buffers[item.buffer], item)
            lines.append(f"{item.name} = {value}")
        elif isinstance(item, Compute):
            dtypes[item.name] = item.dtype
            lines.append(f"{item.name} = {_expression(item, dtypes)}")
        elif isinstance(item, Reduce):
            number = _as_number(item.value, dtypes)
            value = f"tl.where(is_live, {number}, {EMPTY_REDUCTION[item.kind]})"
            total = _accumulator(item)
            lines.append(f"{total} = {COMBINED[item.kind].format(a=total, b=value)}")
        elif item.buffer in states:
            name = states[item.buffer]
            place = f"r * {kernel.buffers[name].size} + {item.index.written}"
            where = f"{name}_now, {name}_after, {name}_start, {place}"
            value = _as_number(item.value, dtypes)
            lines.append(f"store_state({where}, {value}, is_live, is_inside, is_reset, RESETS)")
        else:
            buffer = kernel.buffers[item.buffer]
            value = _stored(item.value, dtypes, buffer.dtype)
            lines.append(f"tl.store({address(buffer, item.index.written)}, {value}, mask=is_live)")
    return lines


def _loaded(buffer: Buffer, item: Load) -> str:
    """The elements of a tile that a load reads, as truth values or float32."""
    loaded = load(buffer, item.index.written, "known" if buffer.place == "shared" else "is_live")
    as_it_is = buffer.dtype == torch.bool or buffer.place == "state"
    return loaded if as_it_is else f"{loaded}.to(tl.float32)"


def _stored(value: str, dtypes: Mapping[str, torch.dtype], dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return f"({value} != 0).to(tl.uint8)"
    return _as_number(value, dtypes)


def _as_number(value: str, dtypes: Mapping[str, torch.dtype]) -> str:
    return f"{value}.to(tl.float32)" if dtypes.get(value) == torch.bool else value


def _accumulator(item: Reduce) -> str:
    return f"{item.buffer}_{item.kind}"


def _finish(kernel: Kernel, item: Reduce) -> str:
    """Store what was summed over the elements of rows."""
    place = address(kernel.buffers[item.buffer], item.index.written, "row")
    total = REDUCED[item.kind].format(a=_accumulator(item))
    return f"tl.store({place}, {total}[:, None], mask=row < rows)"


TRUTHS: dict[Any, tuple[int, ...]] = {aten.where: (0,), aten.masked_fill: (1,)}
"""The arguments that are truth values of operations whose others are numbers."""


def _expression(item: Compute, dtypes: Mapping[str, torch.dtype]) -> str:
    node = item.node
    if node.packet in CONSTANTS:
        dtype = "tl.int1" if item.dtype == torch.bool else "tl.float32"
        return f"tl.full((1, 1), {_number(item.args[0])}, {dtype})"
    is_truth = item.dtype == torch.bool
    if node.packet is aten._to_copy and is_truth:
        return f"{_number(item.args[0])} != 0"
    arguments = [
        None
        if value is None
        else _as_number(_number(value), {} if _stays(node, number, is_truth) else dtypes)
        for number, value in enumerate(item.args)
    ]
    keywords = {key: _number(value) for key, value in node.kwargs if key not in IGNORED}
    try:
        return TRITON_SPELLING[node.packet](*arguments, **keywords)
    except TypeError as error:
        raise NotCoveredError(f"{node} has options that the renderer does not know") from error


def _stays(node: Node, argument: int, is_truth: bool) -> bool:
    """Whether an argument that is a truth value is read as one."""
    return is_truth or argument in TRUTHS.get(node.packet, ())


def _number(value: Any) -> str:
    return written(value, _literal)


def _literal(value: float) -> str:
    special = value != value or value in (float("inf"), -float("inf"))
    text = f'float("{value}")' if special else repr(float(value))
    return f"({text})" if value < 0 else text
