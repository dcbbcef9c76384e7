"""What folded and unrolled pictures have in common: nodes in rows, and edges between them."""

from __future__ import annotations

from rondo.drawing.curves import Box, Curve, Piece, Point, bend, straight
from rondo.drawing.labels import along, around
from rondo.drawing.picture import Arrow, Mark, Picture
from rondo.drawing.placed import Layout
from rondo.drawing.ranks import Chain, Item, Rows
from rondo.drawing.sizes import is_layer, mark_box


class Columns:
    """Puts nodes and edges where rows and order say, in columns of the same step."""

    def __init__(self, picture: Picture, rows: Rows, heights: list[tuple[float, float]]) -> None:
        self.picture, self.rows, self.heights = picture, rows, heights
        self.layout = Layout()
        self.boxes: dict[tuple[str, int], Box] = {}

    def add_mark(self, item: Item, mark: Mark, column: int, shift: float) -> None:
        """Add a node, in the row of its item."""
        box = mark_box(mark, item.x + shift, self.heights[item.row][0])
        self.boxes[item.id, column] = box
        self.layout.nodes.append((mark, box))
        if mark.caption and not is_layer(mark):
            self.layout.wishes.append(around(mark.caption, box, mark.stage))

    def add_curve(self, arrow: Arrow, curve: Curve, has_head: bool = True) -> None:
        """Add an edge, and wish for a place for its name."""
        self.layout.edges.append((arrow, curve, has_head))
        if arrow.label:
            self.layout.wishes.append(along(arrow.label, curve, arrow.stage))

    def up(self, points: list[Point], start: Box, end: Box) -> Curve:
        """A curve upward from a node through the points of its passages to another node."""
        pieces: list[Piece] = []
        first, last = (points[0], points[-1]) if points else ((end.x, end.y), (start.x, start.y))
        here, way = start.border(first, upward=True)
        if start.fork == "beside":
            here, way = (start.x, start.y), (1.0, 0.0)
        elif start.fork == "through":
            here, way = self._edge_of_row(start, -1), (0.0, -1.0)
            pieces.append(straight((start.x, start.y), here))
        here, way = self._pass(pieces, here, way, points, -1)
        if end.fork == "through":
            goal = self._edge_of_row(end, 1)
            pieces += [bend(here, way, goal, (0, -1)), straight(goal, (end.x, end.y))]
        else:
            goal, outward = end.border(last, upward=False)
            pieces.append(bend(here, way, goal, (-outward[0], -outward[1])))
        return Curve(tuple(pieces))

    def down(self, points: list[Point], start: Box, end: Box) -> Curve:
        """A curve downward from a node to the delay mark that carries its value."""
        pieces: list[Piece] = []
        first, last = (points[0], points[-1]) if points else ((end.x, end.y), (start.x, start.y))
        here, way = self._leave(start, first)
        here, way = self._pass(pieces, here, way, points, 1)
        goal, outward = end.border(last, upward=True)
        if end.fork:
            goal, outward = (end.x, end.y), (-1.0, 0.0)
        pieces.append(bend(here, way, goal, (-outward[0], -outward[1])))
        return Curve(tuple(pieces))

    def _pass(
        self, pieces: list[Piece], here: Point, way: Point, points: list[Point], sign: int
    ) -> tuple[Point, Point]:
        """Go upright through rows, upward (-1) or downward (1); where that leads."""
        for x, y in points:
            middle, half = self._row_at(y)
            entry, leaving = (x, middle - sign * half), (x, middle + sign * half)
            pieces += [bend(here, way, entry, (0, sign)), straight(entry, leaving)]
            here, way = leaving, (0.0, float(sign))
        return here, way

    def _leave(self, start: Box, toward: Point) -> tuple[Point, Point]:
        """From the side of a node where nothing stands in the way, else from below it."""
        reach = toward[0] - start.x
        side = 1.0 if reach > 0 else -1.0
        way_out = Box((start.x + toward[0]) / 2, start.y, abs(reach) / 2, 6)
        others = [box for box in self.layout.boxes if box is not start]
        if abs(reach) > start.half_width + 12 and not any(map(way_out.overlaps, others)):
            return (start.x + side * start.half_width, start.y), (side, 0.0)
        return start.border(toward, upward=False)

    def _edge_of_row(self, box: Box, sign: int) -> Point:
        middle, half = self._row_at(box.y)
        return box.x, middle + sign * half

    def _row_at(self, y: float) -> tuple[float, float]:
        return min(self.heights, key=lambda height: abs(height[0] - y))

    def passages(self, chain: Chain, shift: float) -> list[Point]:
        """Where an edge passes through rows, from the lowest to the highest."""
        items = [self.rows.items[id] for id in chain.items[1:-1]]
        return [(item.x + shift, self.heights[item.row][0]) for item in items]
