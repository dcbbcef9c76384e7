"""Loops over whole rows in Triton's language, one after the other, each program with its own rows.

What one loop computed of an element, the next ones have at hand where they need the same element;
so are sums over a row. Where a loop needs another element, it reads what was stored, once all of
the program have stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

import torch

from rondo.compiler.gpu.addresses import power_of_two
from rondo.compiler.gpu.bodies import (
    REDUCED,
    body_lines,
    element_lines,
    index_lines,
    row_lines,
    store_total,
    total_name,
)
from rondo.compiler.gpu.phases import Rows
from rondo.compiler.graph import Ref, map_argument
from rondo.compiler.kernel import Compute, Kernel, Load, Loop, Reduce, Store
from rondo.compiler.views import Index

FEWEST_NUMBERS = 1024
"""Rows that are shorter are done several at once."""

Element = tuple[str, Index, tuple[int, ...]]
"""What a value is an element of: a buffer, at an index, in loops of some sizes."""


def num_rows_at_once(item: Rows) -> int:
    """The rows that a program does at once."""
    return max(1, FEWEST_NUMBERS // power_of_two(item.most_elements))


def rows_lines(kernel: Kernel, item: Rows) -> list[str]:
    """Do every so manyth row."""
    height = num_rows_at_once(item)
    body = row_lines(f"row = tile * {height} + tl.arange(0, {height})[:, None]")
    for lines in _Loops(kernel, item).lines():
        body += lines
    return [
        f"for tile in range(program, tl.cdiv(num_rows, {height}), num_programs):",
        *(f"    {line}" for line in body),
    ]


class _Loops:
    """The loops of rows, and what the first ones leave to the others.

    Args:
        kernel: The kernel.
        item: The loops.
    """

    def __init__(self, kernel: Kernel, item: Rows) -> None:
        self.kernel = kernel
        self.loops = [_renamed(loop, f"l{number}_") for number, loop in enumerate(item.loops)]
        stores = (part for loop in self.loops for part in loop.body if isinstance(part, Store))
        self.num_stores = Counter(store.buffer for store in stores)
        self.values: dict[Element, str] = {}
        self.totals: dict[str, str] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self.stored: set[str] = set()  # since all of the program waited

    def lines(self) -> Iterator[list[str]]:
        """The lines of each loop."""
        for loop in self.loops:
            there = self._there(loop)
            lines = []
            if self._must_wait(loop, there):
                lines.append("tl.debug_barrier()")
                self.stored.clear()
            size = prod(loop.sizes)
            lines += element_lines(f"tl.arange(0, {power_of_two(size)})[None, :]", size)
            lines += index_lines(loop.sizes, "j", 0)
            lines += body_lines(self.kernel, loop, there, self._reduced, self.dtypes)
            self._note(loop)
            yield lines

    def _there(self, loop: Loop) -> dict[str, str]:
        """The values that loads of a loop would read and that are at hand."""
        found: dict[str, str] = {}
        for part in loop.body:
            if isinstance(part, Load):
                value = self.totals.get(part.buffer)
                value = value or self.values.get((part.buffer, part.index, loop.sizes))
                if value and (self.dtypes.get(value) == torch.bool) == (part.dtype == torch.bool):
                    found[part.name] = value
        return found

    def _must_wait(self, loop: Loop, there: dict[str, str]) -> bool:
        """Whether the loop touches what others of the program may not have stored yet."""
        touched = {
            part.buffer
            for part in loop.body
            if not isinstance(part, Compute) and not (isinstance(part, Load) and part.name in there)
        }
        return bool(touched & self.stored)

    def _reduced(self, item: Reduce, numbers: str) -> list[str]:
        total = total_name(item)
        index = str(item.index.offset)  # sums are over whole rows: every other index is 0
        return [
            f"{total} = {REDUCED[item.kind].format(a=numbers)}[:, None]",
            store_total(self.kernel, item, index, total),
        ]

    def _note(self, loop: Loop) -> None:
        """Remember what a loop has loaded, computed and stored."""
        for part in loop.body:
            if isinstance(part, Load):
                self.values[part.buffer, part.index, loop.sizes] = part.name
            elif isinstance(part, Store):
                self.stored.add(part.buffer)
                if self.num_stores[part.buffer] == 1:
                    self.values[part.buffer, part.index, loop.sizes] = part.value
                    if prod(loop.sizes) == 1:
                        self._note_one(part.buffer, part.value)
            elif isinstance(part, Reduce):
                self.stored.add(part.buffer)
                self._note_one(part.buffer, total_name(part))

    def _note_one(self, buffer: str, value: str) -> None:
        """Remember the one number that a row has of a buffer."""
        if self.kernel.buffers[buffer].size == 1:
            self.totals[buffer] = value


def _renamed(loop: Loop, prefix: str) -> Loop:
    """The loop, its values under names that no other loop has."""
    ours = {part.name for part in loop.body if isinstance(part, Load | Compute)}

    def renamed(argument: Any) -> Any:
        is_ours = isinstance(argument, Ref) and argument.name in ours
        return Ref(f"{prefix}{argument.name}") if is_ours else argument

    body: list[Load | Compute | Store | Reduce] = []
    for part in loop.body:
        if isinstance(part, Load):
            body.append(replace(part, name=f"{prefix}{part.name}"))
        elif isinstance(part, Compute):
            arguments = tuple(map_argument(renamed, argument) for argument in part.args)
            body.append(replace(part, name=f"{prefix}{part.name}", args=arguments))
        else:
            body.append(replace(part, value=f"{prefix}{part.value}"))
    return replace(loop, body=tuple(body))
