"""Where the values of a kernel lie, and how they are read, in Triton's language.

In a tile `r` is the row and `j` the element of each number. A row alone, a product's left factor,
is called something else and handed in.
"""

from __future__ import annotations

import torch

from rondo.compiler.kernel import Buffer

WRITTEN = ("output", "local", "row")
"""Places that a kernel writes and reads again, perhaps in another program: what is read is what
lies in the memory that all share, never what a processor has kept of it."""


def address(buffer: Buffer, index: str, row: str = "r") -> str:
    """Where elements of rows lie."""
    start = {
        "shared": "0 * j",
        "input": f"(first + {row}) * {buffer.size}",
        "output": f"(first + {row}) * {buffer.size}",
    }.get(buffer.place, f"{row} * {buffer.size}")
    return f"{buffer.name}_at + {start} + {index}"


def load(buffer: Buffer, index: str, mask: str, row: str = "r", is_reset: str = "is_reset") -> str:
    """Elements of rows, 0 where the mask is not."""
    if buffer.place == "state":
        where = f"{buffer.name}_now, {buffer.name}_start, {row} * {buffer.size} + {index}"
        return f"load_state({where}, {mask}, {is_reset}, RESETS)"
    shared = ', cache_modifier=".cg"' if buffer.place in WRITTEN else ""
    loaded = f"tl.load({address(buffer, index, row)}, mask={mask}, other=0{shared})"
    return f"{loaded} != 0" if buffer.dtype == torch.bool else loaded


def moved(index: str, offset: int) -> str:
    """An index, so many elements further on."""
    return f"{index} + {offset}" if offset else index


def power_of_two(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << max(0, number - 1).bit_length()
