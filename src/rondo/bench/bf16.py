"""`rondo bench bf16`: the drop-ins in bfloat16, beside float32 and torch.nn's.

In go kinds, passes and shapes, out comes a row for each with the times of six: Rondo's and
torch.nn's layer in float32, under autocast, and as a module of bfloat16. All have the same weights
and take turns. Each first agrees with the plain loop in float64 over a few steps, on the same
rounded numbers, within errors of the plain loop of its own kind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import rondo.layers
from rondo.bench import peers
from rondo.bench.cells import TORCH_CELLS
from rondo.bench.conformance import autocast_if, gate
from rondo.bench.contenders import Contender, of_module
from rondo.bench.measure import Spread, take_turns_for
from rondo.bench.options import OURS, PEERS, Sizes
from rondo.bench.rows import Row
from rondo.bench.shape_map import CHECKED_STEPS, LEAST_ROUNDS, MOST_ROUNDS, TURN_S
from rondo.bench.study_options import Bf16Options
from rondo.bench.tables import RUNS, table

SIDES = (OURS, PEERS["nn"])


@dataclass(frozen=True)
class Form:
    """How a layer computes: the type of its weights and data, and whether autocast is on."""

    name: str
    dtype: torch.dtype
    autocast: bool = False


FORMS = (
    Form("float32", torch.float32),
    Form("autocast", torch.float32, autocast=True),
    Form("bf16 module", torch.bfloat16),
)

HEAD = """Medians over {rounds} rounds in which all take \
turns, in brackets the quartiles, or the lowest and highest of fewer than 8 rounds. "Gain" is \
Rondo's time in float32 over its time in bfloat16; the last columns are torch.nn's time over \
Rondo's in the same form: above 1, Rondo is faster. Ratios are bold where their spread does not \
cover 1. Under autocast weights and data are float32 and products bfloat16. Training is forward \
and backward."""


def measure(options: Bf16Options) -> Iterator[Row]:
    """Measures all shapes."""
    todo = len(options.kinds) * len(options.shapes) * len(options.passes)
    end = time.perf_counter() + options.budget_s
    for kind in options.kinds:
        for sizes in options.shapes:
            failures = _failures(kind, sizes._replace(num_steps=CHECKED_STEPS))
            layers = contenders(*_cell_and_batch(kind, sizes), kind)
            runs = [one for _, one in layers if one.name not in failures]
            for run in options.passes:
                seconds = max(0.0, end - time.perf_counter()) / todo
                timed = {one.name: getattr(one, run) for one in runs}
                times = take_turns_for(timed, seconds, TURN_S, LEAST_ROUNDS, MOST_ROUNDS)
                yield Row("bf16", kind, run, sizes, times, base=name_of(OURS, FORMS[0]),
                          num_gates=TORCH_CELLS[kind][1], failures=failures)  # fmt: skip
                todo -= 1


def name_of(side: str, form: Form) -> str:
    """What a side in a form is called."""
    return f"{side}, {form.name}"


def contenders(cell: nn.Module, batch: list[Tensor], kind: str) -> list[tuple[Form, Contender]]:
    """Returns all six, with their forms."""
    return [(form, _contender(side, form, cell, batch, kind)) for form in FORMS for side in SIDES]


def _contender(side: str, form: Form, cell: nn.Module, batch: list[Tensor], kind: str) -> Contender:
    place = rondo.layers if side == OURS else nn
    layer = peers.with_weights_of(cell, getattr(place, kind)).to(form.dtype)
    x, grad_y = (value.to(form.dtype) for value in batch)

    def run() -> Tensor:
        with autocast_if(form.autocast):
            y: Tensor = layer(x)[0]
        return y

    return of_module(name_of(side, form), layer, run, grad_y)


def _cell_and_batch(kind: str, sizes: Sizes) -> tuple[nn.Module, list[Tensor]]:
    return TORCH_CELLS[kind][0](*sizes[2:]), peers.new_batch(sizes)


def _failures(kind: str, sizes: Sizes) -> dict[str, str]:
    """What is wrong with some of the six, by name."""
    cell, batch = _cell_and_batch(kind, sizes)
    gates = {
        form: gate(deepcopy(cell).to(form.dtype), *(value.to(form.dtype) for value in batch),
                   autocast=form.autocast)
        for form in FORMS
    }  # fmt: skip
    found = {one.name: gates[form].failure(one) for form, one in contenders(cell, batch, kind)}
    return {name: failure for name, failure in found.items() if failure is not None}


# ---- what is shown ----


def tables(rows: Sequence[Row], options: Bf16Options) -> str:
    """Returns the times and the ratios of all rows, below what the numbers mean."""
    counts = {len(times.values) for row in rows for times in row.times.values()} or {0}
    rounds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(*counts)
    head = ["", "T, B, I, H", "run"]
    times = [*head, *(name_of(side, form) for side in SIDES for form in FORMS)]
    ratios = [*head, *(f"gain, {form.name}" for form in FORMS[1:])]
    ratios += [f"torch.nn over rondo, {form.name}" for form in FORMS]
    parts = [HEAD.format(rounds=rounds)]
    parts += ["## Ratios", table([ratios, *map(_ratios, rows)])]
    parts += ["## Times, ms", table([times, *map(_times, rows)])]
    return "\n\n".join(parts)


def _words(row: Row) -> list[str]:
    return [row.case, str(row.sizes), RUNS[row.run]]


def _ratios(row: Row) -> list[str]:
    gains = [_ratio(row, name_of(OURS, FORMS[0]), name_of(OURS, form)) for form in FORMS[1:]]
    ratios = [_ratio(row, *(name_of(side, form) for side in reversed(SIDES))) for form in FORMS]
    return [*_words(row), *gains, *ratios]


def _times(row: Row) -> list[str]:
    names = [name_of(side, form) for side in SIDES for form in FORMS]
    return [*_words(row), *(_time(row, name) for name in names)]


def _time(row: Row, name: str) -> str:
    times = row.times.get(name)
    return "failed" if times is None else _spread(times.scaled(1e3))


def _ratio(row: Row, over: str, under: str) -> str:
    if over not in row.times or under not in row.times:
        return "–"
    ratio = row.times[over].over(row.times[under])
    return _spread(ratio, is_bold=not ratio.tells_nothing)


def _spread(spread: Spread, *, is_bold: bool = False) -> str:
    low, high = spread.shown
    median = f"**{spread.median:.2f}**" if is_bold else f"{spread.median:.2f}"
    return f"{median} ({low:.2f}–{high:.2f})"
