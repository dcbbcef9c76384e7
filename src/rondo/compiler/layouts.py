"""Where the rows of the batch are in a value of a step, and what a rule about that is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rondo.compiler.cached import cached_property
from rondo.compiler.graph import Node, Ref, Rows, Shape, Value


@dataclass(frozen=True)
class Layout:
    """How a value is related to the rows of the batch."""


@dataclass(frozen=True)
class Shared(Layout):
    """No rows: the same for the whole batch, like a weight."""


@dataclass(frozen=True)
class Along(Layout):
    """The rows lie along one dimension, and each depends on its own row only."""

    dim: int


@dataclass(frozen=True)
class Summed(Layout):
    """A sum over the rows, like the gradient of a weight."""


@dataclass(frozen=True)
class Mixed(Layout):
    """The rows are mixed, or it is not known that they are not."""

    reason: str


@dataclass(frozen=True)
class OfOneStep(Mixed):
    """What a step makes of a sum over its rows in a way that steps cannot share.

    It is no property of a row, and mixes none: where it ends as a sum, every step adds its own.
    """


SHARED, SUMMED = Shared(), Summed()


@dataclass(frozen=True)
class Operands:
    """What a rule sees: the node, the values and their layouts by name, and which are zero."""

    node: Node
    values: Mapping[str, Value | Node]
    layouts: Mapping[str, Layout]
    zeros: frozenset[str] = frozenset()

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """All arguments of the operation by name, its defaults for those that were left out."""
        given = dict(self.node.kwargs)
        names = self.node.op._schema.arguments  # type: ignore[attr-defined]
        return {
            argument.name: self.node.args[index]
            if index < len(self.node.args)
            else given.get(argument.name, argument.default_value)
            for index, argument in enumerate(names)
        }

    def argument(self, name: str) -> Any:
        """An argument by its name, or None where the operation has none of this name."""
        return self.arguments.get(name)

    def layout(self, argument: Any) -> Layout:
        """The layout of an argument; a plain number is shared."""
        return self.layouts[argument.name] if isinstance(argument, Ref) else SHARED

    def shape(self, argument: Any) -> Shape:
        """The shape of an argument; a plain number has none."""
        return (self.values[argument.name].shape or ()) if isinstance(argument, Ref) else ()

    def dtype(self, argument: Ref) -> torch.dtype | None:
        """The type of the elements of an argument."""
        return self.values[argument.name].dtype

    def has_rows(self, argument: Any) -> bool:
        """Whether an argument has the rows of the batch."""
        return isinstance(self.layout(argument), Along)

    def row_dim(self, name: str) -> int | None:
        """The dimension of an argument along which the rows lie, or None."""
        layout = self.layout(self.argument(name))
        return layout.dim if isinstance(layout, Along) else None

    def is_zero(self, name: str) -> bool:
        """Whether an argument is zero whatever comes in."""
        argument = self.argument(name)
        return isinstance(argument, Ref) and argument.name in self.zeros

    def rows_lie(self) -> Iterator[tuple[int, int]]:
        """For each value that has rows: along which dimension, of how many."""
        for name in self.node.reads:
            layout = self.layouts[name]
            if isinstance(layout, Along):
                yield layout.dim, len(self.values[name].shape or ())

    def mixed(self, reason: str) -> Mixed:
        """The verdict that this node mixes rows, and why."""
        return Mixed(f"{self.node.op_name} {reason}")


def row_dims(shape: Shape | None) -> list[int]:
    """The dimensions whose size follows the number of rows."""
    return [dim for dim, size in enumerate(shape or ()) if isinstance(size, Rows)]
