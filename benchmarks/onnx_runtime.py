"""Rondo's LSTM and GRU beside ONNX Runtime's and torch.nn's, forward in float32, over 12 shapes.

Each side first agrees with the plain loop in float64; then all take turns in one process. The
shapes are measured from the smallest on.

    python benchmarks/onnx_runtime.py [--budget 90] [--threads N] [--output DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from kept_runs import write_page
from rondo.bench.cells import TORCH_CELLS
from rondo.bench.findings import failure_lines, peak_of
from rondo.bench.measure import busy_note, take_turns_for
from rondo.bench.options import OURS, PEERS, Sizes
from rondo.bench.peak import Peak
from rondo.bench.rows import Row
from rondo.bench.suites import checked_modules, pause_s, runs_of
from rondo.bench.tables import progress, spread_text, table

SHAPES = [
    (16, 1, 128), (100, 1, 64), (100, 1, 256), (16, 4, 256), (100, 4, 128), (50, 8, 512),
    (16, 16, 64), (100, 16, 128), (16, 32, 512), (100, 32, 128), (50, 64, 64), (100, 64, 256),
]  # fmt: skip
"""T, B and H; the input is as large as the state."""

RESULTS = Path(__file__).parent / "results"
KINDS, THEIRS, BAR = ("LSTM", "GRU"), PEERS["onnx"], 1.2


def measure(budget_s: float) -> Iterator[Row]:
    """Measures both kinds at all shapes."""
    end, todo = time.perf_counter() + budget_s, len(KINDS) * len(SHAPES)
    for steps, batch_size, size in sorted(SHAPES, key=lambda at: at[0] * at[1] * at[2] ** 2):
        for kind in KINDS:
            sizes = Sizes(steps, batch_size, size, size)
            sides, check = checked_modules(kind, sizes, ("nn", "onnx"))
            runs = runs_of(sides, "forward", check.failures)
            seconds = max(0.0, end - time.perf_counter()) / todo
            times = take_turns_for(runs, seconds, 0.01, 7, 40, pause_s(runs))
            yield Row("onnx", kind, "forward", sizes, times,
                      num_gates=TORCH_CELLS[kind][1], failures=check.failures)  # fmt: skip
            todo -= 1


def notes(rows: list[Row], peak: Peak | None) -> str:
    ratios = [row.ratios()[THEIRS].median for row in rows if THEIRS in row.ratios()]
    below = sum(ratio < BAR for ratio in ratios)
    more = [str(peak and f"Peak: {peak}."), busy_note(), *failure_lines(rows)]
    return (
        "The others' time over that of Rondo's layer, with the same weights, forward in float32: "
        "above 1, Rondo is faster. Medians over at least 7 rounds, in brackets their spread. "
        '"% of bound" is the least time that the products could take on this machine, over '
        f"Rondo's. The bar is {BAR} times ONNX Runtime's speed: {below} of {len(ratios)} are below "
        "it.\n\n" + "\n\n".join(line for line in more if line)
    )


def result(rows: list[Row], peak: Peak | None) -> str:
    titles = ["", "T, B, I, H", "Rondo, ms", "% of bound", "ONNX Runtime over Rondo",
              "torch.nn over Rondo"]  # fmt: skip
    return table([titles, *(_line(row, peak) for row in rows)])


def _line(row: Row, peak: Peak | None) -> list[str]:
    if row.failures:
        return [row.case, str(row.sizes), "failed", *["–"] * 3]
    share, ratio = row.share_of_bound(peak) if peak else None, row.ratios()[THEIRS]
    missed = ", missed" if ratio.median < BAR else ""
    return [
        row.case, str(row.sizes), f"{1e3 * row.times[OURS].median:.3g}",
        "–" if share is None else f"{100 * share:.0f}",
        spread_text(ratio) + missed, spread_text(row.ratios()[PEERS["nn"]]),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=90.0, help="about how long, in seconds")
    parser.add_argument("--threads", type=int, help="default: torch's")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the page is written")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    peak, rows = peak_of(40, print), []
    for row in measure(arguments.budget):
        rows.append(row)
        print(progress(row), flush=True)
    file, sections = arguments.output / "onnx_runtime.md", [result(rows, peak)]
    write_page(file, "Forward beside ONNX Runtime", notes(rows, peak), sections, None)


if __name__ == "__main__":
    main()
