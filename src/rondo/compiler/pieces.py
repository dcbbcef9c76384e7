"""Long loops in pieces: no compiler is given a loop of thousands of operations.

In goes a :class:`Kernel`, out comes one that computes the same numbers. A compiler takes about the
square of the length of a loop, and what finds no register it puts on the stack. So a long loop is
cut: what a piece computes and a later one reads passes between them in rows of memory. Loads are
done again by each piece that needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch

from rondo.compiler.graph import Ref
from rondo.compiler.kernel import Buffer, Compute, Kernel, Level, Load, Loop, Reduce, Store
from rondo.compiler.record import fresh_name
from rondo.compiler.region import COSTLY
from rondo.compiler.views import linear, variable

MAX_WORK = 256
"""What a loop computes at most in one piece, where arithmetic counts 1."""

COSTLY_WORK = 8
"""What a costly operation counts, which is some dozen lines of C."""

Item = Load | Compute | Store | Reduce


def work_of(loop: Loop) -> int:
    """What a loop does for an element: what it computes, loads and stores."""
    return sum(map(_work, loop.body))


def _work(item: Item) -> int:
    return COSTLY_WORK if isinstance(item, Compute) and item.node.packet in COSTLY else 1


def in_pieces(kernel: Kernel) -> Kernel:
    """The kernel with long loops cut into pieces; the kernel itself where there are none."""
    cutting = _Cutting(kernel)
    opening, levels, closing = map(cutting.levels, (kernel.opening, kernel.levels, kernel.closing))
    if len(cutting.buffers) == len(kernel.buffers):
        return kernel
    return replace(
        kernel, buffers=cutting.buffers, opening=opening, levels=levels, closing=closing
    ).check()


@dataclass
class _Piece:
    """A piece of a loop in the making, and the names that it has at hand."""

    body: list[Item] = field(default_factory=list)
    at_hand: set[str] = field(default_factory=set)

    def add(self, item: Item) -> None:
        self.body.append(item)
        if isinstance(item, Load | Compute):
            self.at_hand.add(item.name)


class _Cutting:
    """Cuts the loops of a kernel; `buffers` are those of the kernel and those in between."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.buffers = dict(kernel.buffers)
        self.taken = set(kernel.buffers)  # names

    def levels(self, levels: Iterable[Level]) -> tuple[Level, ...]:
        return tuple(
            replace(level, loops=tuple(piece for loop in level.loops for piece in self.cut(loop)))
            for level in levels
        )

    def cut(self, loop: Loop) -> list[Loop]:
        """A loop, or the pieces of it."""
        groups = _groups(loop)
        if len(groups) == 1:
            return [loop]
        index = linear(tuple(map(variable, range(len(loop.sizes)))), loop.sizes)
        given = {
            item.name: item
            for item in loop.body
            if isinstance(item, Load | Compute) and _is_given(item)
        }
        pieces: list[_Piece] = []
        passing: dict[str, tuple[str, _Piece]] = {}  # the buffer of a value, and who makes it
        makers: dict[str, tuple[Compute, _Piece]] = {}
        for group in groups:
            piece = _Piece()
            for item in group:
                for name in _reads(item):
                    if name in piece.at_hand:
                        continue
                    if name in given:
                        piece.add(given[name])
                        continue
                    made, maker = makers[name]
                    if name not in passing:
                        passing[name] = self._buffer(made, loop), maker
                    buffer = passing[name][0]
                    piece.add(Load(name, buffer, index, self.buffers[buffer].dtype))
                piece.add(item)
                if isinstance(item, Compute):
                    makers[item.name] = item, piece
            pieces.append(piece)
        for name, (buffer, maker) in passing.items():
            maker.add(Store(buffer, index, name))
        return [_loop_of(loop, piece.body) for piece in pieces]

    def _buffer(self, made: Compute, loop: Loop) -> str:
        """Memory for a value that passes from piece to piece."""
        name = fresh_name(f"passed_{made.node.name}", self.taken)
        dtype = torch.bool if made.dtype == torch.bool else self.kernel.dtype
        self.buffers[name] = Buffer(name, "row", loop.sizes, dtype)
        return name


def _groups(loop: Loop) -> list[list[Item]]:
    """What is computed and stored, cut where it is too much for one piece.

    What a loop both reads and stores, the state, is stored by the last piece: until then, it is
    what it was.
    """
    read = {item.buffer for item in loop.body if isinstance(item, Load)}
    groups: list[list[Item]] = [[]]
    last: list[Item] = []
    work = 0
    for item in loop.body:
        if _is_given(item):
            continue
        if isinstance(item, Store) and item.buffer in read:
            last.append(item)
            continue
        if isinstance(item, Compute):
            work += _work(item)
            if work > MAX_WORK:
                groups.append([])
                work = _work(item)
        groups[-1].append(item)
    groups[-1] += last
    return groups


def _is_given(item: Item) -> bool:
    """Whether any piece can have a value for itself: it is loaded, or depends on nothing."""
    return isinstance(item, Load) or (isinstance(item, Compute) and not _reads(item))


def _reads(item: Item) -> list[str]:
    """The names of the values that an item needs."""
    if isinstance(item, Compute):
        return [argument.name for argument in item.args if isinstance(argument, Ref)]
    return [item.value] if isinstance(item, Store | Reduce) else []


def _loop_of(whole: Loop, body: list[Item]) -> Loop:
    reduces = any(isinstance(item, Reduce) for item in body)
    return replace(whole, num_reduced=whole.num_reduced if reduces else 0, body=tuple(body))
