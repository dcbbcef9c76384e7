"""The time of a token by the size of the batch, as a figure: a panel for each kind and pass.

In go the rows of `rondo.bench.token`, out comes SVG as wide as a page. Both axes are logarithmic.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from rondo.bench.options import OURS, PEERS
from rondo.bench.page_colour import PAGE_STYLE, page_svg
from rondo.bench.plot import COLOURS, GREY
from rondo.bench.rows import Row
from rondo.bench.token import token_us

LOOKS = {
    OURS: (COLOURS[0], "o", 2.6),
    PEERS["nn"]: (COLOURS[1], "s", 1.4),
    PEERS["onnx"]: (COLOURS[2], "^", 1.4),
    PEERS["jax"]: (COLOURS[3], "D", 1.4),
}
"""The colour of a side, its mark and the width of its line."""

WIDTH, HEIGHT = 8.7, 3.5
"""Inches: of the figure, and of a row of panels."""


def token_svg(rows: Sequence[Row], ink: str | None = None) -> str:
    """Returns the figure as SVG.

    Args:
        rows: What was measured.
        ink: The colour of its words; None is that of the theme of who looks at it.
    """
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.times:
            panels.setdefault((row.run, row.case), []).append(row)
    runs = max(1, len({run for run, _ in panels}))
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT * runs), layout="constrained")
        if panels:
            axes = figure.subplots(runs, len(panels) // runs, squeeze=False, sharey="row")
            for axis, (panel, found) in zip(axes.flat, panels.items(), strict=True):
                run, kind = panel
                axis.set_title(f"{kind}, {run}", loc="left", fontsize=10)
                _draw(axis, found)
            for row_of_axes in axes:
                row_of_axes[0].set_ylabel("µs per token")
            handles, labels = axes.flat[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        return page_svg(figure, ink)


def _draw(axis: Axes, rows: Sequence[Row]) -> None:
    """Draws a panel: a line for each side, a point for each batch size."""
    sizes = [row.sizes.batch_size for row in rows if row.sizes is not None]
    for name, (colour, mark, width) in LOOKS.items():
        found = {size: token_us(row)[name].median for size, row in zip(sizes, rows, strict=True)
                 if name in row.times}  # fmt: skip
        if found:
            label = "Rondo" if name == OURS else name
            axis.plot(list(found), list(found.values()), color=colour, marker=mark, markersize=5,
                      linewidth=width, label=label, zorder=3 if name == OURS else 2)  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(color=GREY, alpha=0.25, linewidth=0.7)
    axis.set_xlabel("rows of the batch")
