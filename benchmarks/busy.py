"""Times the drop-ins beside torch.nn while other processes keep the processors busy.

Each side takes turns in one run, for batches of 1 to 64 rows, forward alone and forward and
backward. What was measured becomes benchmarks/results/busy.md; with --output it is written to a
folder instead.

    python benchmarks/busy.py [--neighbours 2] [--rounds 40] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import rondo
from rondo.bench.measure import Spread, machine_lines, take_turns

RESULTS = Path(__file__).parent / "results" / "busy.md"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
NUM_STEPS, SIZE = 50, 128

HEAD = """# Drop-ins beside busy processes

{neighbours} processes that do nothing but compute run beside the measurement. GRU, LSTM and RNN of
Rondo and of torch.nn take turns, {rounds} times: T = {num_steps}, I = H = {size}, float32. Told are
medians in milliseconds, in brackets the ninth of ten values, and the ratio of the medians: above 1,
Rondo is faster.

{machine}
| layer | run | B | Rondo, ms | torch.nn, ms | ratio |
|---|---|---|---|---|---|
"""


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Within it, so many other processes compute."""
    code = "while True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def runs(layer: nn.Module, x: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The two ways of calling a layer that are timed."""

    @torch.no_grad()
    def forward() -> object:
        return layer(x)

    gradient = torch.ones(*x.shape[:2], SIZE)

    def training() -> None:
        layer(x)[0].backward(gradient)

    return {"forward": forward, "forward and backward": training}


def row(name: str, run: str, batch_size: int, num_rounds: int) -> str:
    """A row of the table."""
    x = torch.randn(NUM_STEPS, batch_size, SIZE)
    sides = {
        who: runs(getattr(module, name)(SIZE, SIZE), x)[run]
        for who, module in (("rondo", rondo), ("torch", nn))
    }
    times = {who: spread.scaled(1e3) for who, spread in take_turns(sides, num_rounds).items()}
    told = [f"{spread.median:.2f} ({ninth(spread):.2f})" for spread in times.values()]
    ratio = times["torch"].median / times["rondo"].median
    return f"| {name} | {run} | {batch_size} | {told[0]} | {told[1]} | **{ratio:.2f}** |"


def ninth(spread: Spread) -> float:
    """The value that nine of ten are below."""
    return sorted(spread.values)[len(spread.values) * 9 // 10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbours", type=int, default=2, help="busy processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    lines = []
    with busy_processes(options.neighbours):
        for name in ("GRU", "LSTM", "RNN"):
            for run in ("forward", "forward and backward"):
                for batch_size in BATCH_SIZES:
                    lines.append(row(name, run, batch_size, options.rounds))
                    print(lines[-1], flush=True)
    head = HEAD.format(
        neighbours=options.neighbours,
        rounds=options.rounds,
        num_steps=NUM_STEPS,
        size=SIZE,
        machine=machine_lines(),
    )
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS.name).write_text(head + "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
