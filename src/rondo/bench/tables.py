"""The tables, in Markdown, and the line that tells of a row as soon as it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from rondo.bench.measure import Spread
from rondo.bench.peak import Peak
from rondo.bench.rows import IN_SEQUENCE, YARDSTICKS, Row
from rondo.bench.suites import RESET_PROBABILITY

BOUND = (
    "The bound is the least time for the products (2 T B gates H (I + H) operations forward, three "
    "times that in training; the gradient of x, a part of them, is not asked for) and for reading "
    "the weights of h at each step, at the rates above."
)
"""What a share of the bound is of."""

CAPTIONS = {
    "layers": "Each peer's time over Rondo's: above 1, Rondo is faster. " + BOUND,
    "cells": "Each peer's time over Rondo's: above 1, Rondo is faster. The last ratio is Rondo's "
    "time for a multiplication, over that of its LSTM. " + BOUND,
    "ragged": "The time over that of the dense batch: below 1, less is done. Resets come before a "
    f"step with probability {RESET_PROBABILITY}. A bar is the most that Rondo should take.",
    "streaming": "One step of one row, by `Recurrent.stream`. Each other's time over its: above "
    "1, it is faster. The arithmetic is what a step takes in a sequence that is run by one call.",
    "import": "In a new process each time, after `import torch`. The bar is the most that it "
    "should take.",
}
"""What the numbers of a suite mean."""

RUNS = {
    "forward": "forward",
    "training": "forward and backward",
    "step": "step",
    "import": "import",
}
UNITS = {"forward": ("ms", 1e3), "training": ("ms", 1e3), "step": ("µs", 1e6), "import": ("s", 1.0)}
"""In what the time of a run is told, and how many of it make a second."""


def suite_table(suite: str, rows: Sequence[Row], peak: Peak | None) -> str:
    """Returns the rows of a suite as a table, below what the numbers mean."""
    columns = _columns(rows, peak)
    lines = [list(columns), *([text(row) for text in columns.values()] for row in rows)]
    return f"{CAPTIONS[suite]}\n\n{table(lines)}"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown, of which the first line holds the titles."""
    titles, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [titles, ["---"] * len(titles), *rest])


def progress(row: Row) -> str:
    """Returns what was measured, in one line."""
    head = " ".join(filter(None, [f"{row.suite}: {row.case}", row.sizes and f"({row.sizes})"]))
    parts = [f"{name} {_plain_time(row, times.median)}" for name, times in row.times.items()]
    parts += [f"{name} FAILED: {failure}" for name, failure in row.failures.items()]
    return f"{head}, {RUNS[row.run]}: {', '.join(parts)}"


def _columns(rows: Sequence[Row], peak: Peak | None) -> dict[str, Callable[[Row], str]]:
    """The title of each column, and what stands in it; those that are empty are left out."""
    base, unit = rows[0].base, UNITS[rows[0].run][0]
    bars = {name: f" (bar {bar})" for row in rows for name, bar in row.bars.items()}
    columns: dict[str, Callable[[Row], str]] = {"": lambda row: row.case}
    if any(row.sizes for row in rows):
        columns["T, B, I, H"] = lambda row: str(row.sizes)
    columns["run"] = lambda row: RUNS[row.run]
    columns[f"{base}, {unit}{bars.get(base, '')}"] = partial(_time, base)
    if peak is not None and any(row.num_gates for row in rows):
        columns["% of bound"] = partial(_share, peak)
    if any(row.beyond_arithmetic() for row in rows):
        columns[f"arithmetic, {unit}"] = partial(_time, IN_SEQUENCE)
        columns[f"beyond it, {unit}"] = lambda row: _spread_time(row, row.beyond_arithmetic())
    for name in dict.fromkeys(name for row in rows for name in (*row.times, *row.failures)):
        if name not in (base, *YARDSTICKS):
            columns[name + bars.get(name, "")] = partial(_ratio, name)
    if any(row.per_multiplication() for row in rows):
        columns["per multiplication"] = lambda row: spread_text(row.per_multiplication())
    for name in dict.fromkeys(name for row in rows for name in row.compile_s):
        columns[f"{name} compiles, s"] = partial(_compile, name)
    return columns


def _time(name: str, row: Row) -> str:
    if name in row.failures:
        return "failed"
    times = row.times.get(name)
    return _spread_time(row, times) + _missed(row, name, times)


def _spread_time(row: Row, times: Spread | None) -> str:
    if times is None:
        return "–"
    low, high = (_number(row, value) for value in times.shown)
    return f"{_number(row, times.median)} ({low}–{high})"


def _ratio(name: str, row: Row) -> str:
    if name in row.failures:
        return "failed"
    ratio = row.ratios().get(name)
    return spread_text(ratio) + _missed(row, name, ratio)


def _missed(row: Row, name: str, spread: Spread | None) -> str:
    """A word where a median is above its bar."""
    return ", missed" if spread and spread.median > row.bars.get(name, math.inf) else ""


def spread_text(spread: Spread | None) -> str:
    """A ratio with what is shown of its spread; bold where that does not cover 1."""
    if spread is None:
        return "–"
    low, high = spread.shown
    interval = f"({low:.2f}–{high:.2f})"
    if spread.tells_nothing:
        return f"{spread.median:.2f} {interval}, covers 1"
    return f"**{spread.median:.2f}** {interval}"


def _share(peak: Peak, row: Row) -> str:
    share = row.share_of_bound(peak)
    return "–" if share is None else f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:.0f}"


def _compile(name: str, row: Row) -> str:
    return f"{row.compile_s[name]:.1f}" if name in row.compile_s else "–"


def _plain_time(row: Row, seconds: float) -> str:
    return f"{_number(row, seconds)} {UNITS[row.run][0]}"


def _number(row: Row, seconds: float) -> str:
    """A time in the unit of its row, with three digits or more."""
    value = seconds * UNITS[row.run][1]
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"
