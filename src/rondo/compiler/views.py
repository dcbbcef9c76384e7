"""Where an element of a view lies in the value that is viewed.

In go a node that only rearranges (a transposition, a slice, an expansion) and a place in its
result, out comes the place in its argument. A place has one index for each dimension: the row of
the batch, or a sum of loop variables with coefficients. So views cost a kernel nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from rondo.compiler.graph import Node, Rows, Shape

aten = torch.ops.aten


@dataclass(frozen=True)
class Index:
    """A place along a dimension: the sum of coefficient times loop variable, and an offset."""

    coefficients: tuple[int, ...] = ()
    offset: int = 0

    def moved(self, offset: int, step: int = 1) -> Index:
        """Offset + step times this index."""
        return Index(tuple(step * c for c in self.coefficients), offset + step * self.offset)

    def plus(self, other: Index) -> Index:
        """The sum of two indices."""
        size = max(len(self.coefficients), len(other.coefficients))
        padded = [
            index.coefficients + (0,) * (size - len(index.coefficients)) for index in (self, other)
        ]
        total = tuple(a + b for a, b in zip(*padded, strict=True))
        while total and total[-1] == 0:
            total = total[:-1]
        return Index(total, self.offset + other.offset)

    @property
    def written(self) -> str:
        """The index as C and Python write it, with loop variables j0, j1, ..."""
        terms = [
            f"j{number}" if coefficient == 1 else f"{coefficient} * j{number}"
            for number, coefficient in enumerate(self.coefficients)
            if coefficient
        ]
        return " + ".join([*terms, str(self.offset)] if self.offset or not terms else terms)


@dataclass(frozen=True)
class Row:
    """The index of the dimension of the rows: the row of the batch that is worked on."""


Place = tuple[Index | Row, ...]
ZERO, ROW = Index(), Row()


def variable(number: int) -> Index:
    """The index that is a loop variable."""
    return Index((0,) * number + (1,))


def row_dim(shape: Shape) -> int | None:
    """The dimension of the rows of the batch in a shape, or None."""
    return shape.index(Rows()) if Rows() in shape else None


def row_sizes(shape: Shape) -> tuple[int, ...]:
    """The sizes of one row: the shape without the dimension of the rows."""
    return tuple(size for size in shape if isinstance(size, int))


def broadcast(place: Place, shape: Shape) -> Place:
    """The place in an operand of this shape whose result is broadcast to `place`."""
    aligned = place[len(place) - len(shape) :]
    return tuple(ZERO if size == 1 else index for index, size in zip(aligned, shape, strict=True))


def linear(place: Place, sizes: tuple[int, ...]) -> Index:
    """The place of an element in memory in which a row lies contiguously."""
    indices = [index for index in place if isinstance(index, Index)]
    total, stride = ZERO, 1
    for index, size in zip(reversed(indices), reversed(sizes), strict=True):
        total = total.plus(index.moved(0, stride))
        stride *= size
    return total


def _same(node: Node, place: Place, shape: Shape) -> Place:
    return place


def _transposed(node: Node, place: Place, shape: Shape) -> Place:
    order = list(range(len(shape)))
    if node.packet is aten.permute:
        order = [dim % len(shape) for dim in node.args[1]]
    elif len(shape) > 1:
        first, second = (0, 1) if node.packet is aten.t else node.args[1:3]
        order[first], order[second] = order[second], order[first]
    return tuple(place[order.index(dim)] for dim in range(len(shape)))


def _sliced(node: Node, place: Place, shape: Shape) -> Place:
    dim, start, step = node.argument(1, 0), node.argument(2), node.argument(4, 1)
    dim %= len(shape)
    if shape[dim] == Rows():
        return place  # rows are never sliced, but a slice may name them all
    return _shifted(place, dim, _start(start, shape[dim]), step)


def _start(start: Any, size: Any) -> int:
    start = start or 0
    return min(start if start >= 0 else max(start + size, 0), size)


def _shifted(place: Place, dim: int, start: int, step: int = 1) -> Place:
    index = place[dim]
    assert isinstance(index, Index)
    return (*place[:dim], index.moved(start, step), *place[dim + 1 :])


def _selected(node: Node, place: Place, shape: Shape) -> Place:
    dim, index = node.args[1] % len(shape), node.args[2]
    size = shape[dim]
    assert isinstance(size, int)
    return (*place[:dim], Index((), index % size), *place[dim:])


def _unsqueezed(node: Node, place: Place, shape: Shape) -> Place:
    dim = node.args[1] % (len(shape) + 1)
    return (*place[:dim], *place[dim + 1 :])


def _squeezed(node: Node, place: Place, shape: Shape) -> Place:
    dims = node.argument(1, tuple(range(len(shape))))
    gone = {dim % len(shape) for dim in (dims if isinstance(dims, tuple) else (dims,))}
    left = iter(place)
    return tuple(
        ZERO if dim in gone and size == 1 else next(left) for dim, size in enumerate(shape)
    )


def _expanded(node: Node, place: Place, shape: Shape) -> Place:
    return broadcast(place, shape)


def _flipped(node: Node, place: Place, shape: Shape) -> Place:
    for given in node.args[1]:
        dim = given % len(shape)
        size = shape[dim]
        assert isinstance(size, int)
        place = _shifted(place, dim, size - 1, -1)
    return place


def _diagonal(node: Node, place: Place, shape: Shape) -> Place:
    offset, first, second = (node.argument(i + 1, default) for i, default in enumerate((0, 0, 1)))
    first, second = first % len(shape), second % len(shape)
    *others, along = place
    assert isinstance(along, Index)
    ends = {first: along.moved(max(0, -offset)), second: along.moved(max(0, offset))}
    left = iter(others)
    return tuple(ends[dim] if dim in ends else next(left) for dim in range(len(shape)))


def _windows(node: Node, place: Place, shape: Shape) -> Place:
    dim, _, step = node.args[1:]
    dim %= len(shape)
    *others, within = place
    index = others[dim]
    assert isinstance(index, Index)
    assert isinstance(within, Index)
    return (*others[:dim], index.moved(0, step).plus(within), *others[dim + 1 :])


VIEWS: dict[Any, Callable[[Node, Place, Shape], Place]] = {
    **dict.fromkeys([aten.clone, aten.detach, aten.alias, aten.lift_fresh], _same),
    **dict.fromkeys([aten.t, aten.transpose, aten.permute], _transposed),
    aten.slice: _sliced,
    aten.select: _selected,
    aten.unsqueeze: _unsqueezed,
    aten.squeeze: _squeezed,
    aten.expand: _expanded,
    aten.flip: _flipped,
    aten.diagonal: _diagonal,
    aten.unfold: _windows,
}
"""For a node, a place in its result and the shape of its argument: the place in the argument."""

RESHAPES = {aten.view, aten._unsafe_view, aten.reshape}
"""Views for which the argument must lie in memory."""


def part(whole: Node, number: int, place: Place, shape: Shape) -> Place:
    """The place in the argument of a `split` or `unbind` of an element of one of its results."""
    if whole.packet is aten.unbind:
        dim = whole.argument(1, 0) % len(shape)
        return (*place[:dim], Index((), number), *place[dim:])
    dim, sizes = whole.argument(2, 0) % len(shape), whole.args[1]
    start = number * sizes if isinstance(sizes, int) else sum(sizes[:number])
    return _shifted(place, dim, start)
