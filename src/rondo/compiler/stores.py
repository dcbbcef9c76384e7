"""How values are written into memory: as they are, joined, one over another, or summed.

In go a node and the place for its result, out come the statements of loops that write it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rondo.compiler.graph import Node, Rows
from rondo.compiler.kernel import Buffer, NotCoveredError
from rondo.compiler.memory import Memory
from rondo.compiler.region import REDUCTIONS
from rondo.compiler.schedule import Schedule, Statement
from rondo.compiler.views import ROW, Index, linear, row_sizes, variable

aten = torch.ops.aten


@dataclass(frozen=True)
class Stores:
    """Writes values into memory, in one stage of a kernel.

    Args:
        memory: Where they lie.
        schedule: The loops of the stage.
        local: The place of values that the stage keeps for itself.
    """

    memory: Memory
    schedule: Schedule
    local: str

    def keep(self, node: Node, place: str) -> None:
        """Write a node's result into memory of its own."""
        buffer = self.memory.new_buffer(node.name, place)
        if node.packet in REDUCTIONS:
            self._reduce(node, buffer)
        elif node.packet is aten.cat:
            self._join(node, buffer)
        elif node.packet is aten.slice_scatter:
            self._scatter(node, buffer)
        else:
            self.store(buffer.name, node.name)

    def keep_as_it_is(self, name: str) -> None:
        """Write what is rearranged, or does not lie in memory, into memory of its own."""
        self.memory.new_buffer(name, self.local)
        self.store(name, name)

    def store(
        self, buffer: str, value: str, dim: int | None = None, start: int = 0, step: int = 1
    ) -> None:
        """Store all of a value; along `dim` its elements lie from `start` on, `step` apart."""
        place = self.memory.whole(value)
        target = tuple(
            index.moved(start, step) if number == dim and isinstance(index, Index) else index
            for number, index in enumerate(place)
        )
        index = linear(target, self.memory.buffers[buffer].sizes)
        sizes = row_sizes(self.memory.values[value].shape or ())
        self.schedule.place(Statement(buffer, index, value, place), sizes, 0)

    def _join(self, node: Node, buffer: Buffer) -> None:
        shape = node.shape or ()
        dim = node.argument(1, 0) % len(shape)
        start = 0
        for piece in node.args[0]:
            size = (self.memory.values[piece.name].shape or ())[dim]
            assert isinstance(size, int)
            self.store(buffer.name, piece.name, dim, start)
            start += size

    def _scatter(self, node: Node, buffer: Buffer) -> None:
        """`slice_scatter(x, part, dim, start, end, step)`: x, and over it the part."""
        x, piece = node.args[:2]
        shape = node.shape or ()
        dim = node.argument(2, 0) % len(shape)
        size = shape[dim]
        if not isinstance(size, int):
            raise NotCoveredError(
                "some rows of the batch are changed apart from the others", node.name
            )
        start = node.argument(3) or 0
        start = max(start + size, 0) if start < 0 else min(start, size)
        self.store(buffer.name, x.name)
        self.store(buffer.name, piece.name, dim, start, node.argument(5, 1))

    def _reduce(self, node: Node, buffer: Buffer) -> None:
        source = node.args[0].name
        shape = self.memory.values[source].shape or ()
        given = node.argument(1)
        given = (given,) if isinstance(given, int) else given
        dims = {dim % len(shape) for dim in (given or range(len(shape)))}
        order = [d for d, size in enumerate(shape) if isinstance(size, int) and d not in dims]
        num_kept = len(order)
        order += sorted(dims)
        place = tuple(
            ROW if isinstance(size, Rows) else variable(order.index(dim))
            for dim, size in enumerate(shape)
        )
        sizes = tuple(size for dim in order if isinstance(size := shape[dim], int))
        target = linear(tuple(variable(number) for number in range(num_kept)), sizes[:num_kept])
        statement = Statement(buffer.name, target, source, place, REDUCTIONS[node.packet])
        self.schedule.place(statement, sizes, len(dims))
