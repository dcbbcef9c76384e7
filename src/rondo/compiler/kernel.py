"""What a kernel does in one time step, row by row: loops over elements and products of rows.

These are the values between `lower.py`, which makes them from a plan, and a renderer, which writes
them down in some language. They name memory, not operations of a cell: a buffer holds a value for
some rows, an index says where in a row an element lies.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from rondo.compiler.graph import Node
from rondo.compiler.views import Index


class NotCoveredError(Exception):
    """A plan that cannot become a kernel, and why.

    Args:
        reason: Why, in words that say nothing about graphs.
        value: The name of the value of which that is so; None: the reason names the operation.
    """

    def __init__(self, reason: str, value: str | None = None) -> None:
        super().__init__(reason)
        self.value = value


def short(dtype: torch.dtype | None) -> str:
    """A type as one says it: "float32"."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Target:
    """What a renderer can write down.

    Args:
        elementwise: The elementwise operations that it can spell.
        computed: For each type that the values of a loop may have, the type they are computed in.
        around: Whether it writes what is done for some steps together before and after them.
        in_place: Whether the next state may be written where the state lies.
        exact_factors: Whether a product in half precision reads its rows as they were computed;
            otherwise it may read what was stored of them.
    """

    elementwise: Collection[Any]
    computed: Mapping[torch.dtype, torch.dtype]
    around: bool = True
    in_place: bool = True
    exact_factors: bool = True


@dataclass(frozen=True)
class Buffer:
    """Memory for one value; `sizes` are those of the whole where it has no rows.

    Args:
        name: The value that lies there.
        place: "shared" (the same for all rows), "input" (given, packed rows of all steps),
            "previous" (the state that each row begins with: given as the states that steps end
            with), "state" (B rows, kept from step to step), "output" (packed rows of all steps),
            "chunk" (the rows of some steps), "local" (the rows of a step), "row" (one row) or
            "total" (no rows: a sum over those of all steps).
        sizes: The sizes of one row.
        dtype: The type of its numbers.
    """

    name: str
    place: str
    sizes: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Numbers in a row."""
        return prod(self.sizes)


@dataclass(frozen=True)
class Load:
    """`name` = an element of a buffer; whether it is 0, for a truth value."""

    name: str
    buffer: str
    index: Index
    dtype: torch.dtype


@dataclass(frozen=True)
class Compute:
    """`name` = an operation on numbers, which are names of values or plain numbers."""

    name: str
    node: Node
    args: tuple[Any, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Store:
    """An element of a buffer = `value`."""

    buffer: str
    index: Index
    value: str


@dataclass(frozen=True)
class Reduce:
    """An element of a buffer = the sum, product or extreme of `value` over the inner loops."""

    buffer: str
    index: Index
    value: str
    kind: str


@dataclass(frozen=True)
class Loop:
    """Nested loops over the elements of a row, the last `num_reduced` of which reduce."""

    sizes: tuple[int, ...]
    num_reduced: int
    body: tuple[Load | Compute | Store | Reduce, ...]

    @property
    def stores_last(self) -> list[Load | Compute | Store | Reduce]:
        """The body, what it stores at its end: nothing is read after it was replaced."""
        first = [item for item in self.body if not isinstance(item, Store)]
        return [*first, *(item for item in self.body if isinstance(item, Store))]


@dataclass(frozen=True)
class Product:
    """Rows of `result` = rows of `left` times a matrix.

    Args:
        result, result_offset: Where the first number of a row goes.
        left, left_offset: Where the first number of a row comes from.
        matrix: The number of the matrix.
    """

    result: str
    result_offset: int
    left: str
    left_offset: int
    matrix: int

    @property
    def reads(self) -> set[str]:
        """The buffers that it reads."""
        return {self.left}

    @property
    def writes(self) -> set[str]:
        """The buffers that it writes."""
        return {self.result}


@dataclass(frozen=True)
class Sum:
    """`total` = the sum over all rows of `left` transposed times `right`, or of `right` alone.

    Args:
        total: The buffer of the sum (height, width).
        left, left_offset: The rows of the left factor and where they begin; None: it is 1.
        right, right_offset: The rows of the right factor and where they begin.
    """

    total: str
    left: str | None
    left_offset: int
    right: str
    right_offset: int


@dataclass(frozen=True)
class Matrix:
    """A matrix of `depth` rows and `width` columns within a shared tensor.

    Args:
        tensor: The tensor's name.
        batch: Which matrix of a tensor of several, or None.
        transposed: Whether the tensor holds it transposed.
    """

    tensor: str
    depth: int
    width: int
    batch: int | None = None
    transposed: bool = False


@dataclass(frozen=True)
class Level:
    """Loops over each row, then products of all rows."""

    loops: tuple[Loop, ...]
    products: tuple[Product, ...]


@dataclass(frozen=True)
class Kernel:
    """What runs in one step of a loop, and what is left to run before and after all steps.

    Args:
        dtype: The type in which numbers are computed.
        stored: The type in which numbers lie in what is given to the kernel and what it gives,
            but for the states; bfloat16 for a kernel that computes in float32, else the same.
        buffers: All memory by name; the state's buffers come in the order of the states.
        matrices: The matrices of the products.
        opening: What happens to the rows of some steps before these steps, in order.
        levels: What happens to the rows in a step, in order.
        closing: What happens to the rows of some steps after these steps, in order.
        sums: What is summed over the rows of all steps.
        commits: Pairs of a state's buffer and a local one that it is set to after the step.
        before, after: What is left to torch around the kernel.
        totals: What is left to torch once all sums are there.
        outputs: The values that are kept of all steps, with the name of their buffer.
        reason: Why a whole stage around the loop is left to torch, or None.
    """

    dtype: torch.dtype
    stored: torch.dtype
    buffers: dict[str, Buffer]
    matrices: tuple[Matrix, ...]
    opening: tuple[Level, ...]
    levels: tuple[Level, ...]
    closing: tuple[Level, ...]
    sums: tuple[Sum, ...]
    commits: tuple[tuple[str, str], ...]
    before: tuple[Node, ...]
    after: tuple[Node, ...]
    totals: tuple[Node, ...]
    outputs: dict[str, str]
    reason: str | None = None

    def at(self, place: str) -> tuple[Buffer, ...]:
        """The buffers of one kind, in order."""
        return tuple(buffer for buffer in self.buffers.values() if buffer.place == place)

    def check(self) -> Kernel:
        """Return the kernel itself; fail where it reads what it has not written."""
        from rondo.compiler.written import check_order

        check_order(self)
        return self
