"""Accuracy over training time, a point for each network, with names that keep apart."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from rondo.training.plots import STYLE, to_svg

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


def accuracy_over_time(panels: dict[str, list[Point]]) -> str:
    """Returns accuracy over training time, a panel beside another, with the names of the points."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "time"}):
        figure = Figure(figsize=(5.2 * len(panels), 4.2), dpi=72, layout="constrained")
        for axes, (title, points) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            axes.set_title(title)
            axes.set_xscale("log")
            times = [point.seconds for point in points] or [1.0]
            axes.set_xlim(min(times) / 2, 4 * max(times))  # room for names on the right
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.set_xlabel("training time in s")
            axes.set_ylabel("accuracy in %")
            _draw_intervals(axes, points)
        figure.draw_without_rendering()  # finds where everything lies
        for axes, points in zip(figure.axes, panels.values(), strict=True):
            write_names(axes, points)
        return to_svg(figure, "accuracy over training time")


def _draw_intervals(axes: Axes, points: list[Point]) -> None:
    for point in points:
        bars = [[point.accuracy - point.low], [point.high - point.accuracy]]
        place = (point.seconds, point.accuracy)
        axes.errorbar(*place, yerr=bars, fmt="o", color=_colour_of(point), elinewidth=1.5)


def write_names(axes: Axes, points: list[Point]) -> None:
    """Writes the name of each point beside it, where it hides least of the others."""
    taken = [_box_of(axes, point) for point in points]
    for point, box in zip(points, list(taken), strict=True):
        names = [_name_beside(axes, point, place) for place in _places(box)]
        hidden = [sum(_overlap(name.get_window_extent(), b) for b in taken) for name in names]
        best = names[hidden.index(min(hidden))]
        taken.append(best.get_window_extent())
        for name in names:
            if name is not best:
                name.remove()


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
    ]


def _name_beside(axes: Axes, point: Point, place: tuple[float, float, str, str]) -> Annotation:
    x, y, horizontal, vertical = place
    name = axes.annotate(
        point.name, (x, y), xycoords="figure points", ha=horizontal, va=vertical,
        color=_colour_of(point), fontsize=9,
    )  # fmt: skip
    name.set_in_layout(False)
    return name


def _overlap(a: Bbox, b: Bbox) -> float:
    """The area that two boxes share."""
    shared = Bbox.intersection(a, b)
    return 0.0 if shared is None else float(shared.width * shared.height)
