"""The folded picture: one step, with its loops."""

from __future__ import annotations

from rondo.drawing.columns import Columns
from rondo.drawing.curves import Box, Curve
from rondo.drawing.labels import Label, around
from rondo.drawing.picture import Arrow
from rondo.drawing.placed import Layout, Square
from rondo.drawing.ranks import Item
from rondo.drawing.sizes import DELAY_HALF, LOOP_WIDTH, SMALL_SIZE, mark_half


class Folded(Columns):
    """Lays out one step; a loop leads back through a black square, the delay."""

    def done(self) -> Layout:
        """Everything where it lies."""
        for item in self.rows.items.values():
            if item.mark is not None:
                self.add_mark(item, item.mark, 0, 0)
            elif item.delay:
                self._add_square(item, item.x, self.heights[item.row][0])
        for loop in self.rows.own_loops:
            self._add_own_loop(loop)
        for chain in self.rows.chains:
            points = self.passages(chain, 0)
            low, high = (self.boxes[id, 0] for id in (chain.items[0], chain.items[-1]))
            if chain.leads_down:
                self.add_curve(chain.arrow, self.down(points[::-1], high, low))
            else:
                self.add_curve(chain.arrow, self.up(points, low, high), chain.has_head)
        return self.layout

    def _add_square(self, item: Item, x: float, y: float) -> None:
        half = mark_half(item, None)
        box = Box(x, y, half, half, is_round=False)
        self.boxes[item.id, 0] = box
        self.layout.squares.append(Square(box, item.delay))
        self.layout.wishes.append(around(item.name, box, None))

    def _add_own_loop(self, loop: Arrow) -> None:
        node, side = self.boxes[loop.source, 0], self.rows.side_of(loop)
        out = LOOP_WIDTH * 0.62 if abs(loop.delay) == 1 else LOOP_WIDTH * 0.7
        x, y, low = node.x, node.y, node.half_height
        edge = node.half_width * (0.72 if node.is_round else 1.0)
        rise = 0.7 * low if node.is_round else 0.5 * low
        start, end = (x + side * edge, y - rise), (x + side * edge, y + rise)
        middle = (x + side * (node.half_width + out), y)
        lift, wide = low * 0.9, out * 0.9
        top = (start[0] + side * wide, start[1] - 0.55 * lift)
        bottom = (end[0] + side * wide, end[1] + 0.55 * lift)
        curve = Curve(
            (
                (start, top, (middle[0], middle[1] - 0.9 * low), middle),
                (middle, (middle[0], middle[1] + 0.9 * low), bottom, end),
            )
        )
        self.layout.edges.append((loop, curve, True))
        half = DELAY_HALF + (3 if abs(loop.delay) > 1 else 0)
        self.layout.squares.append(Square(Box(*middle, half, half, False), loop.delay))
        if loop.label:
            at = (middle[0] + side * (half + 4), middle[1] + 4)
            anchor = "start" if side > 0 else "end"
            self.layout.labels.append(Label(loop.label, at, anchor, SMALL_SIZE, loop.stage))
