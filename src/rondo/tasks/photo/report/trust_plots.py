"""The figures of a report that say how far answers can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib

from rondo.measures.abstention import Answered
from rondo.measures.calibration import Bin
from rondo.report.plots import (
    COLOURS,
    OTHER_COLOUR,
    PAGE_COLOUR,
    STYLE,
    add_legend,
    new_figure,
    to_svg,
)
from rondo.tasks.photo.robustness import UNCHANGED, Trial

SOFT_COLOUR = "#8a8f98"
"""The colour of what stands beside the figures that count."""

CORRUPTION_COLOURS = ("#2a7de1", "#d1495b", "#c98500", "#2c9c69", "#8b5cd6", "#8a8f98")
"""A colour for each corruption, in their order."""

MARKERS = "osD^vX"
"""A marker for each corruption, for readers who do not tell the colours apart."""


def reliability_plot(
    without: Sequence[Bin], with_it: Sequence[Bin] | None, least_confidence: int = 50
) -> str:
    """Returns the share of right answers over their confidence.

    Args:
        without: The bins of the answers without a temperature.
        with_it: Those with it, or None where there is none.
        least_confidence: Where the axis of the confidence begins, in %, a multiple of 10.
    """
    series = [("probabilities as they are", without, COLOURS["test"])]
    if with_it is not None:
        series = [
            ("without temperature", without, SOFT_COLOUR),
            ("with temperature", with_it, COLOURS["test"]),
        ]
    largest = max(item.num_photos for _, bins, _ in series for item in bins)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "reliability"}):
        figure, axes = new_figure(5.2, 3.8)
        axes.plot(
            [least_confidence, 100],
            [least_confidence, 100],
            color=PAGE_COLOUR,
            linestyle=":",
            linewidth=1,
        )
        for label, bins, colour in series:
            x = [100 * item.predicted for item in bins]
            y = _observed(bins)
            sizes = [20 + 180 * item.num_photos / largest for item in bins]
            axes.plot(x, y, color=colour, alpha=0.5)
            axes.scatter(x, y, s=sizes, color=colour, label=label, alpha=0.9, clip_on=False)
        least = min((y for _, bins, _ in series for y in _observed(bins)), default=50.0)
        step = 10 if least >= 30 else 20
        lowest = min(least_confidence, step * int(least // step))
        axes.set_xlim(least_confidence - 1, 101)
        axes.set_ylim(lowest - 1, 101)
        axes.set_xticks(range(least_confidence, 101, 10))
        axes.set_yticks(range(lowest, 101, step))
        axes.set_xlabel("confidence: probability of the answer in %")
        axes.set_ylabel("answered rightly in %")
        legend = add_legend(axes, 2)
        for handle in legend.legend_handles if legend else ():
            if handle is not None:
                handle.set(sizes=[40])
        return to_svg(figure, "share of right answers over their confidence")


def _observed(bins: Sequence[Bin]) -> list[float]:
    """The share of right answers of each bin in %."""
    return [100 * item.observed for item in bins]


def coverage_plot(curves: Mapping[str, Sequence[Answered]]) -> str:
    """Returns the accuracy of what is answered over the share that is, a curve for each split."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "coverage"}):
        figure, axes = new_figure(5.2, 3.6)
        for split, points in curves.items():
            x = [100 * point.coverage.value for point in points]
            axes.plot(
                x,
                [100 * point.accuracy.value for point in points],
                color=COLOURS.get(split, OTHER_COLOUR),
                label=split,
            )
            axes.fill_between(
                x,
                [100 * point.accuracy.low for point in points],
                [100 * point.accuracy.high for point in points],
                color=COLOURS.get(split, OTHER_COLOUR),
                alpha=0.12,
                linewidth=0,
            )
        axes.set_xlim(0, 101)
        axes.set_ylim(_floor(curves), 101)
        axes.set_xlabel("coverage: share that is answered in %")
        axes.set_ylabel("of these right in %")
        add_legend(axes)
        return to_svg(figure, "accuracy over coverage")


def robustness_plot(trials: Sequence[Trial], split: str) -> str:
    """Returns the accuracy over the strength of each corruption."""
    unchanged = next(trial for trial in trials if trial.corruption == UNCHANGED)
    names = dict.fromkeys(trial.corruption for trial in trials if trial.level)
    levels = sorted({trial.level for trial in trials})
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": f"robustness {split}"}):
        figure, axes = new_figure(5.2, 3.8)
        for name, colour, marker in zip(names, CORRUPTION_COLOURS, MARKERS, strict=True):
            of_name = [unchanged, *(trial for trial in trials if trial.corruption == name)]
            axes.plot(
                [trial.level for trial in of_name],
                [100 * trial.accuracy.value for trial in of_name],
                color=colour,
                marker=marker,
                markersize=5,
                label=name,
            )
        axes.set_xticks(levels, [UNCHANGED, "weak", "medium", "strong"][: len(levels)])
        axes.set_ylabel("accuracy in %")
        add_legend(axes, 3)
        return to_svg(figure, f"accuracy on {split} under corruptions")


def _floor(curves: Mapping[str, Sequence[Answered]]) -> float:
    """Returns the least accuracy in % that a plot has to show; wide intervals may go below it."""
    values = [100 * point.accuracy.value for points in curves.values() for point in points]
    least = min((value for value in values if math.isfinite(value)), default=0.0)
    return max(0.0, 5 * (least // 5) - 5)
