"""The inside of a map: blocks side by side, or a state that goes from block to block.

A map is a node like any other; what is in it is made of nodes and edges as well.
"""

from __future__ import annotations

from rondo.drawing.curves import Box, Curve, Point, straight
from rondo.drawing.picture import SWEEPS, Arrow, Grid, Mark

BLOCK, PITCH, RADIUS = 22.0, 34.0, 8.0  # side of a block; distance and radius of states
PADDING, TITLE = 10.0, 24.0


def half_map(grid: Grid) -> tuple[float, float]:
    """Half the width and height of a map, with its title."""
    columns, rows = _num_places(grid)
    pitch = PITCH if grid.sweep else BLOCK
    return columns * pitch / 2 + PADDING, (rows * pitch + PADDING + TITLE) / 2


def inside(mark: Mark, box: Box) -> tuple[list[tuple[Mark, Box]], list[tuple[Arrow, Curve]]]:
    """The nodes and edges in a map, where they lie; of other nodes nothing."""
    if mark.grid is None:
        return [], []
    columns, rows = _num_places(mark.grid)
    pitch = PITCH if mark.grid.sweep else BLOCK
    left = box.x - columns * pitch / 2
    top = box.y + box.half_height - PADDING - rows * pitch
    places = {
        (column, row): (left + (column + 0.5) * pitch, top + (row + 0.5) * pitch)
        for column in range(columns)
        for row in range(rows)
    }
    if mark.grid.sweep:
        return _swept(mark, places, SWEEPS[mark.grid.sweep])
    half = BLOCK / 2
    return [(Mark("", "", "block"), Box(x, y, half, half, False)) for x, y in places.values()], []


def _swept(
    mark: Mark, places: dict[tuple[int, int], Point], way: tuple[int, int]
) -> tuple[list[tuple[Mark, Box]], list[tuple[Arrow, Curve]]]:
    """A state in each place, those before the first block dashed, and the way it goes."""
    (dx, dy), nodes, edges = way, [], []
    for (column, row), (x, y) in places.items():
        before = places.get((column - dx, row - dy))
        nodes.append((Mark("", "", "variable" if before else "state"), Box(x, y, RADIUS, RADIUS)))
        if before:
            ends = (
                (before[0] + dx * RADIUS, before[1] + dy * RADIUS),
                (x - dx * RADIUS, y - dy * RADIUS),
            )
            edges.append((Arrow("", ""), Curve((straight(*ends),))))
    return nodes, edges


def _num_places(grid: Grid) -> tuple[int, int]:
    """The places in a row and in a column; a state begins one place before the first block."""
    dx, dy = SWEEPS.get(grid.sweep, (0, 0))
    return grid.columns + abs(dx), grid.rows + abs(dy)
