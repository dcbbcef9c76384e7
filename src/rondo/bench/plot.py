"""The ratios of a run as a figure: a panel for each suite and kind of run, a line for each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from rondo.bench.rows import Row
from rondo.bench.tables import RUNS

COLOURS = [
    *("#2a7de1", "#d1495b", "#2c9c69", "#c98500", "#7b5cc4"),
    *("#0f8b8d", "#5f6670", "#e07a9c", "#7a4f2b"),
]
GREY = "#8a8f98"
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "svg.hashsalt": "bench"}  # fmt: skip
LINE_HEIGHT = 0.26
"""Inches that a case takes."""

Panels = dict[tuple[str, str], list[Row]]


def plot(rows: Sequence[Row]) -> Figure:
    """Returns the figure; bars are dotted lines in the colour of what they are for."""
    shown = [row for row in rows if row.ratios()]
    names = dict.fromkeys(name for row in shown for name in row.ratios())
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    panels: Panels = {}
    for row in shown:
        panels.setdefault((row.suite, row.run), []).append(row)
    heights = [len(panel) + 3 for panel in panels.values()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1 + LINE_HEIGHT * sum(heights)), layout="constrained")
        if panels:
            axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
            for axis, ((suite, run), panel) in zip(axes, panels.items(), strict=True):
                axis.set_title(f"{suite}, {RUNS[run]}", loc="left")
                _draw(axis, panel, colours)
            _add_legend(figure, list(axes))
    return figure


def _draw(axis: Axes, rows: Sequence[Row], colours: dict[str, str]) -> None:
    """Draws the ratios of a panel: a point for the median, a line for its spread."""
    for name, colour in colours.items():
        found = [(i, row.ratios()[name]) for i, row in enumerate(rows) if name in row.ratios()]
        if found:
            medians = [ratio.median for _, ratio in found]
            low, high = zip(*(ratio.shown for _, ratio in found), strict=True)
            errors = [
                [m - a for m, a in zip(medians, low, strict=True)],
                [b - m for m, b in zip(medians, high, strict=True)],
            ]
            lines = [i for i, _ in found]
            axis.errorbar(medians, lines, xerr=errors, fmt="o", ms=4, color=colour, label=name)
        for bar in {row.bars[name] for row in rows if name in row.bars}:
            axis.axvline(bar, color=colour, linewidth=1, linestyle=":")
    axis.axvline(1, color=GREY, linewidth=1)
    axis.set_yticks(range(len(rows)), [f"{row.case} · {row.sizes}" for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xscale("log")
    left, right = axis.get_xlim()
    axis.set_xlim(min(left, 0.5), max(right, 2))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(
        "time over the dense batch's: left of 1, less is done"
        if rows[0].base == "dense"
        else "time over Rondo's: right of 1, Rondo is faster"
    )


def _add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Names each colour once, above all panels."""
    drawn = [axis.get_legend_handles_labels() for axis in axes]
    handles = {label: h for pair in drawn for h, label in zip(*pair, strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=4)
