"""Ragged batches and resets beside the dense batch of the same sizes.

The lengths are the quantiles of the uniform distribution on 1 to T: half of the steps are there.
All sides take turns; the ratio of a side is the median of its ratios to the dense batch of the same
round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import rondo
from kept_runs import write_page
from rondo.system.columns import markdown_table

CELLS = {"LSTM": rondo.LSTMCell, "GRU": rondo.GRUCell}
SIDES = ("sorted lengths", "unsorted lengths", "resets")

NOTES = """\
`rondo.Recurrent`, T = {num_steps}, I = H, forward without gradients, or forward and backward. The
lengths are the quantiles of the uniform distribution on 1 to T, so {share:.1%} of the steps are
there; resets are drawn for 5 % of the steps. Each number is the time as a share of that of the
dense batch: the median of the ratios of {rounds} rounds, in which all sides take turns.
"""


def sides(cell: str, batch_size: int, num_steps: int, width: int, trains: bool) -> dict[str, Call]:
    """What is timed, by name; first the dense batch."""
    torch.manual_seed(0)
    layer = rondo.Recurrent(CELLS[cell](width, width))
    x, gradient = torch.randn(2, batch_size, num_steps, width)
    lengths = quantiles(batch_size, num_steps)

    def call(**given: Tensor) -> Call:
        def run() -> None:
            with torch.set_grad_enabled(trains):
                y, _ = layer(x, **given)
            if trains:
                layer.zero_grad()
                y.backward(gradient)

        return run

    return {
        "dense": call(),
        "sorted lengths": call(lengths=lengths),
        "unsorted lengths": call(lengths=lengths[torch.randperm(batch_size)]),
        "resets": call(resets=torch.rand(batch_size, num_steps) < 0.05),
    }


Call = Callable[[], None]


def quantiles(batch_size: int, num_steps: int) -> Tensor:
    """The lengths, the longest first."""
    return torch.linspace(num_steps, 1, batch_size).round().long()


def measured(calls: dict[str, Call], rounds: int) -> list[str]:
    """Milliseconds of the dense batch, then the ratio of each other side."""
    for call in calls.values():
        for _ in range(3):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    dense = times["dense"]
    ratios = [
        statistics.median(a / b for a, b in zip(times[name], dense, strict=True)) for name in SIDES
    ]
    return [f"{1000 * statistics.median(dense):.1f}", *(f"{ratio:.2f}" for ratio in ratios)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    rows = []
    for cell in CELLS:
        for batch_size in (32, 64):
            for width in (128, 256):
                for trains in (False, True):
                    calls = sides(cell, batch_size, arguments.steps, width, trains)
                    what = "forward and backward" if trains else "forward"
                    label = [cell, str(batch_size), str(width), what]
                    rows.append([*label, *measured(calls, arguments.rounds)])
    share = quantiles(32, arguments.steps).sum().item() / (32 * arguments.steps)
    notes = NOTES.format(num_steps=arguments.steps, share=share, rounds=arguments.rounds)
    head = ["cell", "B", "H", "passes", "dense, ms", *SIDES]
    table = markdown_table(head, rows)
    write_page(arguments.output / "ragged.md", "Ragged batches and resets", notes, [table], None)


if __name__ == "__main__":
    main()
