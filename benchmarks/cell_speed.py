"""Times every named cell beside torch.nn.LSTM, and writes the numbers where they are read.

All cells first agree with the plain loop in float64; none is timed before. What was measured
becomes benchmarks/results/cell_speed.md, and the engine and the speeds of each cell go into the
table of docs/cells.md. With --output both pages are written to a folder instead, and --cells says
which cells are measured.

    python benchmarks/cell_speed.py [--rounds 15] [--output FOLDER [--cells gru lstm]]
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondo.bench import peers
from rondo.bench.conformance import Gate, gate
from rondo.bench.contenders import Contender
from rondo.bench.measure import Spread, machine_lines, take_turns
from rondo.bench.options import LAYER_SIZES
from rondo.cells.named import NAMED_CELLS
from rondo.compiler import EngineWarning

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cells.md"
RESULTS = ROOT / "benchmarks" / "results" / "cell_speed.md"
SIZES = LAYER_SIZES[0]
TURN_S = 0.02
RUNS = {"forward": "forward", "training": "forward and backward"}
"""The runs that are timed, and the columns of the page that hold their ratios."""

HEAD = """# The cells: how fast

Every named cell beside torch.nn.LSTM, after each agreed with the plain loop in float64 (Rondo
within twice the error of the plain loop in float32). T, B, I, H: {sizes}; float32. Each cell takes
turns with torch.nn.LSTM, {num_rounds} times; told are medians, and in brackets quartiles. The ratio
is the time of torch.nn.LSTM over that of the cell: above 1, the cell is faster. "Both ways" is
forward and backward. The engine is Rondo's that ran it. The ratios are in
[the table of the cells](../../docs/cells.md) too.

{machine}
| cell | engine | forward, ms | forward, ratio | both ways, ms | both ways, ratio |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Speed:
    """The times of one cell, and the ratios of torch.nn.LSTM's to them, by run."""

    name: str
    engine: str
    times: dict[str, Spread]
    ratios: dict[str, Spread]

    def __str__(self) -> str:
        """A row of the results."""
        parts = [f"`{self.name}`", self.engine]
        for run in RUNS:
            parts.append(spread(self.times[run].scaled(1e3), "{:.2f}"))
            parts.append(spread(self.ratios[run], "{:.2f}", "**{}**"))
        return f"| {' | '.join(parts)} |"


def spread(values: Spread, number: str, median: str = "{}") -> str:
    low, high = map(number.format, values.quartiles)
    return f"{median.format(number.format(values.median))} ({low}–{high})"


def contender(name: str, *, training: bool) -> tuple[nn.Module, list[Tensor], Contender]:
    """A cell, a batch, and Rondo running the one on the other."""
    cell: Any = NAMED_CELLS[name](SIZES.input_size, SIZES.hidden_size).train(training)
    batch = peers.new_batch(SIZES._replace(hidden_size=cell.output_size))
    return cell, batch, *peers.for_cell(cell, batch, ())


def failures(names: Sequence[str], lstm: Contender, lstm_gate: Gate) -> list[str]:
    """What is wrong with any of them; cells that draw random numbers are checked in `eval` mode."""
    found = {"torch.nn.LSTM": lstm_gate.failure(lstm)}
    for name in names:
        cell, batch, ours = contender(name, training=False)
        found[name] = gate(cell, *batch).failure(ours)
    return [f"{name}: {failure}" for name, failure in found.items() if failure]


def speed_of(name: str, lstm: Contender, num_rounds: int) -> Speed:
    times, ratios = {}, {}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", EngineWarning)
        *_, ours = contender(name, training=True)
        for run in RUNS:
            sides = {side.name: getattr(side, run) for side in (ours, lstm)}
            found = take_turns(sides, num_rounds, TURN_S)
            times[run], ratios[run] = found[ours.name], found[lstm.name].over(found[ours.name])
    is_slow = any(issubclass(warning.category, EngineWarning) for warning in said)
    return Speed(name, "reference" if is_slow else "cpu", times, ratios)


def with_speeds(page: str, speeds: Sequence[Speed]) -> str:
    """The page with the engine and the ratios of each cell in the row that shows its name."""
    lines = page.splitlines()
    titles = next(line for line in lines if " | engine | " in line).split(" | ")
    for speed in speeds:
        (number,) = (n for n, line in enumerate(lines) if f" | [`{speed.name}`](" in line)
        parts = lines[number].split(" | ")
        parts[titles.index("engine")] = speed.engine
        for run, title in RUNS.items():
            parts[titles.index(title)] = f"{speed.ratios[run].median:.2f}"
        lines[number] = " | ".join(parts)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    parser.add_argument("--cells", nargs="+", choices=NAMED_CELLS, metavar="NAME")
    options = parser.parse_args()
    if options.cells and not options.output:
        parser.error("--cells goes with --output: the pages hold every cell, measured in one run")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    names = options.cells or list(NAMED_CELLS)
    cell, batch, (_, lstm) = peers.for_module("LSTM", SIZES, ("nn",))
    if failed := failures(names, lstm, gate(cell, *batch)):
        sys.exit("\n".join(failed))
    speeds = []
    for name in names:
        speeds.append(speed_of(name, lstm, options.rounds))
        print(speeds[-1], file=sys.stderr, flush=True)
    head = HEAD.format(sizes=SIZES, num_rounds=options.rounds, machine=machine_lines())
    results = head + "".join(f"{speed}\n" for speed in speeds)
    for path, text in ((RESULTS, results), (PAGE, with_speeds(PAGE.read_text(), speeds))):
        (options.output / path.name if options.output else path).write_text(text)


if __name__ == "__main__":
    main()
