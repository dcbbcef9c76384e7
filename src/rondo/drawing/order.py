"""The order of the items in each row, and where they stand: few crossings, straight edges.

Order by barycentres, after Sugiyama, Tagawa and Toda, "Methods for visual understanding of
hierarchical system structures", 1981. Places by sweeps over the rows: every item wants to stand
where its neighbours stand on average, and in each row the nearest places that keep the order and
the distances are those of an isotonic regression, which pooling adjacent violators gives.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

from rondo.drawing.ranks import Item, Rows

NUM_SWEEPS = 24
DISTANCE = 22.0  # between neighbours in a row
ALIGNED = 60.0  # how much layers of one direction want to stand above each other
STRAIGHT = {2: 8.0, 1: 2.0, 0: 1.0}  # how much an edge wants to be upright, by its passages

Neighbours = dict[str, list[tuple[str, float]]]


def arrange(rows: Rows, *, is_unrolled: bool, wider: float = 1.0) -> None:
    """Order the items of every row and give each its x, `wider` times the usual distance apart."""
    _choose_sides(rows, is_unrolled)
    lower, upper = _neighbours(rows, is_unrolled)
    grid = [rows.in_row(row) for row in range(rows.num_rows)]
    grid = _ordered(grid, lower, upper)
    for low, high in _aligned(rows):
        lower[high].append((low, ALIGNED))
        upper[low].append((high, ALIGNED))
    _place(grid, lower, upper, wider)
    _straighten(rows, grid, wider)
    rows.items = {item.id: item for row in grid for item in row}


def _choose_sides(rows: Rows, is_unrolled: bool) -> None:
    """Loops close at the right; what comes from the previous step enters at the left."""
    for chain in rows.chains:
        if chain.leads_down:
            span = len(chain.items)
            mark = rows.items[chain.items[0]]
            mark.side = -span if is_unrolled else 0
            for id in chain.items[1:-1]:
                rows.items[id].side = span
    if rows.run_both_ways:
        for loop in rows.own_loops:
            rows.items[loop.source].side = rows.side_of(loop)


def _neighbours(rows: Rows, is_unrolled: bool) -> tuple[Neighbours, Neighbours]:
    lower, upper = defaultdict(list), defaultdict(list)
    for chain in rows.chains:
        pairs = list(zip(chain.items, chain.items[1:], strict=False))
        if chain.leads_down and is_unrolled:
            pairs = pairs[1:]  # the mark stands in another column
        for low, high in pairs:
            passages = rows.items[low].is_passage + rows.items[high].is_passage
            weight = STRAIGHT[passages] * (0.3 if chain.leads_down and passages < 2 else 1)
            lower[high].append((low, weight))
            upper[low].append((high, weight))
    return lower, upper


def _aligned(rows: Rows) -> list[tuple[str, str]]:
    """Pairs of nodes that want to stand above each other: those with loops of one direction."""
    found = []
    for direction in (-1, 1):
        ids = [loop.source for loop in rows.own_loops if loop.delay * direction > 0]
        ids.sort(key=lambda id: rows.items[id].row)
        found += list(itertools.pairwise(ids))
    return found


# ---- order ----


def _ordered(grid: list[list[Item]], lower: Neighbours, upper: Neighbours) -> list[list[Item]]:
    grid = [sorted(row, key=lambda item: item.side) for row in grid]
    best, fewest = grid, _crossings(grid, upper)
    for sweep in range(NUM_SWEEPS):
        upward = sweep % 2 == 0
        near = lower if upward else upper
        grid = [list(row) for row in grid]
        for index in range(len(grid)) if upward else reversed(range(len(grid))):
            grid[index] = _by_barycentre(grid, index, near, sweep)
        crossings = _crossings(grid, upper)
        if crossings < fewest:
            best, fewest = grid, crossings
    return best


def _by_barycentre(grid: list[list[Item]], index: int, near: Neighbours, sweep: int) -> list[Item]:
    place = {
        item.id: (position + 0.5) / len(row) for row in grid for position, item in enumerate(row)
    }

    def barycentre(item: Item) -> float:
        others = [place[id] for id, _ in near.get(item.id, ())]
        return sum(others) / len(others) if others else place[item.id]

    row = list(reversed(grid[index])) if sweep % 4 >= 2 else grid[index]
    return sorted(row, key=lambda item: (item.side, barycentre(item)))


def _crossings(grid: list[list[Item]], upper: Neighbours) -> float:
    """The number of crossings, and a little for edges that lead far to the side."""
    total = 0.0
    for low, high in itertools.pairwise(grid):
        place = {item.id: position for position, item in enumerate(high)}
        ends = [
            (start, place[id])
            for start, item in enumerate(low)
            for id, _ in upper.get(item.id, ())
            if id in place
        ]
        for number, (a, b) in enumerate(ends):
            total += sum((a - c) * (b - d) < 0 for c, d in ends[number + 1 :])
            total += 0.001 * abs((a + 0.5) / len(low) - (b + 0.5) / len(high))
    return total


# ---- places ----


def _place(grid: list[list[Item]], lower: Neighbours, upper: Neighbours, wider: float) -> None:
    for row in grid:
        _set_places(row, [0.0] * len(row), [1.0] * len(row), wider)
    known = {item.id: item for row in grid for item in row}

    def both(item: Item) -> list[tuple[str, float]]:
        return [*lower.get(item.id, ()), *upper.get(item.id, ())]

    directions: tuple[Callable[[Item], Sequence[tuple[str, float]]], ...] = (
        lambda item: lower.get(item.id, ()),
        lambda item: upper.get(item.id, ()),
        both,
        both,
    )
    for sweep in range(4 * NUM_SWEEPS):
        near = directions[sweep % 4 if sweep < 2 * NUM_SWEEPS else 2]
        for row in grid if sweep % 2 == 0 else reversed(grid):
            wanted, weights = [], []
            for item in row:
                others = near(item)
                weight = sum(w for _, w in others)
                mean = sum(known[id].x * w for id, w in others) / weight if others else item.x
                wanted.append(mean)
                weights.append(weight if others else 0.1)
            _set_places(row, wanted, weights, wider)


def _set_places(row: list[Item], wanted: list[float], weights: list[float], wider: float) -> None:
    """The places nearest to those wanted, with the distances kept."""
    offsets, offset = [], 0.0
    for position, item in enumerate(row):
        if position:
            offset += (
                row[position - 1].right + wider * _distance(row[position - 1], item) + item.left
            )
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # mean, weight, number of items
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean = (other * heavy + mean * total) / (heavy + total)
            total, count = total + heavy, count + many
        pools.append((mean, total, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    for item, mean, offset in zip(row, means, offsets, strict=True):
        item.x = mean + offset


def _distance(a: Item, b: Item) -> float:
    return DISTANCE * (0.7 if a.is_passage or b.is_passage else 1.0)


def _straighten(rows: Rows, grid: list[list[Item]], wider: float) -> None:
    """Let every edge pass upright through as many rows as there is room for."""
    beside = {}
    for row in grid:
        for position, item in enumerate(row):
            beside[item.id] = (
                row[position - 1] if position else None,
                row[position + 1] if position + 1 < len(row) else None,
            )

    def room(item: Item) -> tuple[float, float]:
        left, right = beside[item.id]
        low, high = -1e9, 1e9
        if left is not None:
            low = left.x + left.right + wider * _distance(left, item) + item.left
        if right is not None:
            high = right.x - right.left - wider * _distance(item, right) - item.right
        return low, high

    for chain in sorted(rows.chains, key=lambda chain: -len(chain.items)):
        passages = [rows.items[id] for id in chain.items[1:-1]]
        while passages:
            run, (low, high) = [passages[0]], room(passages[0])
            for item in passages[1:]:
                least, most = room(item)
                if max(low, least) > min(high, most):
                    break
                low, high = max(low, least), min(high, most)
                run.append(item)
            mean = sum(item.x for item in run) / len(run)
            for item in run:
                item.x = max(low, min(high, mean))
            passages = passages[len(run) :]
