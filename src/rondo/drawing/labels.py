"""Where the names of edges are written: beside their edge, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rondo.drawing.curves import Box, Curve, Point
from rondo.drawing.sizes import SMALL_SIZE, text_width

if TYPE_CHECKING:
    from rondo.drawing.placed import Layout

SHARES = tuple(0.5 + side * 0.05 * step for step in range(9) for side in (1, -1)[: 1 + (step > 0)])
"""Where along an edge its name may stand, the middle first."""
GAP = 4.0  # between a text and its edge
NEAR = 4.0  # how near the name of another edge may stand
NUM_PASSES = 3  # of choosing places anew, now that the others are known
HIDES_TEXT, HIDES_EDGE, HIDES_OWN, MISTAKEN = 1000.0, 10.0, 4.0, 8.0
"""What it costs to hide a node or a text; a few pixels of an edge; of the own edge; and to stand so
near to another edge that the text could be taken for its name."""


@dataclass(frozen=True)
class Label:
    """A text, where it stands, and which of its ends stands there (start, middle, end)."""

    text: str
    at: Point
    anchor: str
    size: int = SMALL_SIZE
    stage: str | None = None

    @cached_property
    def box(self) -> Box:
        """The room that the text takes."""
        half = text_width(self.text, self.size) / 2
        shift = {"start": half, "middle": 0.0, "end": -half}[self.anchor]
        return Box(self.at[0] + shift, self.at[1] - 0.32 * self.size, half, 0.5 * self.size)


@dataclass(frozen=True)
class Wish:
    """A text that wants a place: where it could stand, the best places first, and its own edge."""

    choices: list[Label]
    curve: Curve | None = None

    @cached_property
    def room(self) -> Box:
        """What holds all places where it could stand."""
        boxes = [label.box for label in self.choices]
        left, right = _ends([(box.x, box.half_width) for box in boxes])
        top, bottom = _ends([(box.y, box.half_height) for box in boxes])
        return Box((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2)


def _ends(spans: list[tuple[float, float]]) -> tuple[float, float]:
    """Where spans, given by middle and half, begin and end."""
    return min(middle - half for middle, half in spans), max(m + half for m, half in spans)


def along(text: str, curve: Curve, stage: str | None) -> Wish:
    """Where the name of an edge could stand: at both sides, one corner near the edge."""
    found = []
    half_width, half_height = text_width(text) / 2, SMALL_SIZE / 2
    for piece in range(len(curve.pieces)):
        for share in SHARES:
            (x, y), (u, v) = curve.at(share, piece), curve.way(share, piece)
            reach = half_width * abs(v) + half_height * abs(u) + GAP
            for side in (1.0, -1.0) if v <= 0 else (-1.0, 1.0):  # at the right first
                middle = (x - side * reach * v, y + side * reach * u + 0.32 * SMALL_SIZE)
                found.append(Label(text, middle, "middle", stage=stage))
    return Wish(found, curve)


def around(text: str, box: Box, stage: str | None) -> Wish:
    """Where a text about a node could stand."""
    aside, above = box.half_width + 4, box.half_height + 4
    places = [
        (aside, 4, "start"),
        (-aside, 4, "end"),
        (0, -above, "middle"),
        (0.5 * aside, -above, "start"),
        (-0.5 * aside, -above, "end"),
        (0, above + 8, "middle"),
        (0.5 * aside, above + 8, "start"),
        (-0.5 * aside, above + 8, "end"),
    ]
    return Wish(
        [Label(text, (box.x + x, box.y + y), anchor, stage=stage) for x, y, anchor in places]
    )


def place_labels(layout: Layout) -> list[tuple[Label, float]]:
    """Find for every text the place where it hides least; return those that hide something."""
    curves = [curve for _, curve, _ in layout.edges]
    wishes, fixed = layout.wishes, layout.boxes + [label.box for label in layout.labels]
    placed: list[tuple[Label, float] | None] = [None] * len(wishes)
    for _ in range(NUM_PASSES):
        for number, wish in enumerate(wishes):
            now = placed[number]
            if now and not now[1]:
                continue
            others = [other[0].box for other in placed if other and other is not now]
            placed[number] = _best(wish, fixed + others, curves)
    found = [label for label in placed if label]
    layout.labels += [label for label, _ in found]
    layout.wishes = []
    return [(label, cost) for label, cost in found if cost]


def _best(wish: Wish, taken: list[Box], curves: list[Curve]) -> tuple[Label, float]:
    """The place that hides least, of two such the better one; and what it hides."""
    taken = [box for box in taken if box.overlaps(wish.room, NEAR)]
    curves = [curve for curve in curves if curve.bounds.overlaps(wish.room, NEAR)]
    best, least, hidden = wish.choices[0], float("inf"), float("inf")
    for number, label in enumerate(wish.choices):
        preference = 0.1 * number
        if preference > least:
            break
        cost = _cost(label.box, taken, curves, wish.curve, least - preference)
        if cost + preference < least:
            best, least, hidden = label, cost + preference, cost
    return best, hidden


def _cost(box: Box, taken: list[Box], curves: list[Curve], own: Curve | None, most: float) -> float:
    """What a text would hide; only so much of it as decides whether it is below `most`."""
    cost = HIDES_TEXT * sum(box.overlaps(other, 1) for other in taken)
    for curve in curves:
        if cost >= most:
            break
        if not box.overlaps(curve.bounds, NEAR):
            continue
        if own is None or curve is own:
            cost += HIDES_OWN * curve.num_inside(box, 1)
        elif num_hidden := curve.num_inside(box, 1):
            cost += HIDES_EDGE * num_hidden
        elif curve.num_inside(box, NEAR):
            cost += MISTAKEN
    return cost
