"""Where everything lies: from a picture to boxes, curves and texts.

Within a step data runs upward, from the inputs in the lowest row to the outputs in the highest.
Folded, a loop leads back through a black square, the delay. Unrolled, the step is laid out once
and repeated to the right, and the delayed edges lead from one column to the next; they bend
between the rows only, so that no edge crosses a node.
"""

from __future__ import annotations

from collections.abc import Iterator

from rondo.drawing.folded import Folded
from rondo.drawing.labels import place_labels
from rondo.drawing.order import arrange
from rondo.drawing.picture import Picture
from rondo.drawing.placed import Layout
from rondo.drawing.ranks import Rows, rows_of
from rondo.drawing.sizes import DELAY_HALF, half_size, mark_half, measure
from rondo.drawing.unrolled import FORK_STEP, Unrolled

GAP, LABEL_GAP = 34.0, 22.0  # between rows, and what a label adds
WIDTHS = (1.0, 1.3, 1.7)
"""How much wider a picture may become so that its texts find room."""

NUM_TRIES, HIGHER = 4, 20.0
"""How often the rows around a text that finds no room move apart, and by how much."""

ROOM = 30.0
"""What may be hidden (see `labels`) before a picture of twice the size is better."""

Heights = list[tuple[float, float]]


def lay_out(picture: Picture, num_steps: int | None = None) -> Layout:
    """Lay a picture out, folded, or unrolled for a number of steps.

    Where texts find no room, the picture becomes wider, and higher where they stand.
    """
    best, least = None, float("inf")
    for layout, hidden in _tries(picture, num_steps):
        worth = (ROOM + hidden) * layout.area
        if worth < least:
            best, least = layout, worth
        if not hidden:
            break
    assert best is not None
    return best


def _tries(picture: Picture, num_steps: int | None) -> Iterator[tuple[Layout, float]]:
    """Layouts, the small ones first, and what their texts hide."""
    for wider in WIDTHS:
        rows = rows_of(picture.check(), is_unrolled=num_steps is not None)
        measure(rows, picture, num_steps)
        arrange(rows, is_unrolled=num_steps is not None, wider=wider)
        above = [_gap_above(rows, row) for row in range(rows.num_rows)]
        for _ in range(NUM_TRIES):
            heights = _heights(rows, num_steps, above)
            layout = _laid_out(picture, rows, heights, num_steps)
            hiding = place_labels(layout)
            yield layout, sum(cost for _, cost in hiding)
            for row in {_row_below(label.at[1], heights) for label, _ in hiding}:
                above[row] += HIGHER


def _laid_out(picture: Picture, rows: Rows, heights: Heights, num_steps: int | None) -> Layout:
    """Nodes and edges where they lie, and the wishes of the texts."""
    if num_steps is None:
        return Folded(picture, rows, heights).done()
    return Unrolled(picture, rows, heights, num_steps).done()


def _row_below(y: float, heights: Heights) -> int:
    """The last row whose middle lies below a place."""
    return max(row for row, (middle, _) in enumerate(heights) if middle >= y or row == 0)


def _heights(rows: Rows, num_steps: int | None, above: list[float]) -> Heights:
    """The middle of each row and half its height; the lowest row at 0, y growing downward.

    Args:
        rows: What lies in the rows.
        num_steps: The number of steps; None where the picture is folded.
        above: The distance from each row to the next.
    """
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
        forks = sum(item.row == row - 1 and bool(item.delay) for item in rows.items.values())
        room = 0.0 if num_steps is None else FORK_STEP * forks
        y -= halves[row - 1] + above[row - 1] + room + halves[row]
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
    return GAP + extra + (46 if skips else 0)
