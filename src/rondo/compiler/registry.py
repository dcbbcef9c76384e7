"""The programs that a graph of torch's may name, by their keys.

In goes a program with the key that says all it does; it is found by that key for as long as
somebody else holds it: a layer, or what a backward pass has kept. Programs of layers that are gone
go with them. Several layers may have a program each of the same key: any of them serves.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rondo.compiler.program import Program

MAX_KEPT = 256
"""Programs that are kept for graphs, whose layers may be gone."""


class Registry:
    """Programs by key, while somebody holds them."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[int, weakref.ref[Program]]] = {}
        self._known: set[int] = set()

    def __setitem__(self, key: str, program: Program) -> None:
        number = id(program)

        def forget(_: object) -> None:
            self._known.discard(number)
            same = self._by_key.get(key, {})
            same.pop(number, None)
            if not same:
                self._by_key.pop(key, None)

        self._by_key.setdefault(key, {})[number] = weakref.ref(program, forget)
        self._known.add(number)

    def setdefault(self, key: str, program: Program) -> Program:
        """Make a program known, if it is not; returns the program."""
        if id(program) not in self._known:
            self[key] = program
        return program

    def __getitem__(self, key: str) -> Program:
        for reference in list(self._by_key.get(key, {}).values()):
            program = reference()
            if program is not None:
                return program
        raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)


class Kept:
    """The programs that graphs were last made of, so that these outlive their layers."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()

    def add(self, program: Program) -> None:
        """Keep a program, and let go of the oldest where there are many."""
        self._programs[program.key] = program
        self._programs.move_to_end(program.key)
        while len(self._programs) > MAX_KEPT:
            self._programs.popitem(last=False)

    def clear(self) -> None:
        """Let go of all of them."""
        self._programs.clear()
