"""What a loop does with the elements of a row, in Triton's language.

Names that the lines use: `r` is the row and `j` the element of each number of a tile, `j0`, `j1`
and so on its indices; `known` tells whether there is such an element, `is_live` whether its row
takes part in the step, `is_inside` whether there is such a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch

from rondo.compiler.elementwise import IGNORED, written
from rondo.compiler.gpu.addresses import address, load
from rondo.compiler.gpu.operators import TRITON_SPELLING
from rondo.compiler.graph import Node
from rondo.compiler.kernel import Buffer, Compute, Kernel, Load, Loop, NotCoveredError, Reduce
from rondo.compiler.region import CONSTANTS

aten = torch.ops.aten

EMPTY_REDUCTION = {
    "sum": "0.0",
    "product": "1.0",
    "max": 'float("-inf")',
    "min": 'float("inf")',
}
REDUCED = {"sum": "tl.sum({a}, 1)", "product": "tl.reduce({a}, 1, multiplied)",
           "max": "tl.reduce({a}, 1, greater)",
           "min": "tl.reduce({a}, 1, smaller)"}  # fmt: skip


def body_lines(
    kernel: Kernel,
    loop: Loop,
    there: Mapping[str, str],
    reduced: Callable[[Reduce, str], list[str]],
    dtypes: dict[str, torch.dtype],
) -> list[str]:
    """What a loop does with the elements of a tile.

    Args:
        kernel: The kernel.
        loop: The loop.
        there: The values that some of its loads need not read.
        reduced: The lines that reduce a tile of numbers.
        dtypes: The types of values by name; those of the loop are added.
    """
    states = {target: state for state, target in kernel.commits}
    lines = []
    for item in loop.stores_last:
        if isinstance(item, Load):
            dtypes[item.name] = torch.bool if item.dtype == torch.bool else torch.float32
            value = there.get(item.name) or _loaded(kernel.buffers[item.buffer], item)
            lines.append(f"{item.name} = {value}")
        elif isinstance(item, Compute):
            dtypes[item.name] = item.dtype
            lines.append(f"{item.name} = {_expression(item, dtypes)}")
        elif isinstance(item, Reduce):
            number = _as_number(item.value, dtypes)
            lines += reduced(item, f"tl.where(is_live, {number}, {EMPTY_REDUCTION[item.kind]})")
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


def total_name(item: Reduce) -> str:
    """What a sum, or an extreme, is called."""
    return f"{item.buffer}_{item.kind}"


def store_total(kernel: Kernel, item: Reduce, index: str, total: str) -> str:
    """Store what was summed over the elements of rows."""
    place = address(kernel.buffers[item.buffer], index, "row")
    return f"tl.store({place}, {total}, mask=row < rows)"


def row_lines(first_line: str) -> list[str]:
    """The rows of a tile, and which of them begin the step anew."""
    return [
        first_line,
        "is_reset = row < 0",
        "if RESETS != 0:",
        "    is_reset = tl.load(resets + first + row, mask=row < rows, other=0) != 0",
    ]


def element_lines(columns: str, size: int) -> list[str]:
    """The elements of a tile, of rows of so many."""
    return [
        f"j = {columns}",
        "r = row + 0 * j",
        f"known = j < {size}",
        "is_inside = (r < num_rows) & known",
        "is_live = (r < rows) & known",
    ]


def index_lines(sizes: tuple[int, ...], flat: str, first: int) -> list[str]:
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


def _loaded(buffer: Buffer, item: Load) -> str:
    """The elements of a tile that a load reads, as truth values or float32."""
    loaded = load(buffer, item.index.written, "known" if buffer.place == "shared" else "is_live")
    if buffer.dtype == torch.bool:
        return loaded
    if item.dtype == torch.bool:
        return f"{loaded} != 0"
    return loaded if buffer.place == "state" else f"{loaded}.to(tl.float32)"


def _stored(value: str, dtypes: Mapping[str, torch.dtype], dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return f"({value} != 0).to(tl.uint8)"
    return _as_number(value, dtypes)


def _as_number(value: str, dtypes: Mapping[str, torch.dtype]) -> str:
    return f"{value}.to(tl.float32)" if dtypes.get(value) == torch.bool else value


TRUTHS: dict[Any, tuple[int, ...]] = {aten.where: (0,), aten.masked_fill: (1,)}
"""The arguments that are truth values of operations whose others are numbers."""


def _expression(item: Compute, dtypes: Mapping[str, torch.dtype]) -> str:
    node = item.node
    if node.packet in CONSTANTS:
        dtype = "tl.int1" if item.dtype == torch.bool else "tl.float32"
        return f"tl.full((1, 1), {_number(item.args[0])}, {dtype})"
    if node.packet is aten.arange:
        return f"(0 * j + {_number(item.args[0])}).to(tl.float32)"
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
        raise NotCoveredError(
            f"{node.op_name} has options that no kernel knows", node.name
        ) from error


def _stays(node: Node, argument: int, is_truth: bool) -> bool:
    """Whether an argument that is a truth value is read as one."""
    return is_truth or argument in TRUTHS.get(node.packet, ())


def _number(value: Any) -> str:
    return written(value, _literal)


def _literal(value: float) -> str:
    special = value != value or value in (float("inf"), -float("inf"))
    text = f'float("{value}")' if special else repr(float(value))
    return f"({text})" if value < 0 else text
