"""Where the values of one row lie that only one stage of a kernel reads.

In go the levels of a stage, out comes where each of its buffers of place "row" lies. Small ones lie
on the stack, where compilers keep them in registers. The stack of a thread is small, and a step may
have megabytes of such rows: what goes beyond a limit lies in the workspace. So do all rows of a
stage that is too long to be one function of C, since its functions pass them on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from rondo.compiler.c_loops import C_TYPES
from rondo.compiler.kernel import Buffer, Compute, Kernel, Level, Loop
from rondo.compiler.pieces import work_of

STACK_BYTES = 64 << 10
"""What the rows of a stage may take on the stack."""

LINE_BYTES = 64
"""Rows in the workspace begin at multiples of this."""

FUNCTION_WORK = 1024
"""What a function does at most for a row, as `pieces.py` counts it: compilers take more than twice
the time for one that is twice as long."""


@dataclass(frozen=True)
class RowMemory:
    """Where the rows of a stage lie.

    Args:
        rows: The buffers of one row.
        offsets: Those that lie in the workspace, and at which byte each of them begins.
        workspace_bytes: What these take.
        is_long: Whether the stage is more than one function.
    """

    rows: tuple[Buffer, ...]
    offsets: dict[str, int]
    workspace_bytes: int
    is_long: bool

    def lines(self, used: Collection[str]) -> list[str]:
        """Lines of C that say where the rows begin, those whose pointers are used."""
        lines = []
        for row in self.rows:
            kind, name = C_TYPES[row.dtype], f"{row.name}_row"
            if name not in used:
                continue
            if row.name in self.offsets:
                begin = f"({kind} *)(room->rows + {self.offsets[row.name]})"
                lines.append(f"{kind} *restrict const {name} = {begin};")
            else:
                lines.append(f"{kind} {name}[{max(row.size, 1)}];")
        return lines

    def groups(self, level: Level) -> Iterator[tuple[Loop, ...]]:
        """The loops of a level, those together that are one function."""
        group: list[Loop] = []
        work = 0
        for loop in level.loops:
            work += work_of(loop)
            if self.is_long and group and work > FUNCTION_WORK:
                yield tuple(group)
                group, work = [], work_of(loop)
            group.append(loop)
        yield tuple(group)


def touched(loops: Iterable[Loop]) -> list[str]:
    """The buffers that loops read or write."""
    items = (item for loop in loops for item in loop.body)
    return list(dict.fromkeys(item.buffer for item in items if not isinstance(item, Compute)))


def row_bytes(row: Buffer) -> int:
    """What a row takes."""
    return max(row.size, 1) * row.dtype.itemsize


def memory_of(kernel: Kernel, levels: Iterable[Level]) -> RowMemory:
    """Where the rows of a stage lie; the smallest on the stack."""
    loops = [loop for level in levels for loop in level.loops]
    used = set(touched(loops))
    rows = tuple(buffer for buffer in kernel.at("row") if buffer.name in used)
    is_long = sum(map(work_of, loops)) > FUNCTION_WORK
    on_stack, end = 0, 0
    offsets: dict[str, int] = {}
    for row in sorted(rows, key=row_bytes):
        if not is_long and on_stack + row_bytes(row) <= STACK_BYTES:
            on_stack += row_bytes(row)
        else:
            offsets[row.name] = end
            end += -(-row_bytes(row) // LINE_BYTES) * LINE_BYTES
    return RowMemory(rows, offsets, end, is_long)
