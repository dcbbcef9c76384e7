"""What a layout holds: everything of a picture, where it lies."""

from __future__ import annotations

from dataclasses import dataclass, field

from rondo.drawing.curves import Box, Curve, Point
from rondo.drawing.labels import Label, Wish
from rondo.drawing.picture import Arrow, Mark


@dataclass(frozen=True)
class Square:
    """A delay mark: its box, the number of steps, and what it carries."""

    box: Box
    delay: int


@dataclass
class Layout:
    """A picture that is laid out.

    Args:
        nodes: Every node with its box.
        squares: The delay marks.
        edges: Every edge with its curve, and whether it ends in a head.
        labels: Texts beside nodes and edges.
        dots: Where an edge forks.
        wishes: Texts that have no place yet.
    """

    nodes: list[tuple[Mark, Box]] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)
    edges: list[tuple[Arrow, Curve, bool]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)

    @property
    def boxes(self) -> list[Box]:
        """The room of all nodes and delay marks."""
        return [box for _, box in self.nodes] + [square.box for square in self.squares]

    @property
    def area(self) -> float:
        """The size of the rectangle around all nodes and delay marks, in square pixels."""
        boxes = self.boxes
        if not boxes:
            return 0.0
        right = max(box.x + box.half_width for box in boxes)
        left = min(box.x - box.half_width for box in boxes)
        bottom = max(box.y + box.half_height for box in boxes)
        return (right - left) * (bottom - min(box.y - box.half_height for box in boxes))
