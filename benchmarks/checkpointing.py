"""What `checkpoint_every` saves on long sequences, and what it costs.

For each setting: what the autograd graph keeps beside x, y and the parameters; how far forward and
backward raise the peak of the process's memory, in a process of its own; their time, all taking
turns.
"""

from __future__ import annotations

import argparse
import multiprocessing

import torch

import rondo
from memory_use import kept_bytes, raised_peak, training_step
from rondo.bench.measure import machine_lines, take_turns

CELLS = {"elman": rondo.ElmanCell, "lstm": rondo.LSTMCell, "gru": rondo.GRUCell}
SETTINGS = (None, "auto", 32, 128, 512)
HIDDEN_SIZE = 128


def make_layer(name: str, every: int | str | None) -> rondo.Recurrent:
    torch.manual_seed(0)
    cell = CELLS[name](HIDDEN_SIZE, HIDDEN_SIZE)
    return rondo.Recurrent(cell, batch_first=False, checkpoint_every=every)


def raised_by(name: str, every: int | str | None, num_steps: int, batch_size: int) -> int:
    """By how many bytes forward and backward raise the peak of this process's memory."""
    layer = make_layer(name, every)
    return raised_peak(layer, torch.randn(num_steps, batch_size, HIDDEN_SIZE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    arguments = parser.parse_args()
    print(machine_lines())
    num_steps, batch_size = arguments.steps, arguments.batch
    print(f"T {num_steps}, B {batch_size}, I = H = {HIDDEN_SIZE}, forward and backward.\n")
    print("| cell | checkpoint_every | kept, MB | peak raised by, MB | time, ms | ratio |")
    print("|---|---|---|---|---|---|")
    spawn = multiprocessing.get_context("spawn")
    for name in arguments.cells:
        x = torch.randn(num_steps, batch_size, HIDDEN_SIZE)
        layers = {every: make_layer(name, every) for every in SETTINGS}
        steps = {str(every): training_step(layer, x) for every, layer in layers.items()}
        times = take_turns(steps, arguments.rounds)
        for every, layer in layers.items():
            with spawn.Pool(1) as pool:
                peak = pool.apply(raised_by, (name, every, num_steps, batch_size))
            kept, time = kept_bytes(layer, x), times[str(every)].median
            print(
                f"| {name} | {every} | {kept / 1e6:.1f} | {peak / 1e6:.0f} | {1e3 * time:.0f} | "
                f"{times[str(every)].over(times['None']).median:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
