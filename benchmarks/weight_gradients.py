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
from measure import machine, paired_times

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


def by_autograd(cell: nn.Module) -> Callable[[Tensor], Tensor]:
    """The plain loop, the input product taken out of it by hand where the cell is from torch."""

    def run(x: Tensor) -> Tensor:
        state = rondo.cells.initial_state(cell, x[:, 0])
        outputs = []
        for x_t in x.unbind(1):
            y, state = cell(x_t, state)
            outputs.append(y)
        return torch.stack(outputs, 1)

    return run


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
        times = paired_times({"one": one, "many": many}, 3 * rounds)
        print(
            f"| {num_steps}, {batch_size}, {hidden_size} | {1e3 * times['one']:.2f} | "
            f"{1e3 * times['many']:.2f} | {times['many'] / times['one']:.1f} |"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine())
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
            x = torch.randn(batch_size, num_steps, input_size)
            times = paired_times(
                {
                    "planned": training_step(lambda x, layer=layer: layer(x)[0], x, layer),
                    "autograd": training_step(by_autograd(cell), x, cell),
                    "torch.nn": training_step(lambda x, theirs=theirs: theirs(x)[0], x, theirs),
                },
                rounds,
            )
            planned = times["planned"]
            rest = " | ".join(
                f"{1e3 * times[key]:.1f} ({times[key] / planned:.2f})"
                for key in ("autograd", "torch.nn")
            )
            sizes = f"{num_steps}, {batch_size}, {input_size}, {hidden_size}"
            print(f"| {name} | {sizes} | {1e3 * planned:.1f} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
