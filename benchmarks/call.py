"""Times calls of one or a few steps: the drop-ins beside torch.nn, in turn in one process.

Forward alone without gradients, and forward and backward; six stacked layers; a step of a stream
beside torch.nn's cell. The table is printed, and becomes benchmarks/results/call.md and call.json;
with --output they are written to a folder instead. `--quick` measures a few sizes.

    python benchmarks/call.py [--quick] [--rounds 9] [--threads N] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from rondo.bench.call import CallRow, call_rows
from rondo.bench.measure import machine_lines

RESULTS = Path(__file__).parent / "results"
QUICK = {"kinds": ("GRU",), "steps": (1, 4), "batches": (1, 8), "sizes": (32, 256)}

HEAD = """# Calls of one or a few steps

Drop-ins and torch.nn with the same weights, H = I, float32, {threads} threads of torch, in turn in
one process. Medians of {rounds} rounds in microseconds; the ratio is our time over torch.nn's of
each round, its median and in brackets what is shown of its spread: below 1, Rondo is faster. "six
layers" is the forward pass of a stack, "stream" a step of a stream beside torch.nn's cell.

{machine}
"""

COLUMNS = """| layer | what | T | B | H | torch.nn, µs | Rondo, µs | ratio |
|---|---|---|---|---|---|---|---|
"""


def line(row: CallRow) -> str:
    """A line of the table."""
    low, high = row.spread
    return (
        f"| {row.kind} | {row.what} | {row.num_steps} | {row.batch_size} | {row.hidden_size} "
        f"| {row.torch_us:.1f} | {row.rondo_us:.1f} "
        f"| {row.ratio.median:.2f} ({low:.2f} to {high:.2f}) |"
    )


def summary(rows: Iterable[CallRow]) -> str:
    """How the ratios lie, for each kind of layer and call."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row.kind, row.what), []).append(row.ratio.median)
    lines = ["| layer | what | calls | above 1 | largest ratio |", "|---|---|---|---|---|"]
    for (kind, what), ratios in found.items():
        above = sum(ratio > 1 for ratio in ratios)
        lines.append(f"| {kind} | {what} | {len(ratios)} | {above} | {max(ratios):.2f} |")
    return "\n".join(lines)


def as_json(row: CallRow) -> dict[str, object]:
    """A row as JSON has it."""
    return {**vars(row), "ratio": row.ratio.values}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few sizes of the GRU")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own number)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    threads = torch.get_num_threads()
    head = HEAD.format(threads=threads, rounds=options.rounds, machine=machine_lines())
    rows, lines = [], []
    print(head + COLUMNS, end="", flush=True)
    for row in call_rows(**(QUICK if options.quick else {}), num_rounds=options.rounds):
        rows.append(row)
        lines.append(line(row))
        print(lines[-1], flush=True)
    text = f"{head}{summary(rows)}\n\n{COLUMNS}" + "\n".join(lines) + "\n"
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "call.md").write_text(text, encoding="utf-8")
    told = {"rounds": options.rounds, "threads": threads, "rows": [*map(as_json, rows)]}
    (options.output / "call.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
