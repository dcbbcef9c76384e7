"""Writes what `rondo bench --suite library --output FOLDER` measured where it is read.

The report becomes benchmarks/results/cell_speed.md; the engine and the speed of each cell go into
the table of docs/cells.md, in whose rows stand the same expressions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cells.md"
RESULTS = ROOT / "benchmarks" / "results" / "cell_speed.md"

HEAD = """# The cells: how fast

Every cell of the library beside torch.nn.LSTM, in one run, after each agreed with the plain loop in
float64 (Rondo within twice the error of the plain loop in float32). To measure anew:
`rondo bench --suite library --output FOLDER`, then `python benchmarks/cell_speed.py FOLDER`, which
writes this page and the numbers in [the table of the cells](../../docs/cells.md).

"""


def measured(report: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Engine and speed of each cell that was timed."""
    found = {}
    for row in report["rows"]:
        if row["suite"] == "library" and row["ratios"]:
            (ratio,) = row["ratios"].values()
            found[row["case"]] = row["engine"], f"{ratio['median']:.2f}"
    return found


def with_numbers(page: str, found: Mapping[str, tuple[str, str]]) -> str:
    """The page with engine and speed in the rows of the cells."""
    lines = page.splitlines()
    head = next(line for line in lines if line.startswith("| cell | equation |"))
    titles = head.split(" | ")
    for number, line in enumerate(lines):
        cells = line.split(" | ")
        expression = cells[0].removeprefix("| `").removesuffix("`")
        if expression in found:
            engine, speed = found[expression]
            cells[titles.index("engine")], cells[titles.index("speed")] = engine, speed
            lines[number] = " | ".join(cells)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where bench.json and bench.md are")
    folder = parser.parse_args().folder
    report = json.loads((folder / "bench.json").read_text())
    if report["options"]["is_quick"] or not report["is_whole"]:
        parser.error("the run was --quick or interrupted; its numbers say nothing of speed")
    RESULTS.write_text(HEAD + (folder / "bench.md").read_text())
    PAGE.write_text(with_numbers(PAGE.read_text(), measured(report)))


if __name__ == "__main__":
    main()
