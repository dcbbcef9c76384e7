"""Draws cells as people write them, and counts what ran them: kernels, another engine, or nothing.

Each draw is a cell and one or two ways of calling it, held to the plain loop as in
tests/test_drawn_cells.py, under engine="auto". A draw counts where the worst of its calls does.
The table becomes benchmarks/results/drawn_cells.md; with --output it is written to a folder
instead. What is wrong is printed, with the code of its cell.

    python benchmarks/drawn_cells.py [--draws 2000] [--seed 0] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from rondo.bench.measure import machine_lines
from rondo.compiler import EngineWarning

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the cells are those of the tests

from drawn_cells import Recipe, check, recipes  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "drawn_cells.md"

HEAD = """# Drawn cells: what ran them

{num_draws} cells drawn as people write them, each called once or twice in a way that is drawn too,
under `engine="auto"`, and held to the plain loop over the eager cell: in float64 to 1e-8, else
within four times its error. A draw counts where the worst of its calls does.

{machine}
| what ran | draws | of all |
|---|---|---|
"""

OUTCOMES = {
    "wrong": "wrong",
    "refused": "refused, with a message",
    "plain": "right, the plain loop ran",
    "reference": "right, the reference engine ran",
    "one way": "right, a kernel ran one way, the reference engine the other",
    "kernel": "right, kernels ran",
    "not run": "not counted: torch itself fails on the cell under autocast",
}
"""What can come of a call, the worst first, and what the table says of it."""


def outcome_of(told: str) -> str:
    """The kind of what `check` tells of one call."""
    if told.startswith(("refused", "not run")):
        return told.partition(":")[0]
    engines = set(told.split(" and ")) - {"none"}
    return engines.pop() if len(engines) == 1 else "one way"


def outcome(recipe: Recipe) -> str:
    """The worst that comes of the calls of a draw."""
    try:
        told = check(recipe)
    except Exception as error:
        print(f"{type(error).__name__}: {error}\n", flush=True)
        return "wrong"
    return min((outcome_of(one) for one in told), key=list(OUTCOMES).index)


def counts(num_draws: int, start: int) -> Counter[str]:
    """How many draws had each outcome."""
    found: Counter[str] = Counter()

    @seed(start)
    @settings(
        max_examples=num_draws,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes(engines=("auto",)))
    def run(recipe: Recipe) -> None:
        found[outcome(recipe)] += 1

    run()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", EngineWarning)
        found = counts(options.draws, options.seed)
    total = found.total()
    text = HEAD.format(num_draws=total, machine=machine_lines())
    for kind, title in OUTCOMES.items():
        text += f"| {title} | {found[kind]} | {found[kind] / total:.1%} |\n"
    print(text)
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS.name).write_text(text)


if __name__ == "__main__":
    main()
