"""A long sequence through a small LSTM beside the step alone in C, times the number of steps.

The C is the least that a step can be written as by hand: sizes that the compiler knows, one loop
over the steps, nothing around it. It has the functions of Rondo's kernels and their compiler flags.
One thread on one core; both sides in turn.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import rondo
from kept_runs import write_page
from rondo.compiler.render_c import _common, _types, functions_of
from rondo.compiler.runtime import load
from rondo.system.columns import markdown_table

SIZES = (16, 32)

STEP = """
enum { SIZE = %d };

/* h and c are the state; weights lie as (2 SIZE, 4 SIZE): those of x, then those of h. */
void lstm(
    int64_t num_steps, const float *x, const float *weights, const float *bias, float *h, float *c,
    float *output) {
    for (int64_t t = 0; t < num_steps; ++t, x += SIZE, output += SIZE) {
        float gates[4 * SIZE];
        for (int j = 0; j < 4 * SIZE; ++j) gates[j] = bias[j];
#pragma GCC unroll 64
        for (int k = 0; k < SIZE; ++k)
            for (int j = 0; j < 4 * SIZE; ++j) gates[j] += x[k] * weights[k * 4 * SIZE + j];
#pragma GCC unroll 64
        for (int k = 0; k < SIZE; ++k)
            for (int j = 0; j < 4 * SIZE; ++j)
                gates[j] += h[k] * weights[(SIZE + k) * 4 * SIZE + j];
        for (int j = 0; j < SIZE; ++j) {
            const float new = sigmoid_(gates[j]) * tanh_(gates[2 * SIZE + j]);
            c[j] = sigmoid_(gates[SIZE + j]) * c[j] + new;
            h[j] = output[j] = sigmoid_(gates[3 * SIZE + j]) * tanh_(c[j]);
        }
    }
}
"""

NOTES = """\
Forward, without gradients, B = 1, I = H, one thread on one core: medians of rounds in which the
sides take turns, in nanoseconds a step. The step in C is written by hand for its size alone, with
the functions and the compiler flags of Rondo's kernels.
"""


def by_hand(layer: nn.LSTM, x: Tensor) -> Callable[[], Tensor]:
    """The steps in C, as a function that returns the outputs."""
    text = "\n".join(
        (_types(torch.float32), *map(_common, functions_of("float")), STEP % layer.hidden_size)
    )
    function = load(text).lstm
    weights = torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], 1).t().detach().contiguous()
    bias = (layer.bias_ih_l0 + layer.bias_hh_l0).detach()

    def run() -> Tensor:
        h, c, output = torch.zeros_like(x[0]), torch.zeros_like(x[0]), torch.empty_like(x)
        tensors = (x, weights, bias, h, c, output)
        addresses = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
        function(ctypes.c_int64(len(x)), *addresses)
        return output

    return run


def measured(size: int, num_steps: int, rounds: int) -> list[str]:
    """The row of a size."""
    torch.manual_seed(0)
    layer, x = rondo.LSTM(size, size), torch.randn(num_steps, 1, size)
    theirs = nn.LSTM(size, size)
    theirs.load_state_dict(layer.state_dict())
    hand = by_hand(layer, x)
    sides = (hand, lambda: layer(x)[0], lambda: theirs(x)[0])
    torch.testing.assert_close(hand(), layer(x)[0])
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, found in zip(sides, times, strict=True):
            begin = time.perf_counter()
            side()
            found.append((time.perf_counter() - begin) / num_steps * 1e9)
    ratio = statistics.median(a / b for a, b in zip(times[1], times[0], strict=True))
    medians = [f"{statistics.median(found):.0f}" for found in times]
    return [str(size), *medians, f"{ratio:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with torch.no_grad():
        rows = [measured(size, arguments.steps, arguments.rounds) for size in SIZES]
    head = ["H", "the step in C", "rondo.LSTM", "torch.nn.LSTM", "Rondo / C"]
    section = f"## T = {arguments.steps}\n\n" + markdown_table(head, rows)
    page = arguments.output / "long_sequence.md"
    write_page(page, "A long sequence through a small LSTM", NOTES, [section], None)


if __name__ == "__main__":
    main()
