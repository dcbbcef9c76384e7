"""Training time of a layer: the planned backward pass against autograd through the same loop.

Planned, every weight gradient is one product over T*B rows after the backward loop. Autograd adds
up T small products. Both run the same reference engine forward; `torch.nn` stands beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

import rondo
from measure import machine, paired_times

SIZES = [(100, 32, 128, 128), (100, 1, 128, 128), (100, 64, 256, 256), (784, 64, 1, 128)]
CELLS = {"elman": (rondo.Elman, nn.RNN), "lstm": (rondo.LSTM, nn.LSTM), "gru": (rondo.GRU, nn.GRU)}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(machine())
    print("Forward and backward in ms, median; in brackets the time over the planned one.\n")
    print("| cell | T, B, I, H | planned | autograd, step by step | torch.nn |")
    print("|---|---|---|---|---|")
    for name, (make_cell, make_layer) in CELLS.items():
        for num_steps, batch_size, input_size, hidden_size in SIZES:
            cell = make_cell(input_size, hidden_size)
            layer, theirs = (
                rondo.Recurrent(cell),
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
