"""What it brings that a weight gradient is one product after the backward loop.

First the products alone: one over T*B rows against T small ones that are added up. Then forward and
backward of whole layers: planned by Rondo, by autograd through the plain loop, and `torch.nn`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

import rondo
from rondo.bench.cells import PlainLoop
from rondo.bench.measure import machine_lines, take_turns

SIZES = [(100, 32, 128, 128), (100, 1, 128, 128), (100, 64, 256, 256), (784, 64, 1, 128)]
CELLS = {
    "elman": (rondo.ElmanCell, nn.RNN),
    "lstm": (rondo.LSTMCell, nn.LSTM),
    "gru": (rondo.GRUCell, nn.GRU),
}


def training_step(
    run: Callable[[Tensor], Tensor], x: Tensor, module: nn.Module
) -> Callable[[], None]:
    """Forward and backward, as a function to time."""

    def step() -> None:
        module.zero_grad()
        run(x).sum().backward()

    return step


def compare_products(rounds: int) -> None:
    """The gradient of a recurrent matrix of four gates, (4H, T*B) times (T*B, H)."""
    print("The gradient of `weight_hh` of an LSTM alone, in ms, median.\n")
    print("| T, B, H | one product | T small ones | ratio |")
    print("|---|---|---|---|")
    for num_steps, batch_size, _, hidden_size in SIZES:
        gates = torch.randn(num_steps, batch_size, 4 * hidden_size)
        states = torch.randn(num_steps, batch_size, hidden_size)

        def one(gates: Tensor = gates, states: Tensor = states) -> Tensor:
            return gates.flatten(0, 1).t() @ states.flatten(0, 1)

        def many(gates: Tensor = gates, states: Tensor = states) -> Tensor:
            total = torch.zeros(gates.shape[2], states.shape[2])
            for g, h in zip(gates, states, strict=True):
                total += g.t() @ h
            return total

        torch.testing.assert_close(one(), many(), rtol=1e-3, atol=1e-3)
        times = take_turns({"one": one, "many": many}, 3 * rounds)
        one_s, many_s = times["one"].median, times["many"].median
        print(
            f"| {num_steps}, {batch_size}, {hidden_size} | {1e3 * one_s:.2f} | "
            f"{1e3 * many_s:.2f} | {many_s / one_s:.1f} |"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine_lines())
    compare_products(rounds)
    print("Forward and backward in ms, median; in brackets the time over the planned one.\n")
    print("| cell | T, B, I, H | planned | autograd, step by step | torch.nn |")
    print("|---|---|---|---|---|")
    for name, (make_cell, make_layer) in CELLS.items():
        for num_steps, batch_size, input_size, hidden_size in SIZES:
            cell = make_cell(input_size, hidden_size)
            layer, theirs = (
                rondo.Recurrent(cell, engine="reference"),
                make_layer(input_size, hidden_size, batch_first=True),
            )
            loop = PlainLoop(cell)
            x = torch.randn(batch_size, num_steps, input_size)
            times = take_turns(
                {
                    "planned": training_step(lambda x, layer=layer: layer(x)[0], x, layer),
                    "autograd": training_step(
                        lambda x, loop=loop: loop(x.transpose(0, 1))[0], x, cell
                    ),
                    "torch.nn": training_step(lambda x, theirs=theirs: theirs(x)[0], x, theirs),
                },
                rounds,
            )
            medians = {key: spread.median for key, spread in times.items()}
            planned = medians["planned"]
            rest = " | ".join(
                f"{1e3 * medians[key]:.1f} ({medians[key] / planned:.2f})"
                for key in ("autograd", "torch.nn")
            )
            sizes = f"{num_steps}, {batch_size}, {input_size}, {hidden_size}"
            print(f"| {name} | {sizes} | {1e3 * planned:.1f} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
