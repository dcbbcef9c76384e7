"""Where everything lies: from a picture to boxes, curves and texts.

Within a step data runs upward, from the inputs in the lowest row to the outputs in the highest.
Folded, a loop leads back through a black square, the delay. Unrolled, the step is laid out once
and repeated to the right, and the delayed edges lead from one column to the next; they bend
between the rows only, so that no edge crosses a node.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rondo.drawing.curves import Box, Curve, Point, bend, straight
from rondo.drawing.labels import Label, along, around, place_labels
from rondo.drawing.order import arrange
from rondo.drawing.picture import Arrow, Mark, Picture, at_step, state_name
from rondo.drawing.ranks import Chain, Item, Rows, rows_of
from rondo.drawing.sizes import (
    DELAY_HALF,
    LOOP_WIDTH,
    SMALL_SIZE,
    half_size,
    initial_state,
    mark_box,
    mark_half,
    measure,
    text_width,
)

GAP, LABEL_GAP = 34.0, 22.0  # between rows, and what a label adds


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
        wishes: Texts that have no place yet: where they could stand, and their own edge.
    """

    nodes: list[tuple[Mark, Box]] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)
    edges: list[tuple[Arrow, Curve, bool]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    wishes: list[tuple[list[Label], Curve | None]] = field(default_factory=list)

    @property
    def boxes(self) -> list[Box]:
        """The room of all nodes and delay marks."""
        return [box for _, box in self.nodes] + [square.box for square in self.squares]


def lay_out(picture: Picture, num_steps: int | None = None) -> Layout:
    """Lay a picture out, folded, or unrolled for a number of steps."""
    rows = rows_of(picture.check())
    measure(rows, picture, num_steps)
    arrange(rows, is_unrolled=num_steps is not None)
    heights = _heights(rows, num_steps)
    if num_steps is None:
        layout = _Folded(picture, rows, heights).done()
    else:
        layout = _Unrolled(picture, rows, heights, num_steps).done()
    return place_labels(layout)


def _heights(rows: Rows, num_steps: int | None) -> list[tuple[float, float]]:
    """The middle of each row and half its height; the lowest row at 0, y growing downward."""
    halves = []
    for row in range(rows.num_rows):
        sizes = [DELAY_HALF]
        for item in rows.in_row(row):
            if item.mark is not None:
                sizes.append(half_size(item.mark)[1])
            elif item.delay:
                sizes.append(mark_half(item, num_steps))
        halves.append(max(sizes))
    heights, y = [(0.0, halves[0])], 0.0
    for row in range(1, rows.num_rows):
        y -= halves[row - 1] + _gap_above(rows, row - 1) + halves[row]
        heights.append((y, halves[row]))
    return heights


def _gap_above(rows: Rows, row: int) -> float:
    pairs = [
        (chain, rows.items[low], rows.items[high])
        for chain in rows.chains
        for low, high in zip(chain.items, chain.items[1:], strict=False)
        if rows.items[low].row == row
    ]
    widest = max((abs(low.x - high.x) for _, low, high in pairs), default=0.0)
    has_label = any(chain.arrow.label and chain.items[0] == low.id for chain, low, _ in pairs)
    num_labels = sum(bool(chain.arrow.label) for chain, *_ in pairs)
    skips = any(abs(a.delay) > 1 and rows.items[a.source].row == row for a in rows.own_loops)
    extra = min(60.0, 0.12 * widest) + (LABEL_GAP + 4 * min(num_labels, 6) if has_label else 0)
    return GAP + extra + (30 if skips else 0)


FORK = 0.1  # half the size of the point where an edge goes on into the next step


def is_fork(box: Box) -> bool:
    """Whether a box is a point where an edge goes on into the next step."""
    return box.half_width == FORK


class _Columns:
    """What folded and unrolled pictures have in common: columns of the same step."""

    def __init__(self, picture: Picture, rows: Rows, heights: list[tuple[float, float]]) -> None:
        self.picture, self.rows, self.heights = picture, rows, heights
        self.layout = Layout()
        self.boxes: dict[tuple[str, int], Box] = {}

    def add_mark(self, item: Item, mark: Mark, column: int, shift: float) -> None:
        box = mark_box(mark, item.x + shift, self.heights[item.row][0])
        self.boxes[item.id, column] = box
        self.layout.nodes.append((mark, box))
        if mark.caption:
            self.layout.wishes.append((around(mark.caption, box, mark.stage), None))

    def add_curve(self, arrow: Arrow, curve: Curve, has_head: bool = True) -> None:
        self.layout.edges.append((arrow, curve, has_head))
        if arrow.label:
            self.layout.wishes.append((along(arrow.label, curve, arrow.stage), curve))

    def up(self, chain: Chain, points: list[Point], start: Box, end: Box) -> Curve:
        """A curve upward from a node through the points of its passages to another node."""
        first, last = (points[0], points[-1]) if points else ((end.x, end.y), (start.x, start.y))
        here, way = start.border(first, upward=True)
        if is_fork(start):
            here, way = (start.x, start.y), (1.0, 0.0)
        pieces = []
        for point in points:
            y, half = self.row_at(point[1])
            entry, leaving = (point[0], y + half), (point[0], y - half)
            pieces.append(bend(here, way, entry, (0, -1)))
            pieces.append(straight(entry, leaving))
            here, way = leaving, (0.0, -1.0)
        goal, outward = end.border(last, upward=False)
        pieces.append(bend(here, way, goal, (-outward[0], -outward[1])))
        return Curve(tuple(pieces))

    def down(self, points: list[Point], start: Box, end: Box) -> Curve:
        """A curve downward from a node to the delay mark that carries its value."""
        first, last = (points[0], points[-1]) if points else ((end.x, end.y), (start.x, start.y))
        here, way = self._leave(start, first)
        pieces = []
        for point in points:
            y, half = self.row_at(point[1])
            entry, leaving = (point[0], y - half), (point[0], y + half)
            pieces.append(bend(here, way, entry, (0, 1)))
            pieces.append(straight(entry, leaving))
            here, way = leaving, (0.0, 1.0)
        goal, outward = end.border(last, upward=True)
        if is_fork(end):
            goal, outward = (end.x, end.y), (-1.0, 0.0)
        pieces.append(bend(here, way, goal, (-outward[0], -outward[1])))
        return Curve(tuple(pieces))

    def _leave(self, start: Box, toward: Point) -> tuple[Point, Point]:
        """From the side of a node where nothing stands in the way, else from below it."""
        reach = toward[0] - start.x
        side = 1.0 if reach > 0 else -1.0
        way_out = Box((start.x + toward[0]) / 2, start.y, abs(reach) / 2, 6)
        others = [box for box in self.boxes.values() if box is not start]
        if abs(reach) > start.half_width + 12 and not any(map(way_out.overlaps, others)):
            return (start.x + side * start.half_width, start.y), (side, 0.0)
        return start.border(toward, upward=False)

    def row_at(self, y: float) -> tuple[float, float]:
        return min(self.heights, key=lambda height: abs(height[0] - y))

    def passages(self, chain: Chain, shift: float) -> list[Point]:
        items = [self.rows.items[id] for id in chain.items[1:-1]]
        return [(item.x + shift, self.heights[item.row][0]) for item in items]


class _Folded(_Columns):
    def done(self) -> Layout:
        for item in self.rows.items.values():
            if item.mark is not None:
                self.add_mark(item, item.mark, 0, 0)
            elif item.delay:
                self._add_square(item, item.x, self.heights[item.row][0])
        for chain in self.rows.chains:
            points = self.passages(chain, 0)
            low, high = (self.boxes[id, 0] for id in (chain.items[0], chain.items[-1]))
            if chain.leads_down:
                self.add_curve(chain.arrow, self.down(points[::-1], high, low))
            else:
                self.add_curve(chain.arrow, self.up(chain, points, low, high), chain.has_head)
        for loop in self.rows.own_loops:
            self._add_own_loop(loop)
        return self.layout

    def _add_square(self, item: Item, x: float, y: float) -> None:
        half = mark_half(item, None)
        box = Box(x, y, half, half, is_round=False)
        self.boxes[item.id, 0] = box
        self.layout.squares.append(Square(box, item.delay))
        self.layout.labels.append(Label(item.name, (x + half + 4, y + 4), "start", SMALL_SIZE))

    def _add_own_loop(self, loop: Arrow) -> None:
        node, side = self.boxes[loop.source, 0], 1.0 if loop.delay > 0 else -1.0
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


class _Unrolled(_Columns):
    def __init__(
        self,
        picture: Picture,
        rows: Rows,
        heights: list[tuple[float, float]],
        num_steps: int,
    ) -> None:
        super().__init__(picture, rows, heights)
        self.num_steps = num_steps
        items = rows.items.values()
        self.left = min(item.x - item.left for item in items)
        self.right = max(item.x + item.right for item in items)
        label = max((text_width(loop.label) for loop in rows.own_loops), default=0.0)
        self.room = max(40.0, label + 26)  # between columns
        self.pitch = self.right - self.left + self.room

    def done(self) -> Layout:
        for column in range(1, self.num_steps + 1):
            for item in self.rows.items.values():
                if item.mark is not None and (column == self.num_steps or not item.mark.is_final):
                    mark = at_step(item.mark, column)
                    self.add_mark(item, mark, column, column * self.pitch)
        for chain in self.rows.chains:
            if chain.leads_down or chain.items[-1] not in self.picture.by_id:
                self._add_states(chain)
        for chain in self.rows.chains:
            for column in range(1, self.num_steps + 1):
                self._add_chain(chain, column)
        for loop in self.rows.own_loops:
            self._add_own_loop(loop)
        return self.layout

    def _add_states(self, chain: Chain) -> None:
        """The states before the first step, and forks in place of the marks of later steps."""
        item = self.rows.items[chain.items[0] if chain.leads_down else chain.items[-1]]
        y = self.heights[item.row][0]
        chains = [other for other in self.rows.chains if not other.leads_down]
        readers = sum(other.items[0] == item.id for other in chains)
        for column in range(1, self.num_steps + 1):
            x, from_step = item.x + column * self.pitch, column - item.delay
            if 1 <= from_step <= self.num_steps:
                self.boxes[item.id, column] = Box(x, y, FORK, FORK)
                if readers > 1:
                    self.layout.dots.append((x, y))
            else:
                self.add_mark(item, initial_state(item.name, from_step), column, x - item.x)
        source = self.picture.by_id[chain.arrow.source]
        if item.delay == 1 and not source.is_timed:
            after = self.num_steps + 1
            self.add_mark(
                item, initial_state(item.name, self.num_steps), after, after * self.pitch
            )

    def _add_chain(self, chain: Chain, column: int) -> None:
        low, high = chain.items[0], chain.items[-1]
        points = self.passages(chain, column * self.pitch)
        if chain.leads_down:
            goal = column + chain.arrow.delay
            if (low, goal) in self.boxes:
                end = self.boxes[low, goal]
                curve = self.down(points[::-1], self.boxes[high, column], end)
                self.add_curve(chain.arrow, curve, has_head=not is_fork(end))
            return
        goal = column + chain.arrow.delay
        if (high, goal) in self.boxes:
            start, end = self.boxes[low, column], self.boxes[high, goal]
            has_head = chain.has_head or not is_fork(end)
            self.add_curve(chain.arrow, self.up(chain, points, start, end), has_head)

    def _add_own_loop(self, loop: Arrow) -> None:
        side, far = (1 if loop.delay > 0 else -1), abs(loop.delay)
        name = state_name(self.picture, loop)
        first = 1 if side > 0 else self.num_steps
        for step in range(far):
            column = first - side * (far - step)
            x = self._outside(column, loop)
            self._add_state(loop, initial_state(name, column), column, x)
        for step in range(-far, self.num_steps - far):
            start = first + side * step
            a, b = self.boxes[loop.source, start], self.boxes[loop.source, start + loop.delay]
            if far == 1:
                curve = straight(
                    (a.x + side * a.half_width, a.y), (b.x - side * b.half_width, b.y)
                )
            else:
                here, there = a.border((b.x, b.y), True), b.border((a.x, a.y), True)
                curve = bend(*here, there[0], (-there[1][0], -there[1][1]))
            self.add_curve(loop, Curve((curve,)))

    def _outside(self, column: int, loop: Arrow) -> float:
        """Where the state of a step before the first, or after the last, stands."""
        name = state_name(self.picture, loop)
        half = half_size(initial_state(name, column))[0]
        apart = 2 * half + 10
        if column < 1:
            return self.pitch + self.left - self.room - half + column * apart
        beyond = column - self.num_steps - 1
        return self.num_steps * self.pitch + self.right + self.room + half + beyond * apart

    def _add_state(self, loop: Arrow, mark: Mark, column: int, x: float) -> None:
        item = self.rows.items[loop.source]
        self.add_mark(item, mark, column, x - item.x)
