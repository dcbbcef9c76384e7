"""Accuracy over training time, a point for each network, with names that keep apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from rondo.report.plots import STYLE, to_svg

FAMILIES = {
    "fcnn": "#8a8f98",
    "cnn": "#c98500",
    "resnet": "#2a7de1",
    "tl": "#2c9c69",
}
"""A colour for each family of networks, by what its names begin with."""

RECURRENT_COLOUR = "#d1495b"
"""The colour of all other networks, which are recurrent."""


@dataclass(frozen=True)
class Point:
    """A network in a plot: training time in seconds; accuracy and its interval in %."""

    name: str
    seconds: float
    accuracy: float
    low: float
    high: float


PANEL_SIZE = 7.4, 4.2
"""The width and height of a panel in inches."""

NUM_TICKS = 9
"""The most times that are written below a panel."""


def accuracy_over_time(panels: dict[str, list[Point]]) -> str:
    """Returns accuracy over training time, a panel above another, with the names of the points."""
    width, height = PANEL_SIZE
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "time"}):
        figure = Figure(figsize=(width, height * len(panels)), dpi=72, layout="constrained")
        for axes, (title, points) in zip(
            figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
        ):
            axes.set_title(title, fontsize=12)
            axes.set_ylabel("accuracy in %")
            axes.margins(y=0.15)  # room for names above and below
            _draw_intervals(axes, points)
            _scale_time(axes, [point.seconds for point in points] or [1.0])
        figure.draw_without_rendering()  # finds where everything lies
        for axes, points in zip(figure.axes, panels.values(), strict=True):
            write_names(axes, points)
        return to_svg(figure, "accuracy over training time")


def _scale_time(axes: Axes, times: list[float]) -> None:
    """A logarithmic scale with round times, as many as can be read."""
    low, high = min(times) / 1.6, 1.6 * max(times)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(round_times(low, high))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training time in s")


def round_times(low: float, high: float) -> list[float]:
    """Returns times such as 10, 20, 50 between two times, at most `NUM_TICKS`.

    Example:
        >>> from rondo.tasks.photo.time_plot import round_times
        >>> round_times(30, 400), round_times(0.5, 200_000)
        ([50, 100, 200], [1, 10, 100, 1000, 10000, 100000])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = 1
    while True:
        factors = (1, 2, 5) if every == 1 else (1,)
        found = [n * 10**power for power in powers[:: max(1, every - 1)] for n in factors]
        found = [time for time in found if low <= time <= high]
        if len(found) <= NUM_TICKS:
            return found
        every += 1


def _draw_intervals(axes: Axes, points: list[Point]) -> None:
    for point in points:
        bars = [[point.accuracy - point.low], [point.high - point.accuracy]]
        place = (point.seconds, point.accuracy)
        axes.errorbar(*place, yerr=bars, fmt="o", color=_colour_of(point), elinewidth=1.5)


def write_names(axes: Axes, points: list[Point]) -> None:
    """Writes the name of each point beside it, where it hides least of the others."""
    taken = [_box_of(axes, point) for point in points]
    frame = axes.get_window_extent()
    for point, box in zip(points, list(taken), strict=True):
        names = [_name_beside(axes, point, place) for place in _places(box)]
        boxes = [name.get_window_extent() for name in names]
        hidden = [sum(_overlap(name, b) for b in taken) + _outside(name, frame) for name in boxes]
        best = names[hidden.index(min(hidden))]
        taken.append(best.get_window_extent())
        for name in names:
            if name is not best:
                name.remove()


def _outside(box: Bbox, frame: Bbox) -> float:
    """The area of a box that lies outside a frame."""
    return float(box.width * box.height) - _overlap(box, frame)


def _colour_of(point: Point) -> str:
    return FAMILIES.get(point.name.split("_")[0], RECURRENT_COLOUR)


def _box_of(axes: Axes, point: Point) -> Bbox:
    """Where a point and its interval are drawn, in points of the figure."""
    ends = [(point.seconds, point.low), (point.seconds, point.high)]
    (x, low), (_, high) = axes.transData.transform(ends)
    return Bbox.from_extents(x - 4, low - 4, x + 4, high + 4)


def _places(box: Bbox) -> list[tuple[float, float, str, str]]:
    """Where a name may stand beside a box, best first: x, y, and which side of it is there."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return [
        (box.x1 + 3, y, "left", "center"),
        (x, box.y1 + 1, "center", "bottom"),
        (x, box.y0 - 1, "center", "top"),
        (box.x0 - 3, y, "right", "center"),
        (box.x1, box.y1, "left", "bottom"),
        (box.x1, box.y0, "left", "top"),
        (box.x0, box.y1, "right", "bottom"),
        (box.x0, box.y0, "right", "top"),
        *((x, edge, "center", side) for rise in (13, 26, 39)
          for edge, side in ((box.y1 + rise, "bottom"), (box.y0 - rise, "top"))),
    ]  # fmt: skip


def _name_beside(axes: Axes, point: Point, place: tuple[float, float, str, str]) -> Annotation:
    x, y, horizontal, vertical = place
    name = axes.annotate(
        point.name, (x, y), xycoords="figure points", ha=horizontal, va=vertical,
        color=_colour_of(point), fontsize=10.6,
    )  # fmt: skip
    name.set_in_layout(False)
    return name


def _overlap(a: Bbox, b: Bbox) -> float:
    """The area that two boxes share."""
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else float(shared.width * shared.height)
