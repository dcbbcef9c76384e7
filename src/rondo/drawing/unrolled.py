"""The unrolled picture: the same step many times, time running to the right."""

from __future__ import annotations

from collections import Counter

from rondo.drawing.columns import Columns
from rondo.drawing.curves import Box, Curve, Point, arch, straight
from rondo.drawing.picture import Arrow, Mark, Picture, at_step, state_name
from rondo.drawing.placed import Layout
from rondo.drawing.ranks import Chain, Item, Rows
from rondo.drawing.sizes import half_size, initial_state, text_width

COLUMN_GAP, LABEL_GAP = 34.0, 30.0  # between columns, and what the name of an edge adds
FORK_STEP = 7.0  # forks lie above their row, each higher than the one before


class Unrolled(Columns):
    """Repeats one step to the right; delayed edges lead from one column to another."""

    def __init__(
        self,
        picture: Picture,
        rows: Rows,
        heights: list[tuple[float, float]],
        num_steps: int,
    ) -> None:
        super().__init__(picture, rows, heights)
        self.num_steps = num_steps
        self.num_forks: Counter[int] = Counter()
        items = rows.items.values()
        self.left = min(item.x - item.left for item in items)
        self.right = max(item.x + item.right for item in items)
        loops = [(rows.items[loop.source], text_width(loop.label)) for loop in rows.own_loops]
        spans = [(item.x, _half(item), width + LABEL_GAP) for item, width in loops]
        apart = [2 * half + length for _, half, length in spans]
        self.pitch = max([self.right - self.left + COLUMN_GAP, *apart])
        firsts = [x - half - length for x, half, length in spans]
        self.first = min([self.left - COLUMN_GAP, *firsts])  # where states from outside end
        lasts = [x + half + length for x, half, length in spans]
        self.last = max([self.right + COLUMN_GAP, *lasts])

    def done(self) -> Layout:
        """Everything where it lies."""
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
        readers = [
            self.rows.items[other.items[1]]
            for other in self.rows.chains
            if other.items[0] == item.id and not other.leads_down
        ]
        self.num_forks[item.row] += chain.leads_down
        for column in range(1, self.num_steps + 1):
            shift, from_step = column * self.pitch, column - item.delay
            if not 1 <= from_step <= self.num_steps:
                self.add_mark(item, initial_state(item.name, from_step), column, shift)
                continue
            x, y = self._fork(item, readers, beside=chain.leads_down)
            kind = "beside" if chain.leads_down else "through"
            self.boxes[item.id, column] = Box(x + shift, y, 0.1, 0.1, fork=kind)
            if len(readers) > 1:
                self.layout.dots.append((x + shift, y))
        source = self.picture.by_id[chain.arrow.source]
        if item.delay == 1 and not source.is_timed:
            after = self.num_steps + 1
            self.add_mark(item, initial_state(item.name, self.num_steps), after, after * self.pitch)

    def _fork(self, item: Item, readers: list[Item], beside: bool) -> Point:
        """Where a delayed edge turns to its readers: above its row, at their left."""
        y, half = self.heights[item.row]
        if not beside:
            return item.x, y
        x = min([item.x, *(reader.x - 16 for reader in readers)])
        return x, y - half - FORK_STEP * self.num_forks[item.row]

    def _add_chain(self, chain: Chain, column: int) -> None:
        low, high = chain.items[0], chain.items[-1]
        points = self.passages(chain, column * self.pitch)
        goal = column + chain.arrow.delay
        if chain.leads_down and (low, goal) in self.boxes:
            end = self.boxes[low, goal]
            curve = self.down(points[::-1], self.boxes[high, column], end)
            self.add_curve(chain.arrow, curve, has_head=not end.fork)
        elif not chain.leads_down and (high, goal) in self.boxes:
            start, end = self.boxes[low, column], self.boxes[high, goal]
            has_head = chain.has_head or not end.fork
            self.add_curve(chain.arrow, self.up(points, start, end), has_head)

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
                curve = straight((a.x + side * a.half_width, a.y), (b.x - side * b.half_width, b.y))
            else:
                here, there = a.border((b.x, b.y), True), b.border((a.x, a.y), True)
                curve = arch(*here, there[0], (-there[1][0], -there[1][1]))
            self.add_curve(loop, Curve((curve,)))

    def _outside(self, column: int, loop: Arrow) -> float:
        """Where the state of a step before the first, or after the last, stands."""
        name = state_name(self.picture, loop)
        half = half_size(initial_state(name, column))[0]
        apart = 2 * half + 10
        if column < 1:
            return self.pitch + self.first - half + column * apart
        beyond = column - self.num_steps - 1
        return self.num_steps * self.pitch + self.last + half + beyond * apart

    def _add_state(self, loop: Arrow, mark: Mark, column: int, x: float) -> None:
        item = self.rows.items[loop.source]
        self.add_mark(item, mark, column, x - item.x)


def _half(item: Item) -> float:
    """Half the width of a node."""
    assert item.mark is not None
    return half_size(item.mark)[0]
