"""`rondo bench token`: the time of a token by the size of the batch, beside three others.

In go kinds, passes and batch sizes, out comes a row for each: the times of Rondo's layer, of
torch.nn's, of ONNX Runtime and of JAX with the same weights. All take turns in one process on as
many threads. Each first agrees with the plain loop in float64 at the whole shape. A token is a step
of a row: a batch has T B of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from rondo.bench import peers
from rondo.bench.cells import TORCH_CELLS
from rondo.bench.measure import Spread, take_turns_for
from rondo.bench.options import OURS, PEERS, Sizes
from rondo.bench.rows import Row
from rondo.bench.study_options import TokenOptions
from rondo.bench.suites import checked_modules, pause_s, runs_of
from rondo.bench.tables import RUNS, spread_text, table

TURN_S = 0.01
LEAST_ROUNDS, MOST_ROUNDS = 5, 40

HEAD = """The time of a token in microseconds: of a call over the T B steps of its rows. T = \
{num_steps}, I = H = {size}, float32, {threads} for each. Medians over {rounds} rounds in which \
all take turns in one process, in brackets the quartiles, or the lowest and highest of fewer than \
8 rounds. The ratios are each other's time over Rondo's: above 1, Rondo is faster; they are bold \
where their spread does not cover 1. ONNX Runtime runs forward alone."""


def without_missing(options: TokenOptions, say: Callable[[str], None]) -> TokenOptions:
    """Returns the options less the peers that are not installed, which it says."""
    return replace(options, peers=peers.installed(options.peers, say))


def measure(options: TokenOptions) -> Iterator[Row]:
    """Measures all batch sizes of a kind, then those of the next."""
    todo = len(options.kinds) * len(options.batch_sizes) * len(options.passes)
    end = time.perf_counter() + options.budget_s
    for kind in options.kinds:
        for batch_size in options.batch_sizes:
            sizes = Sizes(options.num_steps, batch_size, options.size, options.size)
            sides, check = checked_modules(kind, sizes, options.peers)
            for run in options.passes:
                seconds = max(0.0, end - time.perf_counter()) / todo
                runs = runs_of(sides, run, check.failures)
                rounds, pause = (LEAST_ROUNDS, MOST_ROUNDS), pause_s(runs, options.is_quick)
                times = take_turns_for(runs, seconds, TURN_S, *rounds, pause)
                gates = TORCH_CELLS[kind][1]
                yield Row("token", kind, run, sizes, times, num_gates=gates,
                          failures=check.failures)  # fmt: skip
                todo -= 1


def token_us(row: Row) -> dict[str, Spread]:
    """The time of a token of each side, in microseconds."""
    assert row.sizes is not None
    factor = 1e6 / (row.sizes.num_steps * row.sizes.batch_size)
    return {name: times.scaled(factor) for name, times in row.times.items()}


def tables(rows: Sequence[Row], options: TokenOptions) -> str:
    """Returns a table for each kind and pass, below what the numbers mean."""
    counts = {len(times.values) for row in rows for times in row.times.values()} or {0}
    number = torch.get_num_threads()
    head = HEAD.format(
        num_steps=options.num_steps,
        size=options.size,
        threads=f"{number} thread{'s' if number > 1 else ''}",
        rounds=f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(*counts),
    )
    parts = [head]
    for kind in options.kinds:
        for run in options.passes:
            found = [row for row in rows if (row.case, row.run) == (kind, run)]
            if found:
                parts += [f"## {kind}, {RUNS[run]}", _table(found, options)]
    return "\n\n".join(parts)


def _table(rows: Sequence[Row], options: TokenOptions) -> str:
    names = [PEERS[peer] for peer in options.peers]
    shown = [name for name in names if any(name in (*row.times, *row.failures) for row in rows)]
    titles = [
        "B",
        *(f"{name}, µs" for name in (OURS, *shown)),
        *(f"{name} over {OURS}" for name in shown),
    ]
    return table([titles, *(_line(row, shown) for row in rows)])


def _line(row: Row, others: Sequence[str]) -> list[str]:
    assert row.sizes is not None
    times, ratios = token_us(row), row.ratios()
    return [
        str(row.sizes.batch_size),
        *(_time(row, times.get(name), name) for name in (OURS, *others)),
        *(spread_text(ratios.get(name)) for name in others),
    ]


def _time(row: Row, times: Spread | None, name: str) -> str:
    if name in row.failures:
        return "failed"
    return "–" if times is None else f"{times.median:.3g}"
