"""Where the names of edges are written: beside their edge, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rondo.drawing.curves import Box, Curve, Point
from rondo.drawing.sizes import SMALL_SIZE, text_width

if TYPE_CHECKING:
    from rondo.drawing.placed import Layout

SHARES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78)


@dataclass(frozen=True)
class Label:
    """A text, where it stands, and which of its ends stands there (start, middle, end)."""

    text: str
    at: Point
    anchor: str
    size: int = SMALL_SIZE
    stage: str | None = None

    @property
    def box(self) -> Box:
        """The room that the text takes."""
        half = text_width(self.text, self.size) / 2
        shift = {"start": half, "middle": 0.0, "end": -half}[self.anchor]
        return Box(self.at[0] + shift, self.at[1] - 0.32 * self.size, half, 0.5 * self.size)


def along(text: str, curve: Curve, stage: str | None) -> list[Label]:
    """Where the name of an edge could stand, the best places first."""
    found = []
    for a, b, c, d in curve.pieces:
        piece = Curve(((a, b, c, d),))
        for share in SHARES:
            x, y = piece.at(share)
            if abs(d[0] - a[0]) > 3 * abs(d[1] - a[1]):
                found.append(Label(text, (x, y - 6), "middle", stage=stage))
                found.append(Label(text, (x, y + 14), "middle", stage=stage))
            else:
                found.append(Label(text, (x + 6, y + 4), "start", stage=stage))
                found.append(Label(text, (x - 6, y + 4), "end", stage=stage))
    return found


def around(text: str, box: Box, stage: str | None) -> list[Label]:
    """Where a text about a node could stand, the best places first."""
    aside, above = 0.8 * box.half_width + 2, 0.72 * box.half_height + 1
    places = [
        (aside, -above, "start"),
        (-aside, -above, "end"),
        (aside, above + 8, "start"),
        (-aside, above + 8, "end"),
        (box.half_width + 4, 4, "start"),
        (-box.half_width - 4, 4, "end"),
        (0, -box.half_height - 4, "middle"),
    ]
    return [Label(text, (box.x + x, box.y + y), anchor, stage=stage) for x, y, anchor in places]


def place_labels(layout: Layout) -> Layout:
    """Find for every text the place where it hides least."""
    curves = [curve for _, curve, _ in layout.edges]
    for choices, own in layout.wishes:
        taken = layout.boxes + [label.box for label in layout.labels]
        best, least = choices[0], float("inf")
        for number, label in enumerate(choices):
            cost = 0.2 * number + _cost(label.box, taken, curves, own)
            if cost < least:
                best, least = label, cost
            if 0.2 * (number + 1) > least:
                break
        layout.labels.append(best)
    layout.wishes.clear()
    return layout


def _cost(box: Box, taken: list[Box], curves: list[Curve], own: Curve | None) -> float:
    cost = 1000.0 * sum(box.overlaps(other, 1) for other in taken)
    for curve in curves:
        if not box.overlaps(curve.bounds, 8):
            continue
        near = [(abs(x - box.x), abs(y - box.y)) for x, y in curve.points]
        hits = sum(x < box.half_width + 1 and y < box.half_height for x, y in near)
        cost += hits * (4 if curve is own else 10)
        if curve is not own:  # so that nobody takes it for the name of this one
            cost += sum(x < box.half_width + 7 and y < box.half_height for x, y in near)
    return cost
