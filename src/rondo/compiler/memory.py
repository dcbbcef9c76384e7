"""Where the values of a kernel lie, and what an element of one is computed from.

A value lies in a buffer, or it is computed where it is read: then an element of it leads back,
through views and arithmetic, to elements of buffers. What the kernel is given (weights, inputs,
states) lies in memory from the start; what it must keep gets a buffer while it is written down.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import torch

from rondo.compiler.graph import Node, Rows, Value, is_getitem
from rondo.compiler.kernel import Buffer, NotCoveredError, short
from rondo.compiler.record import fresh_name
from rondo.compiler.region import CONSTANTS, JOINS, PRODUCTS, REDUCTIONS, SPLITS
from rondo.compiler.views import (
    RESHAPES,
    ROW,
    VIEWS,
    ZERO,
    Index,
    Place,
    Row,
    broadcast,
    linear,
    part,
    row_dim,
    row_sizes,
    variable,
)

aten = torch.ops.aten

IN_MEMORY = {*RESHAPES, *PRODUCTS, *REDUCTIONS, *JOINS}
"""Operations whose results, or what is viewed, must lie in memory to be read."""

Position = tuple[int, int]
"""A level and a loop in it; loop -1 stands for the products of the level before."""

BEFORE: Position = (-1, -1)
"""What is complete there was so before the stage."""


def stored_dtype(state: tuple[Value, ...], computed: Collection[torch.dtype]) -> torch.dtype:
    """The type of the numbers that a loop carries on, one of those that are computed."""
    if not state:
        raise NotCoveredError("there is no state")
    for value in state:
        if value.dtype in computed:
            return value.dtype
    raise NotCoveredError(
        f"the state {state[0].name} is {short(state[0].dtype)}, which no kernel is made for"
    )


class Memory:
    """The values of a kernel in the making.

    Args:
        values: Everything that is read or given, by name.
        state: The states of the step.
        given: The names of what is there before the kernel runs.
        previous: Those of them that are states which steps begin with.
        stored: The type of the numbers in what is given and what is given out.
        dtype: The type in which numbers are computed.
    """

    def __init__(
        self,
        values: dict[str, Value | Node],
        state: tuple[Value, ...],
        given: Collection[str],
        previous: Collection[str],
        stored: torch.dtype,
        dtype: torch.dtype,
    ) -> None:
        self.nodes: dict[str, Node] = {}  # those of the stage that is being written down
        self.values = values
        self.given = given
        self.previous = previous
        self.state = state
        self.stored = stored
        self.dtype = dtype
        self.buffers: dict[str, Buffer] = {}
        self.done: dict[str, Position] = {}  # where a buffer that the kernel writes is complete

    def begin(self, nodes: dict[str, Node]) -> None:
        """Begin a stage: what lies in memory now was complete before it."""
        self.nodes = nodes
        self.done = dict.fromkeys(self.done, BEFORE)

    def fresh(self, name: str) -> str:
        """The name, or one like it that no value and no buffer has."""
        return fresh_name(name, {*self.values, *self.buffers})

    def whole(self, name: str) -> Place:
        """The place that runs over all of a value, one loop variable for each dimension."""
        shape = self.values[name].shape or ()
        place: list[Index | Row] = []
        number = 0
        for size in shape:
            if isinstance(size, Rows):
                place.append(ROW)
            else:
                place.append(variable(number))
                number += 1
        return tuple(place)

    def new_buffer(self, name: str, place: str, like: str | None = None) -> Buffer:
        """Give a value memory; `like` names a value of the same kind where it has none itself."""
        value = self.values[like or name]
        if value.shape is None or value.dtype is None:
            raise NotCoveredError(
                "an operation with several results, which no kernel does", like or name
            )
        dtype = self.covered_dtype(like or name, value.dtype)
        carried = {"previous", *(state.name for state in self.state)}  # truth values as 0 and 1
        if not carried.isdisjoint((place, like or name)) or (
            dtype == self.stored and place in ("local", "chunk")
        ):
            dtype = self.dtype
        buffer = Buffer(name, place, row_sizes(value.shape), dtype)
        self.buffers[name] = buffer
        return buffer

    def covered_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """The type in which the kernel computes with a value and keeps it.

        Whole numbers are numbers like others. So are those of another precision that are given, or
        chosen among given ones: they are exact in the wider type, and in a narrower one torch
        rounds them in the same way.
        """
        if dtype in (self.stored, self.dtype, torch.bool):
            return dtype
        node = self.values.get(name)
        chooses = isinstance(node, Node) and node.packet in {aten.where, *VIEWS}
        is_number = dtype.is_floating_point and (name in self.given or chooses)
        if not is_number and (dtype.is_floating_point or dtype.is_complex):
            what = f"{node.op_name} gives" if isinstance(node, Node) else f"{name} is"
            raise NotCoveredError(f"{what} {short(dtype)} in a step of {short(self.stored)}", name)
        return self.dtype

    def is_arithmetic(self, node: Node) -> bool:
        """Whether an element of a node's result is computed from elements at the same place."""
        views = {*VIEWS, *RESHAPES, *SPLITS, *PRODUCTS, *REDUCTIONS, *JOINS}
        return node.packet not in views and not is_getitem(node)

    def source(self, name: str) -> str | None:
        """The node behind the views of a value that would have to lie in memory."""
        node = self.nodes.get(name)
        while node is not None and not self.is_arithmetic(node):
            if node.packet in PRODUCTS or node.packet in REDUCTIONS or node.packet in JOINS:
                return None
            node = self.nodes.get(node.reads[0])
        return None if node is None else node.name

    def accesses(self, name: str, place: Place) -> set[tuple[str, Index]]:
        """The elements of buffers that a value is computed from."""
        found: set[tuple[str, Index]] = set()
        seen: set[tuple[str, Place]] = set()
        waiting = [(name, place)]
        while waiting:
            key = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            lying = self.lying(*key)
            if lying is not None:
                found.add(lying)
            else:
                waiting += self.operands(*key)
        return found

    def lying(self, name: str, place: Place) -> tuple[str, Index] | None:
        """The buffer and the index at which an element lies, or None where it is computed."""
        if name in self.buffers and (name not in self.nodes or name in self.done):
            return name, linear(place, self.buffers[name].sizes)
        node = self.nodes.get(name)
        if node is None:
            shape = self.values[name].shape or ()
            place_kind = "shared" if row_dim(shape) is None else "input"
            if name in self.previous and self.stored == self.dtype:
                place_kind = "previous"
            if name not in self.buffers:
                assert name in self.given, f"{name} does not lie in memory"
                self.new_buffer(name, place_kind)
            return name, linear(place, self.buffers[name].sizes)
        if node.packet in RESHAPES:
            return self._reshaped(node, place)
        return None

    def _reshaped(self, node: Node, place: Place) -> tuple[str, Index] | None:
        source = node.args[0].name
        shape = self.values[source].shape or ()
        inner = self._lying_view(source)
        sizes = row_sizes(node.shape or ())
        if inner is None or prod(sizes) != prod(row_sizes(shape)):
            raise NotCoveredError(
                f"{node.op_name} of numbers that do not lie one behind the other", node.name
            )
        buffer, offset = inner
        return buffer, linear(place, sizes).moved(offset)

    def lies_straight(self, name: str) -> bool:
        """Whether all of a value lies in memory, number after number."""
        return self._lying_view(name) is not None

    def _lying_view(self, name: str) -> tuple[str, int] | None:
        """The buffer in which a value lies contiguously, and the offset of its first element."""
        lying = self.resolve(name, self.whole(name))
        if lying is None:
            return None
        buffer, index = lying
        sizes = row_sizes(self.values[name].shape or ())
        straight = linear(tuple(variable(i) for i in range(len(sizes))), sizes)
        if index.moved(-index.offset).plus(ZERO) != straight and prod(sizes) > 1:
            return self._nearly_straight(index, sizes, buffer)
        return buffer, index.offset

    def _nearly_straight(
        self, index: Index, sizes: tuple[int, ...], buffer: str
    ) -> tuple[str, int] | None:
        """As `_lying_view`, where dimensions of size 1 have other strides."""
        stride = 1
        padded = index.coefficients + (0,) * (len(sizes) - len(index.coefficients))
        for coefficient, size in zip(reversed(padded), reversed(sizes), strict=True):
            if size > 1 and coefficient != stride:
                return None
            stride *= size
        return buffer, index.offset

    def resolve(self, name: str, place: Place) -> tuple[str, Index] | None:
        """As `_lying`, looking through views."""
        lying = self.lying(name, place)
        while lying is None:
            node = self.nodes[name]
            if self.is_arithmetic(node) or node.packet in {
                *PRODUCTS,
                *REDUCTIONS,
                *JOINS,
                *SPLITS,
            }:
                return None
            ((name, place),) = self.operands(name, place)
            lying = self.lying(name, place)
        return lying

    def operands(self, name: str, place: Place) -> list[tuple[str, Place]]:
        """The values that an element is computed from, each with the place of its element."""
        node = self.nodes[name]
        assert node.packet not in IN_MEMORY, f"{name} is read before it lies in memory"
        if is_getitem(node):
            whole = self.nodes[node.args[0].name]
            if whole.packet not in SPLITS:
                raise NotCoveredError(
                    f"{whole.op_name} is an operation that no kernel does", whole.name
                )
            source = whole.args[0].name
            shape = self.values[source].shape or ()
            return [(source, part(whole, node.args[1], place, shape))]
        if node.packet in VIEWS:
            source = node.args[0].name
            return [(source, VIEWS[node.packet](node, place, self.values[source].shape or ()))]
        if node.packet in CONSTANTS or node.packet is aten.arange:
            return []
        return [
            (operand, broadcast(place, self.values[operand].shape or ())) for operand in node.reads
        ]
