"""The picture of a sweep: a line for each setting, through its values to its val loss.

In goes a sweep, out comes an SVG. Each name has an upright axis; a log range has a log axis, and so
has the loss where it goes over more than a power of ten. The best setting is drawn last, on top of
the others. What failed or diverged ends in front of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rondo.report.plots import PAGE_COLOUR, STYLE, to_svg
from rondo.sweep.result import Result, Row
from rondo.sweep.space import Choices, Range, axes_of

BEST, OTHER, LOST = "#2a7de1", "#8a8f98", "#d1495b"
"""The colours of the best setting, of the others, and of what failed."""

WIDTH_OF_AXIS, HEIGHT = 1.9, 4.0
"""The room of an axis and of the whole picture, in inches."""

NUM_TICKS = 5
"""The ticks of an axis of numbers, at most."""

APART = 0.055
"""How far apart ticks are at least, in heights of the axis."""


HALO = (
    "<style>svg[aria-label*='sweep'] text { paint-order: stroke; stroke: #fff; stroke-width: 4px; "
    "stroke-linejoin: round; } @media (prefers-color-scheme: dark) { "
    "svg[aria-label*='sweep'] text { stroke: #1b2029; } }</style>"
)
"""Has texts stand out from the lines behind them, on light and dark pages."""


@dataclass(frozen=True)
class Scale:
    """An upright axis.

    Args:
        name: What stands below it.
        place: Where a value lies, from 0 below to 1 above.
        ticks: The places and texts of its ticks.
    """

    name: str
    place: Callable[[str], float]
    ticks: tuple[tuple[float, str], ...]


def parallel(result: Result) -> str:
    """Returns the picture of a sweep."""
    rows = result.rows
    scales = [scale_of(axis) for axis in axes_of(result.plan.over)]
    losses = [row.val_loss for row in rows if _has_loss(row)]
    loss = loss_scale(losses)
    width = max(5.2, WIDTH_OF_AXIS * (len(scales) + 1))
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "parallel"}):
        figure = Figure(figsize=(width, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for number, scale in enumerate([*scales, loss]):
            _draw_scale(axes, number, scale)
        for row in reversed(rows):  # the best last, on top
            _draw_row(axes, row, scales, loss, is_best=row is rows[0])
        _finish(axes, len(scales), rows)
        svg = to_svg(figure, f"settings of a sweep of {result.plan.task} and their val loss")
    return svg.replace(">", f">{HALO}", 1)


def scale_of(axis: Choices | Range) -> Scale:
    """Returns the axis of a name: the values of a list evenly, a range as it is spread."""
    name = axis.name.removeprefix("recipe.")
    if isinstance(axis, Range):
        return _scale(name, axis.low, axis.high, is_log=axis.is_log, is_whole=axis.is_whole)
    last = max(1, len(axis.values) - 1)
    places = {value: number / last for number, value in enumerate(axis.values)}
    if len(places) == 1:
        places = dict.fromkeys(places, 0.5)
    return Scale(name, places.__getitem__, tuple((at, value) for value, at in places.items()))


def loss_scale(losses: Sequence[float]) -> Scale:
    """Returns the axis of the loss."""
    low, high = (min(losses), max(losses)) if losses else (0.0, 1.0)
    return _scale("val loss", low, high, is_log=low > 0 and high > 10 * low)


def _scale(name: str, low: float, high: float, *, is_log: bool, is_whole: bool = False) -> Scale:
    begin, end = (math.log(low), math.log(high)) if is_log else (low, high)

    def place(text: str) -> float:
        value = math.log(float(text)) if is_log else float(text)
        return 0.5 if end == begin else (value - begin) / (end - begin)

    inner = _powers(low, high) if is_log else _even(low, high, is_whole=is_whole)
    ticks = [(place(repr(value)), _short(value)) for value in dict.fromkeys((low, high))]
    for value in inner:
        at = place(repr(value))
        if all(abs(at - other) >= APART for other, _ in ticks):
            ticks.append((at, _short(value)))
    return Scale(name, place, tuple(sorted(ticks)))


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, as many as can be read."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    every = max(1, math.ceil(len(powers) / NUM_TICKS))
    return [float(f"1e{power}") for power in powers[::every]]


def _short(value: float) -> str:
    """A number in three digits, such as `0.000328`, `485` or `2.71e+04`."""
    return f"{value:g}" if value == round(value) and abs(value) < 1e5 else f"{value:.3g}"


def _even(low: float, high: float, *, is_whole: bool) -> list[float]:
    """Round numbers between two numbers."""
    found = MaxNLocator(nbins=NUM_TICKS, integer=is_whole).tick_values(low, high)
    return [float(value) for value in found if low < value < high]


def _has_loss(row: Row) -> bool:
    return not row.is_lost and math.isfinite(row.val_loss)


def _draw_scale(axes: Axes, number: int, scale: Scale) -> None:
    axes.plot([number, number], [0, 1], color=PAGE_COLOUR, linewidth=1, zorder=1)
    for at, text in scale.ticks:
        axes.plot([number - 0.02, number], [at, at], color=PAGE_COLOUR, linewidth=1, zorder=1)
        axes.text(number - 0.035, at, text, ha="right", va="center", fontsize=10, zorder=30)
    axes.text(number, -0.07, scale.name, ha="center", va="top", fontsize=11)


def _draw_row(axes: Axes, row: Row, scales: Sequence[Scale], loss: Scale, *, is_best: bool) -> None:
    heights = [
        scale.place(row.settings[key]) for scale, key in zip(scales, row.settings, strict=True)
    ]
    style: dict[str, Any] = {"color": OTHER, "linewidth": 1.4, "alpha": 0.75, "zorder": 5}
    if row.is_lost:
        style = {"color": LOST, "linewidth": 1.4, "linestyle": ":", "zorder": 4}
    elif is_best:
        style = {"color": BEST, "linewidth": 3, "zorder": 20}
    if _has_loss(row):
        heights.append(loss.place(repr(row.val_loss)))
    axes.plot(range(len(heights)), heights, marker="o", markersize=4, **style)


def _finish(axes: Axes, last: int, rows: Sequence[Row]) -> None:
    """Sets the limits, and says what the colours mean."""
    axes.set_axis_off()
    axes.set_xlim(-0.45, last + 0.3)
    axes.set_ylim(-0.16, 1.04)
    names = {BEST: "best"}
    if len(rows) > 1:
        names[OTHER] = "others"
    if any(row.is_lost for row in rows):
        names[LOST] = "failed or diverged"
    lines = [
        Line2D([], [], color=colour, linewidth=3 if colour == BEST else 1.4,
               linestyle=":" if colour == LOST else "-", label=name)
        for colour, name in names.items()
    ]  # fmt: skip
    axes.legend(handles=lines, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
