"""What a kernel knows of its buffers, as tables and sizes in C.

In goes a :class:`Kernel`, out come the tables that the driver of all kernels reads.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from rondo.compiler.c_last_step import matrices_of_state
from rondo.compiler.kernel import Buffer, Kernel
from rondo.compiler.row_memory import memory_of

ALIGNMENT = 16
"""Rows of local values take a multiple of so many numbers: the widest vectors."""

ROUNDED_ROWS = 96
"""Rows that are rounded to bfloat16 before they are multiplied, at most at a time."""


def is_half(kernel: Kernel) -> bool:
    """Whether a kernel's numbers are stored in bfloat16."""
    return kernel.stored == torch.bfloat16


def tensor_order(kernel: Kernel) -> list[Buffer]:
    """The buffers whose memory is given to the kernel, in the order in which it expects them.

    After the states come the states after a reset, then the matrices.
    """
    places = ("shared", "input", "previous", "output", "total", "state")
    return [buffer for place in places for buffer in kernel.at(place)]


def tables(kernel: Kernel) -> str:
    """The tables of what a kernel is given, and of sizes."""
    order = [buffer.name for buffer in tensor_order(kernel)]
    states = kernel.at("state")
    first_matrix = len(order) + len(states)
    of_state = matrices_of_state(kernel)
    matrices = [
        f"{{{first_matrix + number}, {matrix.depth}, {matrix.width}, {matrix.batch or 0}, "
        f"{int(number in of_state)}}}, /* {matrix.tensor} */"
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
            "typedef struct { int tensor; int64_t depth, width, batch, is_of_state; } matrix;",
            *table("matrix", "MATRICES", matrices),
            f"#define NUM_STATES {len(states)}",
            f"#define FIRST_STATE {len(order) - len(states)}",
            f"static const int64_t STATE_SIZES[] = {{{sizes}}};",
            "typedef struct { int tensor; int64_t size; } previous_state;",
            *table("previous_state", "PREVIOUS", previous),
            "typedef struct { int tensor; int64_t height, width; } total;",
            *table("total", "TOTALS", totals),
            f"#define TOTAL_ROWS {sum(buffer.sizes[0] for buffer in kernel.at('total'))}",
            f"#define TOTALS_SIZE ({sum_of(total_size(b) for b in kernel.at('total'))})",
            f"#define CHUNKED {int(_is_chunked(kernel))}",
            f"#define HAS_OPENING {int(bool(kernel.opening))}",
            f"#define HAS_CLOSING {int(bool(kernel.closing))}",
            f"#define CHUNK_SIZE {sum(map(row_stride, kernel.at('chunk')))}",
            f"#define LOCAL_SIZE {sum(map(row_stride, kernel.at('local')))}",
            *_rows_bytes(kernel),
            "",
        )
    )


def table(kind: str, name: str, rows: list[str]) -> list[str]:
    """A table, and how long it is."""
    return [
        f"#define NUM_{name} {len(rows)}",
        f"static const {kind} {name}[] = {{",
        *(f"    {row}" for row in rows or ["{0}, /* none */"]),
        "};",
    ]


def sum_of(terms: Iterable[str]) -> str:
    """A sum, which may be of nothing."""
    return " + ".join(terms) or "0"


def total_size(buffer: Buffer) -> str:
    """The numbers that a total takes."""
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
    if not is_half(kernel):
        return [f"#define ROWS_BYTES {rows}"]
    depth = max((matrix.depth for matrix in kernel.matrices), default=0)
    return [
        f"#define ROUNDED_ROWS {ROUNDED_ROWS}",
        f"#define ROUNDED_AT {rows}",
        f"#define ROWS_BYTES (ROUNDED_AT + PAIRED * {ROUNDED_ROWS * 4 * -(-depth // 2)})",
    ]


def row_stride(buffer: Buffer) -> int:
    """Numbers from row to row of a local value; tiles may write a vector beyond its end."""
    return -(-buffer.size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
