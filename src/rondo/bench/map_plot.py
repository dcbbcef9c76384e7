"""The map as a figure: a panel for each kind and pass, a coloured cell for each shape.

In go the rows of the map, out comes SVG. The words around the cells take the colour of the page
that shows it, light or dark; a cell has its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rondo.bench.options import PEERS, Sizes
from rondo.bench.page_colour import PAGE_STYLE, page_svg
from rondo.bench.plot import COLOURS
from rondo.bench.rows import Row

SLOWER, EVEN, FASTER = COLOURS[1], "#f4f1ea", COLOURS[0]
FULL = 4.0
"""The ratio from which on a cell has the full colour; its inverse has the full other one."""

PANEL_WIDTH, ROW_HEIGHT, MARGIN = 2.3, 0.17, 0.75
"""Inches: of a panel, of a row of cells, and of the words above and below a panel."""

COLOUR_MAP = LinearSegmentedColormap.from_list("ratios", [SLOWER, EVEN, FASTER])


def map_svg(rows: Sequence[Row]) -> str:
    """Returns the figure as SVG."""
    kinds, runs = (tuple(dict.fromkeys(values)) for values in
                   ((row.case for row in rows), (row.run for row in rows)))  # fmt: skip
    lines = sorted({row.sizes[:2] for row in rows if row.sizes is not None})
    height = 0.5 + max(1, len(kinds)) * (ROW_HEIGHT * max(1, len(lines)) + MARGIN)
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(PANEL_WIDTH * max(1, len(runs)), height), layout="constrained")
        end_of_line = " " if len(runs) > 1 else "\n"
        figure.suptitle(f"torch.nn's time over Rondo's:{end_of_line}above 1, Rondo is faster",
                        fontsize=9)  # fmt: skip
        if rows:
            axes = figure.subplots(len(kinds), len(runs), squeeze=False)
            for i, kind in enumerate(kinds):
                for j, run in enumerate(runs):
                    panel = [row for row in rows if (row.case, row.run) == (kind, run)]
                    axes[i][j].set_title(f"{kind}, {run}", loc="left", fontsize=9)
                    _draw(axes[i][j], panel, lines)
                    axes[i][j].tick_params(labelleft=j == 0)
        return page_svg(figure)


def _draw(axis: Axes, rows: Sequence[Row], lines: Sequence[tuple[int, ...]]) -> None:
    """Draws a panel: rows of T and B, columns of H."""
    sizes = sorted({row.sizes.hidden_size for row in rows if row.sizes is not None})
    for row in rows:
        ratio = row.ratios().get(PEERS["nn"])
        if row.sizes is not None and ratio is not None:
            _draw_cell(axis, sizes.index(row.sizes.hidden_size), _line(row.sizes, lines),
                       ratio.median)  # fmt: skip
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_xticks(range(len(sizes)), [f"H {size}" for size in sizes], fontsize=8)
    axis.set_yticks(range(len(lines)), [f"T {t} B {b}" for t, b in lines], fontsize=8)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _line(sizes: Sizes, lines: Sequence[tuple[int, ...]]) -> int:
    return lines.index(sizes[:2])


def _draw_cell(axis: Axes, column: int, line: int, ratio: float) -> None:
    position = 0.5 + 0.5 * math.log(ratio) / math.log(FULL)
    red, green, blue, _ = COLOUR_MAP(min(1.0, max(0.0, position)))
    axis.add_patch(Rectangle((column - 0.48, line - 0.46), 0.96, 0.92, color=(red, green, blue)))
    is_light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.55
    axis.text(column, line, short(ratio), ha="center", va="center", fontsize=8,
              color="#1d2330" if is_light else "#ffffff",
              weight="normal" if ratio >= 1 else "bold")  # fmt: skip


def short(ratio: float) -> str:
    """A ratio with three digits or so."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"
