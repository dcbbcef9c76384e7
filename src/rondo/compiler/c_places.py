"""Where the values of a kernel lie, as C says it.

In go buffers and the stage of the kernel that reads them, out come pointers.
"""

from __future__ import annotations

import re

from rondo.compiler.c_loops import C_TYPES
from rondo.compiler.c_tables import row_stride, tensor_order
from rondo.compiler.kernel import Buffer, Kernel
from rondo.compiler.row_memory import RowMemory


def pointers(kernel: Kernel, body: str, memory: RowMemory) -> list[str]:
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
            offset += row_stride(buffer)
    lines += memory.lines(used)
    packed: list[str] = []
    for number, matrix in enumerate(kernel.matrices):
        if f"matrix_{number}" in used:
            begin = " + ".join(["c->packed", *packed])
            lines.append(f"const real *const matrix_{number} = {begin};")
        packed.append(f"packed_size({matrix.depth}, {matrix.width})")
    return lines


def row_pointer(buffer: Buffer, stage: str) -> str:
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
        "chunk": f"{name}_all + ({in_chunk}) * {row_stride(buffer)}",
        "local": f"{name}_all + r * {row_stride(buffer)}",
        "row": f"{name}_row",
    }[buffer.place]
    const = "const " if buffer.place in ("shared", "input", "previous") else ""
    return f"{const}{kind} *const {name}_at = {place};"


def first_row(buffer: Buffer) -> str:
    """The first row of a step."""
    start = {
        "input": f" + packed * {buffer.size}",
        "output": f" + packed * {buffer.size}",
        "state": f" + row * {buffer.size}",
        "chunk": f" + chunk_row * {row_stride(buffer)}",
        "local": "",
    }[buffer.place]
    return f"{buffer.name}_all{start}"


def distance(buffer: Buffer) -> int:
    """Numbers from row to row."""
    return row_stride(buffer) if buffer.place in ("chunk", "local") else buffer.size


def rows_of(buffer: Buffer, offset: int, table: str, stage: str) -> str:
    """Pointers to the rows at hand of a buffer, in one of the tables of the room."""
    table, stride = f"room->{table}", distance(buffer)
    first = {"step": "chunk_row", "add_up": "0"}.get(stage, "first")
    if buffer.place == "previous":
        return f"rows_from({table}, {buffer.name}_rows + {first}, {offset}, rows)"
    if stage == "step":
        return f"rows_at({table}, {first_row(buffer)} + {offset}, {stride}, 0, rows)"
    if buffer.place == "chunk":
        begin = f"{buffer.name}_all + {first} * {stride} + {offset}"
        return f"rows_at({table}, {begin}, {stride}, 0, rows)"
    at = f"room->packed_rows + {first}"
    return f"rows_at({table}, {buffer.name}_all + {offset}, {stride}, {at}, rows)"
