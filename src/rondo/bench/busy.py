"""`rondo bench busy`: the drop-ins beside torch.nn's layers where cores are short.

Other processes keep the cores busy, a control group lets a side use a part of them, or it asks for
far more threads than there are. Rondo and torch.nn run in a process each, as in a program that uses
one of them: the threads of torch.nn stay awake for a while after each call, and would take the
processors from whoever comes next in the same process. The two take turns. In go the conditions,
out come the times of all calls of both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from multiprocessing.connection import Connection
from typing import Any

import torch

from rondo.bench.busy_sides import THEIRS, Case, ask, busy_processes, sides
from rondo.bench.cgroups import PERIOD_US, why_not
from rondo.bench.conformance import relative_error
from rondo.bench.options import OURS, Sizes
from rondo.bench.peak import Peak
from rondo.bench.shape_map import AGREE
from rondo.bench.study_options import BusyOptions, Condition
from rondo.bench.tables import RUNS, table

TURN_S, LIMITED_TURN_S = 0.1, 0.4
"""How long a side calls in a turn, in seconds, at least once. Within a control group that is longer
than its period: what a side did not use of it before its turn would count as speed."""

AWAKE_S = 0.03
"""How long nothing is asked before a turn, until the threads of the other side are asleep."""

LEAST_TURNS = 2
BAR = 3.0
"""How many times the median the 99th percentile of our calls should be at most."""

HEAD = """Each side has a process of its own, and they take turns: T = {num_steps}, \
I = H = {size}, float32. The times are median, mean and p99 in milliseconds, p99 the time that \
99 of 100 calls stay within (of fewer than 100 calls, the longest; each side had {calls} calls). \
The ratios are torch.nn's over Rondo's: above 1, Rondo is faster. Rondo's p99 should be within \
{bar:g} times its median. Busy neighbours are processes that do nothing but compute. A control \
group that has used up its part of {period:.0f} ms stands still until the next: one thread on 0.5 \
cores for 50 ms, which more than 1 of 100 calls meets where a call takes more than 0.5 ms. So p99 \
is 50 ms at least there, whatever runs."""


@dataclass(frozen=True)
class Calls:
    """The time of every call of a side, in seconds."""

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.times)

    @property
    def p99(self) -> float:
        """What 99 of 100 calls stay within; of fewer the longest."""
        ordered = sorted(self.times)
        return ordered[len(ordered) * 99 // 100]

    @property
    def tail(self) -> float:
        """The p99 over the median."""
        return self.p99 / self.median


@dataclass(frozen=True)
class BusyRow:
    """What was measured of a case under a condition."""

    suite: str
    case: str
    run: str
    sizes: Sizes
    condition: Condition
    calls: dict[str, Calls]
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, float]:
        """Of median, mean and p99: torch.nn's over ours."""
        if not self.calls:
            return {}
        ours, theirs = self.calls[OURS], self.calls[THEIRS]
        return {name: getattr(theirs, name) / getattr(ours, name) for name in FIGURES}


FIGURES = ("median", "mean", "p99")


def measure(options: BusyOptions) -> Iterator[BusyRow]:
    """Measures all cases beside each number of neighbours."""
    cases = [
        Case(kind, run, Sizes(options.num_steps, batch_size, options.size, options.size))
        for kind in options.kinds
        for run in options.passes
        for batch_size in options.batch_sizes
    ]
    todo = len(cases) * len(options.conditions)
    end = time.perf_counter() + options.budget_s
    for (limit, num_threads), conditions in groupby(options.conditions, _of_sides):
        with sides(num_threads, limit) as connections:
            for condition in conditions:
                with busy_processes(condition.neighbours):
                    for case in cases:
                        seconds = max(0.0, end - time.perf_counter()) / todo
                        yield _row(connections, case, condition, seconds)
                        todo -= 1


def without_missing(options: BusyOptions, say: Callable[[str], None]) -> BusyOptions:
    """Returns the options without limits where no control group can be made, which it says."""
    reason = why_not() if options.limits else None
    if reason is None:
        return options
    limits = ", ".join(f"{limit:g}" for limit in options.limits)
    say(f"limits of {limits} cores are left out: {reason}")
    return replace(options, limits=())


def _of_sides(condition: Condition) -> tuple[float | None, int | None]:
    """Conditions in which the same processes can serve."""
    return condition.limit, condition.num_threads


def _row(
    connections: dict[str, Connection], case: Case, condition: Condition, seconds: float
) -> BusyRow:
    """Has both sides take turns, for some time and some turns at least."""
    outputs = {}
    for side, connection in connections.items():
        outputs[side] = torch.tensor(ask(connection, side, case))
    apart = relative_error(outputs[OURS], outputs[THEIRS].double())
    found = BusyRow("busy", case.kind, case.run, case.sizes, condition, {})
    if not apart <= AGREE:
        found.failures[OURS] = f"the output is {apart:.1e} of its size from torch.nn's"
        return found
    times: dict[str, list[float]] = {side: [] for side in connections}
    turn_s = TURN_S if condition.limit is None else LIMITED_TURN_S
    end, number = time.perf_counter() + seconds, 0
    while number < LEAST_TURNS or time.perf_counter() < end:
        for side in reversed(connections) if number % 2 else connections:
            time.sleep(AWAKE_S)
            times[side] += ask(connections[side], side, turn_s)
        number += 1
    found.calls.update({side: Calls(tuple(values)) for side, values in times.items()})
    return found


# ---- what is shown ----


def tables(rows: Sequence[BusyRow], options: BusyOptions) -> str:
    """Returns a summary, and a table for each condition."""
    counts = [len(calls.times) for row in rows for calls in row.calls.values()] or [0]
    head = HEAD.format(
        num_steps=options.num_steps,
        size=options.size,
        calls=f"{min(counts)} to {max(counts)}",
        bar=BAR,
        period=PERIOD_US / 1e3,
    )
    found = {
        condition: [row for row in rows if row.condition == condition]
        for condition in options.conditions
    }
    parts = [head, _summary(found)]
    for condition, of_condition in found.items():
        if of_condition:
            parts += [f"## {_title(condition)}", _table(of_condition)]
    return "\n\n".join(parts)


def _summary(found: dict[Condition, list[BusyRow]]) -> str:
    """How many rows of each condition miss a bar."""
    lines = [["", "rows", "medians below 1", "means below 1",
              f"Rondo's p99 beyond {BAR:g} medians", "torch.nn's"]]  # fmt: skip
    for condition, rows in found.items():
        timed = [row for row in rows if row.calls]
        slower = [sum(row.ratios[name] < 1 for row in timed) for name in ("median", "mean")]
        tails = [sum(row.calls[side].tail > BAR for row in timed) for side in (OURS, THEIRS)]
        if rows:
            numbers = map(str, (len(timed), *slower, *tails))
            lines.append([_title(condition), *numbers])
    return table(lines)


def _table(rows: Sequence[BusyRow]) -> str:
    titles = ["", "run", "B", "Rondo, ms", "torch.nn, ms", "medians", "means", "p99s",
              "Rondo's p99 / median", "torch.nn's"]  # fmt: skip
    return table([titles, *map(_line, rows)])


def _line(row: BusyRow) -> list[str]:
    words = [row.case, RUNS[row.run], str(row.sizes.batch_size)]
    if row.failures:
        return [*words, "failed", *["–"] * 6]
    times = [", ".join(f"{1e3 * getattr(row.calls[side], name):.2f}" for name in FIGURES)
             for side in (OURS, THEIRS)]  # fmt: skip
    ratios = [f"**{ratio:.2f}**" for ratio in row.ratios.values()]
    ours, theirs = (row.calls[side].tail for side in (OURS, THEIRS))
    return [*words, *times, *ratios, f"{ours:.1f}{', missed' if ours > BAR else ''}",
            f"{theirs:.1f}"]  # fmt: skip


def _title(condition: Condition) -> str:
    """A condition in words."""
    number = condition.neighbours
    words = f"{number or 'No'} busy neighbour{'' if number == 1 else 's'}"
    if condition.limit is not None:
        cores = f"{condition.limit:g} core{'' if condition.limit == 1 else 's'}"
        words = f"A control group of {cores}"
    threads = condition.num_threads
    of_threads = f", {threads} thread{'' if threads == 1 else 's'}"
    return words if threads is None else words + of_threads


def progress(row: BusyRow) -> str:
    """Returns what was measured, in one line."""
    head = f"busy: {row.case} ({row.sizes}), {RUNS[row.run]}, {_title(row.condition)}"
    if row.failures:
        return f"{head}: FAILED: {row.failures[OURS]}"
    medians = [f"{side} {1e3 * calls.median:.2f} ms (p99 {1e3 * calls.p99:.2f})"
               for side, calls in row.calls.items()]  # fmt: skip
    return f"{head}: {', '.join(medians)}"


def values(row: BusyRow, peak: Peak | None) -> dict[str, Any]:
    """Returns a row as JSON has it: figures and ratios, without the time of each call."""
    calls = {
        side: {"calls": len(calls.times)} | {name: getattr(calls, name) for name in FIGURES}
        for side, calls in row.calls.items()
    }
    found = asdict(row)
    return found | {"sizes": row.sizes._asdict(), "calls": calls, "ratios": row.ratios}
