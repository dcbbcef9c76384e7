"""Where the rows of the batch are in a value of a step, and what a rule about that is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rondo.compiler.graph import Node, Ref, Shape


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


SHARED, SUMMED = Shared(), Summed()


@dataclass(frozen=True)
class Operands:
    """What a rule sees: the node, its inputs' layouts and shapes, and which values are zero."""

    node: Node
    layouts: dict[str, Any]
    shapes: dict[str, Shape | None]
    zeros: frozenset[str] = frozenset()

    def layout(self, argument: Any) -> Layout:
        """The layout of an argument; a plain number is shared."""
        if not isinstance(argument, Ref):
            return SHARED
        layout = self.layouts[argument.name]
        return layout if isinstance(layout, Layout) else Mixed("it has several results")

    def shape(self, argument: Any) -> Shape:
        """The shape of an argument; a plain number has none."""
        return (self.shapes[argument.name] or ()) if isinstance(argument, Ref) else ()

    def argument(self, index: int, default: Any = None) -> Any:
        """A positional argument, or its default where it was left out."""
        return self.node.argument(index, default)

    def mixed(self, reason: str) -> Mixed:
        """The verdict that this node mixes rows, and why."""
        return Mixed(f"{self.node.op_name} {reason}")
