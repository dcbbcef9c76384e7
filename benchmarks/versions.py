"""Times the layers of this version beside those of another one.

The two cannot be loaded into one process. So processes of both take turns, each timing all shapes,
and what counts are the medians over all rounds of all processes. What was measured becomes
benchmarks/results/versions.md, of the short shapes versions_short.md; with --output it is written
to a folder instead.

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before/src [--turns 5] [--rounds 40] [--short] [--output DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

import rondo
from rondo.bench.measure import Spread, machine_lines, take_turns

RESULTS = Path(__file__).parent / "results" / "versions.md"
SHORT_NAME = "versions_short.md"
OURS = Path(__file__).parents[1] / "src"

SHAPES = (
    (100, 1, 128),
    (400, 1, 64),
    (50, 4, 256),
    (20, 8, 64),
    (10, 16, 64),
    (100, 32, 128),
    (50, 64, 256),
)
"""T, B and H = I of what is timed."""

NUM_SHORT = 5
"""The first of them take a few milliseconds."""

HEAD = """# Layers beside those of an earlier version

Processes of the version `{other}` and of this one take turns, {turns} times; in each, every shape
is timed {rounds} times. I = H, float32. The table gives medians in ms over all, in brackets
quartiles, and the ratio of the medians: above 1, this version is faster.

{machine}
| layer | run | T, B, H | earlier, ms | now, ms | ratio |
|---|---|---|---|---|---|
"""


def times(num_rounds: int, num_shapes: int) -> dict[str, list[float]]:
    """The times of every layer, run and shape in this process, in seconds."""
    torch.manual_seed(0)
    runs = {}
    for name in ("GRU", "LSTM", "RNN"):
        for num_steps, batch_size, size in SHAPES[:num_shapes]:
            layer, x = getattr(rondo, name)(size, size), torch.randn(num_steps, batch_size, size)
            gradient = torch.ones(num_steps, batch_size, size)

            @torch.no_grad()
            def forward(layer=layer, x=x) -> None:
                layer(x)

            def training(layer=layer, x=x, gradient=gradient) -> None:
                layer(x)[0].backward(gradient)

            shape = f"{num_steps}, {batch_size}, {size}"
            runs[f"{name} | forward | {shape}"] = forward
            runs[f"{name} | forward and backward | {shape}"] = training
    found = {key: take_turns({key: run}, num_rounds)[key] for key, run in runs.items()}
    return {key: list(spread.values) for key, spread in found.items()}


def times_of(source: Path, num_rounds: int, *more: str) -> dict[str, list[float]]:
    """The same in a process of the version that lies in a folder."""
    done = subprocess.run(
        [sys.executable, __file__, "--own", "--rounds", str(num_rounds), *more],
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def row(key: str, earlier: Spread, now: Spread) -> str:
    """A row of the table."""
    told = []
    for spread in (earlier.scaled(1e3), now.scaled(1e3)):
        low, high = spread.quartiles
        told.append(f"{spread.median:.3f} ({low:.3f}–{high:.3f})")
    return f"| {key} | {told[0]} | {told[1]} | **{earlier.median / now.median:.2f}** |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, nargs="?", help="the src folder of another version")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--own", action="store_true", help="print the times of this process")
    parser.add_argument("--short", action="store_true", help="the short shapes alone")
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.own:
        print(json.dumps(times(options.rounds, NUM_SHORT if options.short else len(SHAPES))))
        return
    if options.other is None or not (options.other / "rondo" / "__init__.py").exists():
        parser.error("give the folder src of another version, which holds rondo/__init__.py")
    more = ["--short"] if options.short else []
    sides: dict[Path, dict[str, list[float]]] = {options.other: {}, OURS: {}}
    for turn in range(options.turns):
        for source in reversed(sides) if turn % 2 else sides:
            for key, values in times_of(source, options.rounds, *more).items():
                sides[source].setdefault(key, []).extend(values)
    earlier, now = sides.values()
    lines = [row(key, Spread(tuple(earlier[key])), Spread(tuple(now[key]))) for key in now]
    command = ["git", "-C", str(options.other), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    head = HEAD.format(
        other=commit or options.other.name,
        turns=options.turns,
        rounds=options.rounds,
        machine=machine_lines(),
    )
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    text = head + "".join(f"{line}\n" for line in lines)
    (folder / (SHORT_NAME if options.short else RESULTS.name)).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
