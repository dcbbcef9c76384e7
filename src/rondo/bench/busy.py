"""`rondo bench busy`: the drop-ins beside torch.nn's layers while other processes keep cores busy.

Rondo and torch.nn run in a process each, as in a program that uses one of them: the threads of
torch.nn stay awake for a while after each call, and would take the processors from whoever comes
next in the same process. The two take turns. In go the numbers of busy neighbours and of threads,
out come the times of all calls of both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch

from rondo.bench.busy_sides import THEIRS, Case, ask, busy_processes, sides
from rondo.bench.conformance import relative_error
from rondo.bench.options import OURS, Sizes
from rondo.bench.peak import Peak
from rondo.bench.shape_map import AGREE
from rondo.bench.study_options import BusyOptions
from rondo.bench.tables import RUNS, table

TURN_S = 0.1
"""How long a side calls in a turn, in seconds, at least once."""

LEAST_TURNS = 4
BAR = 3.0
"""How many times the median the 99th percentile of our calls should be at most."""

HEAD = """So many busy neighbours, processes that do nothing but compute, run beside the \
measurement. Each side has a process of its own, of {threads}, and they take turns: \
T = {num_steps}, I = H = {size}, float32. The times are median, mean and p99 in milliseconds, p99 \
the time that 99 of 100 calls stay within (of fewer than 100 calls, the longest; each side had \
{calls} calls). The ratios are torch.nn's over Rondo's: above 1, Rondo is faster. Rondo's p99 \
should be within {bar:g} times its median."""


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


@dataclass(frozen=True)
class BusyRow:
    """What was measured of a case beside so many neighbours."""

    suite: str
    case: str
    run: str
    sizes: Sizes
    neighbours: int
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
    todo = len(cases) * len(options.neighbours)
    with sides(options.num_threads) as connections:
        end = time.perf_counter() + options.budget_s
        for neighbours in options.neighbours:
            with busy_processes(neighbours):
                for case in cases:
                    seconds = max(0.0, end - time.perf_counter()) / todo
                    yield _row(connections, case, neighbours, seconds)
                    todo -= 1


def _row(
    connections: dict[str, Connection], case: Case, neighbours: int, seconds: float
) -> BusyRow:
    """Has both sides take turns, for some time and some turns at least."""
    outputs = {}
    for side, connection in connections.items():
        outputs[side] = torch.tensor(ask(connection, side, case))
    apart = relative_error(outputs[OURS], outputs[THEIRS].double())
    found = BusyRow("busy", case.kind, case.run, case.sizes, neighbours, {})
    if not apart <= AGREE:
        found.failures[OURS] = f"the output is {apart:.1e} of its size from torch.nn's"
        return found
    times: dict[str, list[float]] = {side: [] for side in connections}
    end, number = time.perf_counter() + seconds, 0
    while number < LEAST_TURNS or time.perf_counter() < end:
        for side in reversed(connections) if number % 2 else connections:
            times[side] += ask(connections[side], side, TURN_S)
        number += 1
    found.calls.update({side: Calls(tuple(values)) for side, values in times.items()})
    return found


# ---- what is shown ----


def tables(rows: Sequence[BusyRow], options: BusyOptions) -> str:
    """Returns a table for each number of neighbours."""
    counts = [len(calls.times) for row in rows for calls in row.calls.values()] or [0]
    threads = options.num_threads or torch.get_num_threads()
    head = HEAD.format(
        threads=f"{threads} thread{'s' if threads > 1 else ''}",
        num_steps=options.num_steps,
        size=options.size,
        calls=f"{min(counts)} to {max(counts)}",
        bar=BAR,
    )
    parts = [head]
    for neighbours in options.neighbours:
        found = [row for row in rows if row.neighbours == neighbours]
        if found:
            parts += [f"## {_neighbours(neighbours)}", _table(found)]
    return "\n\n".join(parts)


def _table(rows: Sequence[BusyRow]) -> str:
    titles = ["", "run", "B", "Rondo, ms", "torch.nn, ms", "medians", "means", "p99s",
              "Rondo's p99 / median"]  # fmt: skip
    return table([titles, *map(_line, rows)])


def _line(row: BusyRow) -> list[str]:
    words = [row.case, RUNS[row.run], str(row.sizes.batch_size)]
    if row.failures:
        return [*words, "failed", *["–"] * 5]
    times = [", ".join(f"{1e3 * getattr(row.calls[side], name):.2f}" for name in FIGURES)
             for side in (OURS, THEIRS)]  # fmt: skip
    ratios = [f"**{ratio:.2f}**" for ratio in row.ratios.values()]
    tail = row.calls[OURS].p99 / row.calls[OURS].median
    return [*words, *times, *ratios, f"{tail:.1f}{', missed' if tail > BAR else ''}"]


def _neighbours(number: int) -> str:
    return f"{number or 'No'} busy neighbour{'' if number == 1 else 's'}"


def progress(row: BusyRow) -> str:
    """Returns what was measured, in one line."""
    head = f"busy: {row.case} ({row.sizes}), {RUNS[row.run]}, {_neighbours(row.neighbours).lower()}"
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
