"""Times the drop-ins beside torch.nn while other processes keep the processors busy.

Rondo and torch.nn run in a process each, as in a program that uses one of them: the threads of
torch.nn stay awake for a while after each call, and would take the processors from whoever comes
next in the same process. The two take turns, for batches of 1 to 64 rows, forward alone and forward
and backward. What was measured becomes benchmarks/results/busy.md; with --output it is written to a
folder instead.

    python benchmarks/busy.py [--neighbours 2] [--rounds 12] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

import rondo
from rondo.bench.measure import machine_lines

RESULTS = Path(__file__).parent / "results" / "busy.md"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
NUM_STEPS, SIZE = 50, 128
CALLS_IN_A_TURN = 5
SIDES = {"rondo": rondo, "torch": nn}

HEAD = """# Drop-ins beside busy processes

{neighbours} processes that do nothing but compute run beside the measurement. GRU, LSTM and RNN of
Rondo and of torch.nn run in a process each and take turns, {rounds} times {calls} calls:
T = {num_steps}, I = H = {size}, float32. The table gives median and mean in milliseconds, in
brackets the ninth of ten values, and the ratios of medians and of means: above 1, Rondo is faster.

{machine}
| layer | run | B | Rondo, ms | torch.nn, ms | ratio of medians | of means |
|---|---|---|---|---|---|---|
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


def serve(connection: Connection, side: str) -> None:
    """What the process of a side does: it times some calls of each layer that it is asked for."""
    calls: dict[tuple[str, str, int], Callable[[], object]] = {}
    while (asked := connection.recv()) is not None:
        if asked not in calls:
            name, run, batch_size = asked
            torch.manual_seed(0)
            layer = getattr(SIDES[side], name)(SIZE, SIZE)
            call = calls[asked] = runs(layer, torch.randn(NUM_STEPS, batch_size, SIZE))[run]
            call(), call()
        connection.send([seconds(calls[asked]) for _ in range(CALLS_IN_A_TURN)])


def seconds(call: Callable[[], object]) -> float:
    """The time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@contextmanager
def sides() -> Iterator[dict[str, Connection]]:
    """A process for each side, reached by a connection."""
    spawning = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for side in SIDES:
        connections[side], other = spawning.Pipe()
        processes.append(spawning.Process(target=serve, args=(other, side), daemon=True))
        processes[-1].start()
    try:
        yield connections
    finally:
        for connection in connections.values():
            connection.send(None)
        for process in processes:
            process.join()


def row(connections: dict[str, Connection], asked: tuple[str, str, int], num_rounds: int) -> str:
    """A row of the table."""
    times: dict[str, list[float]] = {side: [] for side in connections}
    for number in range(num_rounds):
        for side in reversed(connections) if number % 2 else connections:
            connections[side].send(asked)
            times[side] += [1e3 * value for value in connections[side].recv()]
    median = {side: statistics.median(values) for side, values in times.items()}
    mean = {side: statistics.fmean(values) for side, values in times.items()}
    told = [f"{median[side]:.2f}, {mean[side]:.2f} ({ninth(times[side]):.2f})" for side in times]
    ratios = [f"**{found['torch'] / found['rondo']:.2f}**" for found in (median, mean)]
    return "| " + " | ".join([*map(str, asked), *told, *ratios]) + " |"


def ninth(values: list[float]) -> float:
    """The value that nine of ten are below."""
    return sorted(values)[len(values) * 9 // 10]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbours", type=int, default=2, help="busy processes (default: 2)")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    lines = []
    with sides() as connections, busy_processes(options.neighbours):
        for name in ("GRU", "LSTM", "RNN"):
            for run in ("forward", "forward and backward"):
                for batch_size in BATCH_SIZES:
                    lines.append(row(connections, (name, run, batch_size), options.rounds))
                    print(lines[-1], flush=True)
    head = HEAD.format(
        neighbours=options.neighbours,
        rounds=options.rounds,
        calls=CALLS_IN_A_TURN,
        num_steps=NUM_STEPS,
        size=SIZE,
        machine=machine_lines(),
    )
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS.name).write_text(head + "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
