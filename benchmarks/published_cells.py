"""Runs cells that people published: which are right, what runs them, and how fast beside a loop.

Each cell is that of tests/published_cells.py, as its authors would write it. It is first held to
the plain loop over the eager cell in float64, then it takes turns with that loop in float32,
forward and backward. What was measured becomes benchmarks/results/published_cells.md; with --output
it is written to a folder instead, and --cells says which cells are run.

    python benchmarks/published_cells.py [--rounds 7] [--output FOLDER [--cells lstm ntm]]
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import rondo
from rondo.bench.measure import Spread, machine_lines, take_turns
from rondo.compiler import EngineWarning

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the cells are those of the tests

from plain_loop import (  # noqa: E402
    Sequences,
    engine_of,
    is_refusal,
    plain_loop,
    run_layer,
    run_plain,
)
from published_cells import PUBLISHED, make_cell, make_sequences  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "published_cells.md"
NUM_STEPS, BATCH_SIZE = 50, 16

HEAD = """# Published cells: right, what ran them, how fast

{num_cells} cells from papers, written as their authors would write them in PyTorch. "Difference"
is the largest between the layer and the plain loop over the eager cell, of outputs, last states and
all gradients, relative to the largest number of each, in float64 (cells that draw random numbers:
in `eval`). Beside it stands what ran the loop forward and backward under `engine="auto"`. Then
layer and plain loop take turns, forward and backward, {num_rounds} times: T = {num_steps},
B = {batch_size}, I and H as given, float32; told are medians, and in brackets quartiles. The ratio
is the time of the plain loop over that of the layer: above 1, the layer is faster.

{machine}
| cell | I, H | difference | forward | backward | layer, ms | plain loop, ms | ratio |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Run:
    """What came of one cell.

    Args:
        name: Its name.
        difference: The largest relative one to the plain loop in float64.
        engines: What ran it forward and backward.
        layer: The times of the layer in seconds.
        loop: Those of the plain loop.
    """

    name: str
    difference: float
    engines: tuple[str, str]
    layer: Spread
    loop: Spread

    def __str__(self) -> str:
        """A row of the results."""
        sizes = ", ".join(map(str, PUBLISHED[self.name].large))
        times = [spread(side.scaled(1e3), "{:.2f}") for side in (self.layer, self.loop)]
        ratio = spread(self.loop.over(self.layer), "{:.2f}", "**{}**")
        parts = [f"`{self.name}`", sizes, f"{self.difference:.0e}", *self.engines, *times, ratio]
        return f"| {' | '.join(parts)} |"


@dataclass(frozen=True)
class Failure:
    """Why a cell was not timed."""

    name: str
    reason: str

    def __str__(self) -> str:
        """A row of the results."""
        return f"| `{self.name}` | | {self.reason} | | | | | |"


def spread(values: Spread, number: str, median: str = "{}") -> str:
    low, high = map(number.format, values.quartiles)
    return f"{median.format(number.format(values.median))} ({low}–{high})"


def difference(name: str) -> float:
    """The largest difference of a cell's layer from the plain loop, in float64."""
    cell, own = (make_cell(name).train(not PUBLISHED[name].is_random) for _ in range(2))
    got = run_layer(rondo.Recurrent(own), make_sequences(name, own, 3, 5))
    expected = run_plain(cell, make_sequences(name, cell, 3, 5))
    return max(relative(got[key], value) for key, value in expected.items())


def relative(value: Tensor, exact: Tensor) -> float:
    if not (exact.is_floating_point() or exact.is_complex()):
        return float(not torch.equal(value, exact))
    return float((value - exact).abs().max() / exact.abs().max().clamp_min(1e-3))


def training(
    cell: nn.Module, given: Sequences, run: Callable[[Sequences], Tensor]
) -> Callable[[], None]:
    """A step of training without the optimiser."""

    def step() -> None:
        cell.zero_grad()
        run(given).sum().backward()

    return step


def times(name: str, num_rounds: int) -> tuple[tuple[str, str], dict[str, Spread]]:
    """What ran a cell in float32, and the times of its layer and of the plain loop."""
    cells = [make_cell(name, torch.float32, large=True) for _ in range(2)]
    batches = [
        replace(
            make_sequences(name, cell, BATCH_SIZE, NUM_STEPS, torch.float32, large=True), state=None
        )
        for cell in cells
    ]
    layer = rondo.Recurrent(cells[0])
    sides = {
        "layer": training(cells[0], batches[0], lambda given: layer(given.x)[0]),
        "loop": training(cells[1], batches[1], lambda given: plain_loop(cells[1], given)[0]),
    }
    found = take_turns(sides, num_rounds)
    return engine_of(layer), found


def run(name: str, num_rounds: int) -> Run | Failure:
    try:
        largest = difference(name)
        if not largest < 1e-8:
            return Failure(name, f"wrong by {largest:.0e}")
        engines, found = times(name, num_rounds)
    except Exception as error:
        how = "refused" if is_refusal(error) else f"fails with {type(error).__name__}"
        return Failure(name, f"{how}: {' '.join(str(error).split())}")
    return Run(name, largest, engines, found["layer"], found["loop"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    parser.add_argument("--cells", nargs="+", choices=PUBLISHED, metavar="NAME")
    options = parser.parse_args()
    if options.cells and not options.output:
        parser.error("--cells goes with --output: the page holds every cell, measured in one run")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EngineWarning)  # the table says what ran
        for name in options.cells or PUBLISHED:
            rows.append(run(name, options.rounds))
            print(rows[-1], file=sys.stderr, flush=True)
    head = HEAD.format(
        num_cells=len(rows),
        num_rounds=options.rounds,
        num_steps=NUM_STEPS,
        batch_size=BATCH_SIZE,
        machine=machine_lines(),
    )
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS.name).write_text(head + "".join(f"{row}\n" for row in rows))


if __name__ == "__main__":
    main()
