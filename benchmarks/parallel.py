"""The loop solved for all steps together, beside stepping: time over the number of steps.

For each cell and number of steps T: forward, and forward and backward, by the kernel of the cpu
engine, by torch operations step by step (the reference engine), and by the parallel engine, all
taking turns. The largest difference of the output from the reference engine's is told too, and how
Newton's method went.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor, nn

import rondo
from rondo.bench.measure import Spread, machine_lines, take_turns
from rondo.cells.named import NAMED_CELLS
from rondo.report.plots import STYLE, standalone, to_svg
from rondo.system.columns import markdown_table

COLOURS = {"cpu": "#2a7de1", "reference": "#8a8f98", "parallel": "#d1495b"}
NAMES = {
    "cpu": "kernel, step by step",
    "reference": "torch operations, step by step",
    "parallel": "all steps together",
}


@dataclass(frozen=True)
class Case:
    """A cell that is measured.

    Args:
        cell: Its name.
        hidden_size: The width of its input and its state.
        engine: The parallel engine, with its settings.
    """

    cell: str
    hidden_size: int
    engine: Any = "parallel"

    @property
    def title(self) -> str:
        jacobian = getattr(self.engine, "jacobian", None)
        return f"{self.cell}, H = {self.hidden_size}" + (f", {jacobian} J" if jacobian else "")


CASES = (
    Case("min-gru", 64),
    Case("lru", 64),
    Case("ind-rnn", 64, rondo.Newton(jacobian="diagonal")),
    Case("gru", 8, rondo.Newton(jacobian="full")),
    Case("gru", 64, rondo.Newton(jacobian="diagonal")),
)


@dataclass
class Measured:
    """The times of a case, by T and engine, forward and with the backward pass."""

    case: Case
    forward: dict[int, dict[str, Spread]] = field(default_factory=dict)
    both: dict[int, dict[str, Spread]] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)
    differences: dict[int, float] = field(default_factory=dict)


def predict(layer: rondo.Recurrent, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = layer(x)[0]
        return y


def train(layer: rondo.Recurrent, x: Tensor) -> None:
    layer.zero_grad()
    layer(x)[0].sum().backward()


def measure(case: Case, steps: list[int], batch_size: int, num_rounds: int) -> Measured:
    """The times of one cell."""
    torch.manual_seed(0)
    cell: nn.Module = NAMED_CELLS[case.cell](case.hidden_size, case.hidden_size)
    layers = {
        name: rondo.Recurrent(cell, engine=case.engine if name == "parallel" else name)
        for name in COLOURS
    }
    measured = Measured(case)
    for num_steps in steps:
        x = torch.randn(batch_size, num_steps, case.hidden_size)
        expected, found = (predict(layers[name], x) for name in ("reference", "parallel"))
        measured.differences[num_steps] = float((found - expected).abs().max())
        forward = {name: partial(predict, layer, x) for name, layer in layers.items()}
        both: dict[str, Callable[[], object]] = {
            name: partial(train, layer, x) for name, layer in layers.items()
        }
        measured.forward[num_steps] = take_turns(forward, num_rounds)
        measured.both[num_steps] = take_turns(both, num_rounds)
        ways = (layers["parallel"].solution, layers["parallel"].backward_solution)
        measured.told[num_steps] = " / ".join(
            "" if way is None else way.how if way.how != "newton" else str(way.iterations)
            for way in ways
        )
        print(f"{case.title}, T = {num_steps}: {measured.told[num_steps]}", flush=True)
    return measured


def table(measured: Measured) -> str:
    """The times in milliseconds."""
    rows = []
    for num_steps in measured.forward:
        row = [str(num_steps)]
        for times in (measured.forward[num_steps], measured.both[num_steps]):
            row += [f"{1000 * times[name].median:.2f}" for name in COLOURS]
            row.append(f"{times['reference'].over(times['parallel']).median:.1f}")
        row += [measured.told[num_steps], f"{measured.differences[num_steps]:.0e}"]
        rows.append(row)
    head = ["T", "kernel", "torch", "parallel", "torch / parallel"]
    return markdown_table(
        [*head, *(f"{name}, trained" for name in head[1:]), "solved by", "difference"], rows
    )


Curves = dict[int, dict[str, float]]
"""Times in milliseconds by T and engine."""


def plot(cases: dict[str, tuple[Curves, Curves]]) -> str:
    """Time over T: a row for each cell, forward at the left, forward and backward at the right."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "parallel"}):
        return _plot(cases)


def _plot(cases: dict[str, tuple[Curves, Curves]]) -> str:
    figure = Figure(figsize=(7.4, 0.6 + 2.1 * len(cases)), dpi=72, layout="constrained")
    grid = figure.subplots(len(cases), 2, squeeze=False, sharex=True)
    for row, (title, both) in zip(grid, cases.items(), strict=True):
        for axes, curves in zip(row, both, strict=True):
            for name, colour in COLOURS.items():
                values = [times[name] for times in curves.values()]
                axes.plot(list(curves), values, "o-", color=colour, ms=3, label=NAMES[name])
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(list(curves), [str(num_steps) for num_steps in curves])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_title(title, fontsize=11)
        row[0].set_ylabel("forward, ms")
        row[1].set_ylabel("with backward, ms")
    for axes in grid[-1]:
        axes.set_xlabel("steps T")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3,
                  frameon=False)  # fmt: skip
    return standalone(to_svg(figure, "time over the number of steps"))


def medians(measured: Measured) -> tuple[Curves, Curves]:
    """The curves of a case."""
    forward, both = (
        {num_steps: {name: 1000 * spread.median for name, spread in times.items()}
         for num_steps, times in found.items()}
        for found in (measured.forward, measured.both)
    )  # fmt: skip
    return forward, both


def read_page(text: str) -> dict[str, tuple[Curves, Curves]]:
    """The curves of each case in a page that this program wrote."""
    found: dict[str, tuple[Curves, Curves]] = {}
    for section in text.split("\n## ")[1:]:
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if "|" in line][2:]
        forward, both = (
            {int(row[0]): dict(zip(COLOURS, map(float, row[first : first + 3]), strict=True))
             for row in rows}
            for first in (1, 5)
        )  # fmt: skip
        found[section.splitlines()[0]] = forward, both
    return found


NOTES = """\
Times are medians in milliseconds; "trained" is forward and backward. The kernel is that of the cpu
engine, torch is the reference engine: torch operations, step by step. "Solved by" tells the way of
the parallel engine, forward / backward: a scan, the number of Newton's iterations, or "steps" where
it found no solution and the loop ran step by step. The difference is the largest one of the output
from the reference engine's.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default="32,128,512,2048,8192", help="with commas between")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    steps = [int(word) for word in arguments.steps.split(",")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rondo.EngineWarning)  # the table tells
        found = [measure(case, steps, arguments.batch, arguments.rounds) for case in CASES]
    sections = [f"## {item.case.title}\n\n{table(item)}" for item in found]
    page = (
        f"# All steps together\n\n{machine_lines()}- batch: {arguments.batch} rows, float32\n\n"
        f"{NOTES}\n![time over the number of steps](parallel.svg)\n\n"
        + "\n\n".join(sections)
        + "\n"
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "parallel.md").write_text(page)
    curves = {item.case.title: medians(item) for item in found}
    (arguments.output / "parallel.svg").write_text(plot(curves))
    print(page)


if __name__ == "__main__":
    main()
