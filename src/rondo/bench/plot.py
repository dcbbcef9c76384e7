"""The ratios of a run as a figure: one panel for each kind of run, one line for each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rondo.bench.suites import OUR_LSTM, Row
from rondo.bench.tables import RUNS

COLOURS = ["#2a7de1", "#d1495b", "#2c9c69", "#c98500", "#7b5cc4", "#0f8b8d", "#8a8f98"]
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "svg.hashsalt": "bench"}  # fmt: skip
LINE_HEIGHT = 0.26
"""Inches that a case takes."""


def plot(rows: Sequence[Row]) -> Figure:
    """Returns the figure; right of the line at 1, Rondo, or the dense batch, is faster."""
    shown = [row for row in rows if set(row.ratios()) - {OUR_LSTM}]
    names = [name for row in shown for name in row.ratios() if name != OUR_LSTM]
    colours = {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(dict.fromkeys(names))}
    runs = list(dict.fromkeys(row.run for row in shown)) or ["forward"]
    panels = {run: [row for row in shown if row.run == run] for run in runs}
    heights = [len(panel) + 3 for panel in panels.values()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.6 + LINE_HEIGHT * sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for axis, (run, panel) in zip(axes, panels.items(), strict=True):
            _draw(axis, run, panel, colours)
        drawn = [axis.get_legend_handles_labels() for axis in axes]
        handles = {label: h for pair in drawn for h, label in zip(*pair, strict=True)}
        if handles:
            figure.legend(
                list(handles.values()), list(handles), loc="outside upper center", ncols=4
            )
    return figure


def _draw(axis: Axes, run: str, rows: Sequence[Row], colours: dict[str, str]) -> None:
    """Draws the ratios of one kind of run: a point for the median, a line for the quartiles."""
    for name, colour in colours.items():
        found = [(i, row.ratios()[name]) for i, row in enumerate(rows) if name in row.ratios()]
        if found:
            medians = [ratio.median for _, ratio in found]
            low, high = zip(*(ratio.quartiles for _, ratio in found), strict=True)
            errors = [
                [m - a for m, a in zip(medians, low, strict=True)],
                [b - m for m, b in zip(medians, high, strict=True)],
            ]
            lines = [i for i, _ in found]
            axis.errorbar(medians, lines, xerr=errors, fmt="o", ms=4, color=colour, label=name)
    axis.axvline(1, color="#8a8f98", linewidth=1)
    labels = [f"{row.case} · {row.sizes}" for row in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_title(RUNS[run], loc="left")
    axis.set_xlabel("time over Rondo's (ragged: over the dense batch's)")
