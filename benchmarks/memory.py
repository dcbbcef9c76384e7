"""How the memory of training grows with the length of sequences, in both precisions.

For each layer and T: what the autograd graph keeps between the passes beside x, y and the
parameters, and how far forward and backward raise the peak of the process's memory, each in a
process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import torch
from torch import nn

import rondo
from kept_runs import write_page
from memory_use import kept_bytes, raised_peak, training_step
from rondo.bench.measure import take_turns
from rondo.system.columns import markdown_table

LAYERS = {
    "torch.nn.LSTM": lambda size: nn.LSTM(size, size),
    "LSTM": lambda size: rondo.Recurrent(rondo.LSTMCell(size, size), batch_first=False),
    "LSTM, checkpoints": lambda size: rondo.Recurrent(
        rondo.LSTMCell(size, size), batch_first=False, checkpoint_every="auto"
    ),
    "torch.nn.GRU": lambda size: nn.GRU(size, size),
    "GRU": lambda size: rondo.Recurrent(rondo.GRUCell(size, size), batch_first=False),
    "GRU, checkpoints": lambda size: rondo.Recurrent(
        rondo.GRUCell(size, size), batch_first=False, checkpoint_every="auto"
    ),
}
STEPS = (256, 1024, 4096, 16384)

LONG_STEPS, LONG_BATCH, LONG_SIZE = 1000, 32, 256
NUM_ROUNDS = 3


def with_checkpoints(layer: nn.Module) -> nn.Module:
    """The layer, which keeps the states of some steps alone."""
    layer.checkpoint_every = "auto"  # type: ignore[assignment]
    return layer


DROP_INS = {
    "torch.nn.LSTM": nn.LSTM,
    "rondo.LSTM": rondo.LSTM,
    'rondo.LSTM, `checkpoint_every="auto"`': lambda i, h: with_checkpoints(rondo.LSTM(i, h)),
    "torch.nn.GRU": nn.GRU,
    "rondo.GRU": rondo.GRU,
    'rondo.GRU, `checkpoint_every="auto"`': lambda i, h: with_checkpoints(rondo.GRU(i, h)),
}

NOTES = """\
Forward and backward, time first, in MB (a million bytes). "Kept" is what lies between the passes
beside the input, the output and the parameters; "peak" is by how much forward and backward raise
the most memory that a process has held, without the input, which was there before. bfloat16 is
`torch.autocast("cpu", torch.bfloat16)`; the copy of the input in bfloat16 counts as kept.
Checkpoints are `checkpoint_every="auto"`, the state of every 2 sqrt(T)-th step.
"""


def measured(name: str, bfloat16: bool, sizes: tuple[int, int, int]) -> tuple[float, float]:
    """What a layer keeps, and by how much it raises the peak, in MB."""
    num_steps, batch_size, width = sizes
    torch.manual_seed(0)
    layer = LAYERS[name](width) if name in LAYERS else DROP_INS[name](width, width)
    x = torch.randn(num_steps, batch_size, width)
    peak = raised_peak(layer, x, bfloat16)
    return kept_bytes(layer, x, bfloat16) / 1e6, peak / 1e6


def long_batch() -> str:
    """What drop-ins keep of a long batch, and their time."""
    sizes = LONG_STEPS, LONG_BATCH, LONG_SIZE
    x = torch.randn(*sizes)
    unit = x.nbytes / 1e6

    layers = {name: make(LONG_SIZE, LONG_SIZE) for name, make in DROP_INS.items()}
    times = take_turns(
        {name: training_step(layer, x) for name, layer in layers.items()}, NUM_ROUNDS
    )
    rows = []
    for name in layers:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            kept, peak = pool.apply(measured, (name, False, sizes))
        time = f"{1e3 * times[name].median:.0f}"
        rows.append([name, f"{kept:.1f}", f"{peak:.0f}", time, f"{kept / unit:.2f}"])
    head = ["layer", "kept, MB", "peak, MB", "time, ms", "kept, in units"]
    return (
        f"## What a long batch keeps: T = {LONG_STEPS}, B = {LONG_BATCH}, I = H = {LONG_SIZE}, "
        f"float32\n\n{LONG_NOTES}\n{markdown_table(head, rows)}\n\n{WHY}"
    )


LONG_NOTES = f"""\
Drop-ins, forward and backward, in turn in one process, the median of {NUM_ROUNDS} rounds. The unit
of the last column is one number for each unit, row and step; the output is not counted as kept, but
it and its gradient are 2 of these in the peak.
"""

WHY = """\
Less than 5 units for the LSTM without another product? The backward pass reads i, f, g, o, c(t-1)
and c(t), and the state h, which is the output. `c` follows from the gates step by step, forwards,
from a checkpoint every few steps: at best 4 units and a little remain. Given h and c, o = h /
tanh(c) but where tanh(c) = 0; f c(t-1) = c(t) - i g loses digits. So less takes products again: one
gate of four is 1/12 of the multiplications of a training step, 8 % at least.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=128, help="of the input and the state")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    sections = []
    for bfloat16 in (False, True):
        rows = []
        for name in LAYERS:
            row = [name]
            for num_steps in STEPS:
                sizes = num_steps, arguments.batch, arguments.size
                with spawn.Pool(1) as pool:
                    kept, peak = pool.apply(measured, (name, bfloat16, sizes))
                row.append(f"{kept:.1f} / {peak:.0f}")
            rows.append(row)
        head = ["kept / peak, MB", *(f"T = {number}" for number in STEPS)]
        title = "bfloat16 autocast" if bfloat16 else "float32"
        sections.append(
            f"## {title}, B = {arguments.batch}, I = H = {arguments.size}\n\n"
            + markdown_table(head, rows)
        )
    sections.append(long_batch())
    write_page(arguments.output / "memory.md", "Memory by length", NOTES, sections, None)


if __name__ == "__main__":
    main()
