"""In which loop a kernel stores a value: the first of its size in which all that it reads is there.

In go statements, each of which stores or sums one value, in an order in which they could run; out
come loops, in levels with the products in between. Statements of the same size share a loop where
none needs what another one has only at the loop's end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rondo.compiler.kernel import Product
from rondo.compiler.memory import Memory, Position
from rondo.compiler.views import Index, Place


@dataclass(frozen=True)
class Statement:
    """Store `value` at `place`, or reduce it, into a buffer; `reads` are elements of buffers."""

    buffer: str
    index: Index
    value: str
    place: Place
    kind: str = "store"
    reads: frozenset[tuple[str, Index]] = frozenset()


@dataclass
class Draft:
    """A loop that is being filled with statements."""

    sizes: tuple[int, ...]
    num_reduced: int
    statements: list[Statement] = field(default_factory=list)


class Schedule:
    """The loops and products of a kernel in the making.

    Args:
        memory: Where the values lie.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.drafts: list[list[Draft]] = []
        self.products: list[list[Product]] = []
        self.commits: list[tuple[str, str]] = []  # a state, and the buffer of its next value

    def place(self, statement: Statement, sizes: tuple[int, ...], num_reduced: int) -> None:
        """Put a statement into the first loop of its size in which all that it reads is there."""
        earliest = (0, 0)
        reads = self.memory.accesses(statement.value, statement.place)
        statement = replace(statement, reads=frozenset(reads))
        for buffer, index in reads:
            ready = self.memory.done.get(buffer)
            if ready is not None:
                level, loop = ready
                same = loop >= 0 and self._is_there(level, loop, buffer, index, sizes)
                earliest = max(earliest, ready if same else (level, loop + 1))
        previous = self.memory.done.get(statement.buffer)
        if previous is not None:  # a part of a joined value, in order
            earliest = max(earliest, previous)
        level, first = earliest
        self.reach(level)
        loops = self.drafts[level]
        for number in range(first, len(loops) + 1):
            if number == len(loops):
                loops.append(Draft(sizes, num_reduced))
            draft = loops[number]
            if draft.sizes == sizes and (
                num_reduced in (0, draft.num_reduced) or not draft.num_reduced
            ):
                draft.num_reduced = max(draft.num_reduced, num_reduced)
                draft.statements.append(statement)
                self.memory.done[statement.buffer] = (level, number)
                return

    def reach(self, level: int) -> None:
        """Make room for a level."""
        while len(self.drafts) <= level:
            self.drafts.append([])
            self.products.append([])

    def _is_there(
        self, level: int, loop: int, buffer: str, index: Index, sizes: tuple[int, ...]
    ) -> bool:
        """Whether an element of a buffer is stored earlier in the same turn of the same loop."""
        if loop >= len(self.drafts[level]) or self.drafts[level][loop].sizes != sizes:
            return False
        stored = [s for s in self.drafts[level][loop].statements if s.buffer == buffer]
        elsewhere = [s for d in self.drafts[level] for s in d.statements if s.buffer == buffer]
        return (
            len(stored) == len(elsewhere) == 1
            and stored[0].kind == "store"
            and stored[0].index == index
        )

    def write_states_directly(self) -> None:
        """Store next states where the states lie, if nothing reads the old ones afterwards."""
        for state, target in list(self.commits):
            position = self.memory.done[target]
            draft = self.drafts[position[0]][position[1]]
            (store,) = [s for s in draft.statements if s.buffer == target]
            if self._is_read_after(state, store.index, position):
                continue
            number = draft.statements.index(store)
            draft.statements[number] = replace(store, buffer=state)
            self.commits.remove((state, target))
            del self.memory.buffers[target], self.memory.done[target]

    def _is_read_after(self, state: str, stored: Index, position: Position) -> bool:
        """Whether an element of a state is read when it may have been stored at a position."""
        level, _ = position
        for number, products in enumerate(self.products):
            if number >= level and any(product.left == state for product in products):
                return True
        for number, drafts in enumerate(self.drafts):
            for other, draft in enumerate(drafts):
                indices = {i for s in draft.statements for name, i in s.reads if name == state}
                here = (number, other) == position
                if indices and (number, other) > position:
                    return True
                if here and (indices - {stored} or draft.num_reduced):
                    return True
        return False
