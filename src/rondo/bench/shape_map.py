"""`rondo bench map`: the drop-ins beside torch.nn's layers, over many shapes.

In go kinds, passes and shapes, out comes a row for each: the times of both, which take turns in one
process, and their ratio. The largest shapes are first, so that the time that is left is shared
among the others. Both first agree: with the plain loop in float64 over a few steps, and with each
other at the whole shape.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from functools import cache

from torch import Tensor, nn

import rondo.layers
from rondo.bench import peers
from rondo.bench.cells import TORCH_CELLS
from rondo.bench.conformance import Gate, gate
from rondo.bench.contenders import Contender, of_module
from rondo.bench.measure import Spread, take_turns_for
from rondo.bench.options import OURS, PEERS, Sizes
from rondo.bench.rows import Row
from rondo.bench.study_options import MOST_FLOPS, MapOptions
from rondo.bench.tables import RUNS, table

THEIRS = PEERS["nn"]
TURN_S = 0.003
LEAST_ROUNDS, MOST_ROUNDS = 3, 60

CHECKED_STEPS = 4
"""Over how many steps both are compared with the plain loop in float64."""

AGREE = 1e-4
"""How far the two may be apart, of the size of a result, in float32 over all steps."""

HEAD = """torch.nn's time over that of Rondo's layer with the same weights: above 1, Rondo is \
faster. Input size = hidden size = H, float32. Both take turns in one process; a number is the \
median over {rounds} rounds, in brackets its quartiles, or the lowest and highest of fewer than 8 \
rounds; it is bold where these do not cover 1. Shapes with more than {most:.0f} GFLOP, \
2 T B H (I + H), in a forward pass for each gate are left out ("–"). Training is forward and \
backward; x needs no gradient."""


def measure(options: MapOptions) -> Iterator[Row]:
    """Measures all shapes, the largest first."""
    shapes = sorted(options.shapes, key=lambda sizes: sizes.flops(1, training=False), reverse=True)
    todo = len(options.kinds) * len(options.passes) * len(shapes)
    end = time.perf_counter() + options.budget_s
    for sizes in shapes:
        for kind in options.kinds:
            both = contenders(kind, *peers.new_batch(sizes))
            failures = _failures(kind, sizes, both)
            for run in options.passes:
                seconds = max(0.0, end - time.perf_counter()) / todo
                times = {} if failures else _times(both, run, seconds)
                gates = TORCH_CELLS[kind][1]
                yield Row("map", kind, run, sizes, times, num_gates=gates, failures=failures)
                todo -= 1


def _times(both: Sequence[Contender], run: str, seconds: float) -> dict[str, Spread]:
    runs = {one.name: getattr(one, run) for one in both}
    return take_turns_for(runs, seconds, TURN_S, LEAST_ROUNDS, MOST_ROUNDS)


def _failures(kind: str, sizes: Sizes, both: Sequence[Contender]) -> dict[str, str]:
    """What is wrong with either side, by name."""
    few = sizes._replace(num_steps=min(CHECKED_STEPS, sizes.num_steps))
    failures = few_steps_failures(kind, few)
    if failures:
        return failures
    ours, theirs = both
    exact = {name: value.double() for name, value in theirs.results().items()}
    budgets = dict.fromkeys(exact, AGREE)
    failure = Gate(exact, budgets, budgets).failure(ours)
    return {} if failure is None else {OURS: failure}


@cache
def few_steps_failures(kind: str, sizes: Sizes) -> dict[str, str]:
    """What is wrong with either side beside the plain loop, by name."""
    x, grad_y = peers.new_batch(sizes)
    checked = gate(_layers(kind, sizes.hidden_size)[0], x, grad_y)
    found = {one.name: checked.failure(one) for one in contenders(kind, x, grad_y)}
    return {name: failure for name, failure in found.items() if failure is not None}


def contenders(kind: str, x: Tensor, grad_y: Tensor) -> list[Contender]:
    """Returns Rondo and torch.nn on a batch."""
    _, *layers = _layers(kind, x.shape[2])
    return [_contender(*named, x, grad_y) for named in zip((OURS, THEIRS), layers, strict=True)]


def _contender(name: str, layer: nn.Module, x: Tensor, grad_y: Tensor) -> Contender:
    return of_module(name, layer, lambda: layer(x)[0], grad_y)


@cache
def _layers(kind: str, size: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A cell, and the layers of both with its weights; they serve all batches."""
    cell = TORCH_CELLS[kind][0](size, size)
    ours, theirs = (
        peers.with_weights_of(cell, getattr(place, kind)) for place in (rondo.layers, nn)
    )
    return cell, ours, theirs


# ---- what is shown ----


def tables(rows: Sequence[Row], options: MapOptions) -> str:
    """Returns a summary, and a grid for each kind and pass."""
    counts = {len(times.values) for row in rows for times in row.times.values()} or {0}
    rounds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(*counts)
    parts = [HEAD.format(rounds=rounds, most=MOST_FLOPS / 1e9), _summary(rows, options)]
    for kind, run in _panels(options):
        parts += [f"## {kind}, {RUNS[run]}", _grid(_of(rows, kind, run), options)]
    return "\n\n".join(parts)


def _panels(options: MapOptions) -> list[tuple[str, str]]:
    return [(kind, run) for kind in options.kinds for run in options.passes]


def _of(rows: Sequence[Row], kind: str, run: str) -> dict[Sizes, Row]:
    """The rows of a kind and a pass, by their sizes."""
    found = {row.sizes: row for row in rows if (row.case, row.run) == (kind, run)}
    return {sizes: row for sizes, row in found.items() if sizes is not None}


def _summary(rows: Sequence[Row], options: MapOptions) -> str:
    lines = [["", "run", "median", "below 1.0", "least", "at T, B, H"]]
    for kind, run in _panels(options):
        ratios = {s: row.ratios()[THEIRS].median for s, row in _of(rows, kind, run).items()
                  if row.ratios()}  # fmt: skip
        if ratios:
            least = min(ratios, key=lambda sizes: ratios[sizes])
            lines.append([
                kind, RUNS[run], f"{statistics.median(ratios.values()):.2f}",
                f"{sum(ratio < 1 for ratio in ratios.values())} of {len(ratios)}",
                f"{ratios[least]:.2f}", f"{least.num_steps}, {least.batch_size}, {least[3]}",
            ])  # fmt: skip
    return table(lines)


def _grid(rows: dict[Sizes, Row], options: MapOptions) -> str:
    lines = [["T, B", *(f"H {size}" for size in options.hidden_sizes)]]
    for steps in options.num_steps:
        for batch in options.batch_sizes:
            cells = [rows.get(Sizes(steps, batch, size, size)) for size in options.hidden_sizes]
            lines.append([f"{steps}, {batch}", *map(_cell, cells)])
    return table(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    if row.failures:
        return "failed"
    ratio = row.ratios()[THEIRS]
    low, high = ratio.shown
    median = f"{ratio.median:.2f}" if ratio.tells_nothing else f"**{ratio.median:.2f}**"
    return f"{median} ({low:.2f}–{high:.2f})"
