"""In which row each node lies: from a picture to items in rows and the chains that join them.

Every edge without a delay leads to a higher row. Delayed edges that start at one node share a
delay mark, an item of its own: the loop leads down to it, its readers lie above. A node that is
the only reader of its own delayed value needs no mark in a row; its loop is drawn at its side, but
for a second one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from rondo.drawing.picture import Arrow, Mark, Picture, state_name


@dataclass
class Item:
    """What takes room in a row: a node, a delay mark, or an edge that passes through."""

    id: str
    row: int
    mark: Mark | None = None
    delay: int = 0
    name: str = ""
    left: float = 1.0
    right: float = 1.0
    side: float = 0.0  # below 0: at the left end of its row, above 0: at the right end
    x: float = 0.0

    @property
    def is_passage(self) -> bool:
        """Whether an edge passes through here on its way."""
        return self.mark is None and not self.delay


@dataclass
class Chain:
    """An edge as the items that it passes, from the lowest row to the highest."""

    items: list[str]
    arrow: Arrow
    leads_down: bool = False  # from a node to the delay mark below it
    has_head: bool = True


@dataclass
class Rows:
    """The items of a picture in rows, and what joins them."""

    items: dict[str, Item] = field(default_factory=dict)
    chains: list[Chain] = field(default_factory=list)
    own_loops: list[Arrow] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return 1 + max((item.row for item in self.items.values()), default=0)

    @property
    def run_both_ways(self) -> bool:
        """Whether some loops run forward in time and others backward."""
        return {loop.delay > 0 for loop in self.own_loops} == {True, False}

    def side_of(self, loop: Arrow) -> int:
        """At which side of its node a folded loop lies, -1 at the left or 1 at the right.

        Forward in time is at the right; but of two directions forward stands at the left and
        backward at the right of it, and their loops lie outside.
        """
        return 1 if (loop.delay > 0) != self.run_both_ways else -1

    def in_row(self, row: int) -> list[Item]:
        """The items of a row, from left to right once they are in order."""
        return [item for item in self.items.values() if item.row == row]


def rows_of(picture: Picture, *, is_unrolled: bool) -> Rows:
    """Put the nodes of a picture into rows; join them by chains of items."""
    rows = Rows()
    arrows, feedback, marks = _with_delay_marks(picture, rows)
    rank = _ranks([mark.id for mark in picture.marks] + list(marks), arrows)
    _lift_inputs(picture, rank, arrows, marks)
    _rows_of_their_own(rows, rank, is_unrolled)
    for mark in picture.marks:
        rows.items[mark.id] = Item(mark.id, rank[mark.id], mark)
    for id, (delay, name) in marks.items():
        rows.items[id] = Item(id, rank[id], delay=delay, name=name)
    for arrow in arrows:
        rows.chains.append(Chain(_passages(rows, arrow.source, arrow.target), arrow))
        rows.chains[-1].has_head = arrow.target not in marks
    for arrow in feedback:
        items = _passages(rows, arrow.target, arrow.source)
        rows.chains.append(Chain(items, arrow, leads_down=True, has_head=True))
    return rows


def _with_delay_marks(
    picture: Picture, rows: Rows
) -> tuple[list[Arrow], list[Arrow], dict[str, tuple[int, str]]]:
    """Edges that lead up, edges that lead down to a delay mark, and the marks."""
    arrows = [arrow for arrow in picture.arrows if not arrow.delay]
    groups: dict[tuple[str, int], list[Arrow]] = defaultdict(list)
    for arrow in picture.arrows:
        if arrow.delay:
            groups[arrow.source, arrow.delay].append(arrow)
    feedback: list[Arrow] = []
    marks: dict[str, tuple[int, str]] = {}
    for (source, delay), group in groups.items():
        has_own = any(loop.source == source for loop in rows.own_loops)
        if [arrow.target for arrow in group] == [source] and not has_own:
            rows.own_loops.append(group[0])
            continue
        id = f"delay {delay} of {source}"
        marks[id] = (delay, state_name(picture, group[0]))
        arrows += [Arrow(id, a.target, a.label, stage=a.stage) for a in group]
        into = Arrow(source, id, delay=delay, carries=group[0].carries, stage=group[0].stage)
        (feedback if _reaches(id, source, arrows) else arrows).append(into)
    return arrows, feedback, marks


def _reaches(start: str, end: str, arrows: list[Arrow]) -> bool:
    after = defaultdict(list)
    for arrow in arrows:
        after[arrow.source].append(arrow.target)
    found, waiting = {start}, [start]
    while waiting:
        for id in after[waiting.pop()]:
            if id not in found:
                found.add(id)
                waiting.append(id)
    return end in found


def _ranks(ids: list[str], arrows: list[Arrow]) -> dict[str, int]:
    """The length of the longest way to each node."""
    rank = dict.fromkeys(ids, 0)
    for _ in ids:
        changed = False
        for arrow in arrows:
            if rank[arrow.target] < rank[arrow.source] + 1:
                rank[arrow.target] = rank[arrow.source] + 1
                changed = True
        if not changed:
            return rank
    raise AssertionError("the edges without a delay form a cycle")


def _lift_inputs(
    picture: Picture,
    rank: dict[str, int],
    arrows: list[Arrow],
    marks: dict[str, tuple[int, str]],
) -> None:
    """Delay marks and parameters go right below what reads them; outputs go to the top."""
    top = max(rank.values(), default=0)
    by_id = picture.by_id
    has_source = {arrow.target for arrow in arrows}
    for id in rank:
        readers = [rank[arrow.target] for arrow in arrows if arrow.source == id]
        is_loose = id in marks or by_id[id].kind in ("parameter", "state")
        if is_loose and readers and id not in has_source:
            rank[id] = min(readers) - 1
        elif id in by_id and by_id[id].kind in ("output", "sum") and not readers:
            rank[id] = top


def _rows_of_their_own(rows: Rows, rank: dict[str, int], is_unrolled: bool) -> None:
    """A node with a loop at its side has nothing else beside it.

    But folded, two nodes whose loops run in opposite directions stand side by side.
    """
    forward = {loop.source: loop.delay > 0 for loop in rows.own_loops}
    for own, is_forward in forward.items():
        beside = [id for id in rank if rank[id] == rank[own] and id != own]
        others = [forward.get(id, is_forward) for id in beside]
        if not is_unrolled and others == [not is_forward]:
            continue
        if beside:
            for id in rank:
                if rank[id] > rank[own]:
                    rank[id] += 1
            rank[own] += 1


def _passages(rows: Rows, low: str, high: str) -> list[str]:
    """The items from one node to another in a higher row, one in each row between."""
    between = range(rows.items[low].row + 1, rows.items[high].row)
    ids = [f"{low} > {high} #{len(rows.chains)} in row {row}" for row in between]
    for id, row in zip(ids, between, strict=True):
        rows.items[id] = Item(id, row)
    return [low, *ids, high]
