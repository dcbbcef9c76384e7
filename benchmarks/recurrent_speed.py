"""How fast recurrent layers are: Rondo's beside torch.nn's, and cells that torch.nn does not have.

Each row first checks that both give the same numbers, then times them in turn: forward alone, and
forward and backward. A cell of one's own is compared with the plain loop over its steps, and its
time for each multiplication with that of Rondo's LSTM.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import rondo
from measure import machine, paired_times

SIZES = [
    (100, 32, 128, 128),
    (100, 1, 128, 128),
    (100, 64, 256, 256),
    (50, 64, 512, 512),
    (784, 64, 1, 128),
    (35, 20, 650, 650),
]
MODULES = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


class NormPeepholeLSTM(rondo.Cell):
    """An LSTM with peepholes and layer norm on the new c."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self._add_weights(4, bias=True, recurrent_bias=False)
        self.peephole = nn.Parameter(torch.randn(3, hidden_size) / 10)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh)
        i, f, g, o = gates.chunk(4, -1)
        i = torch.sigmoid(i + self.peephole[0] * c)
        f = torch.sigmoid(f + self.peephole[1] * c)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + self.peephole[2] * c)
        h = o * torch.tanh(self.norm(c))
        return h, (h, c)


class ResetFirstGRU(rondo.Cell):
    """A GRU that resets the state before the product with it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.from_x = nn.Linear(input_size, 3 * hidden_size)
        self.gates = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        x_r, x_z, x_n = self.from_x(x).chunk(3, -1)
        h_r, h_z = self.gates(h).chunk(2, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + self.candidate(r * h))
        h = (1 - z) * n + z * h
        return h, h


class MinimalGatedUnit(rondo.Cell):
    """One gate that both forgets and resets (Zhou et al., 2016)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.from_x = nn.Linear(input_size, 2 * hidden_size)
        self.gate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        x_f, x_n = self.from_x(x).chunk(2, -1)
        f = torch.sigmoid(x_f + self.gate(h))
        n = torch.tanh(x_n + self.candidate(f * h))
        h = (1 - f) * h + f * n
        return h, h


CUSTOM = {
    "LSTM": (rondo.LSTMCell, 4),
    "LSTM with layer norm and peepholes": (NormPeepholeLSTM, 4),
    "GRU, reset first": (ResetFirstGRU, 3),
    "minimal gated unit": (MinimalGatedUnit, 2),
}


def forward(module: nn.Module, x: Tensor) -> Callable[[], None]:
    @torch.no_grad()
    def run() -> None:
        module(x)

    return run


def training_step(module: nn.Module, x: Tensor, weight: Tensor) -> Callable[[], None]:
    def run() -> None:
        module.zero_grad()
        module(x)[0].backward(weight)

    return run


def check(ours: nn.Module, theirs: nn.Module, x: Tensor, weight: Tensor) -> None:
    """Fails where outputs or gradients differ by more than rounding."""
    outcomes = []
    for module in (ours, theirs):
        training_step(module, x, weight)()
        gradients = [parameter.grad for parameter in module.parameters()]
        outcomes.append([module(x)[0].detach(), *(g.clone() for g in gradients if g is not None)])
    for a, b in zip(*outcomes, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm(), "both must give the same numbers"


def compare_with_torch(num_rounds: int) -> None:
    print("| module | T, B, I, H | forward: ms, torch's | ratio | with backward | ratio |")
    print("|---|---|---|---|---|---|")
    for name, module_class in MODULES.items():
        for num_steps, batch_size, input_size, hidden_size in SIZES:
            theirs = module_class(input_size, hidden_size)
            ours = getattr(rondo, name)(input_size, hidden_size)
            ours.load_state_dict(theirs.state_dict())
            x = torch.randn(num_steps, batch_size, input_size)
            weight = torch.randn(num_steps, batch_size, hidden_size)
            check(ours, theirs, x, weight)
            cells = [f"{name} | {num_steps}, {batch_size}, {input_size}, {hidden_size}"]
            for make in (
                lambda module, x=x: forward(module, x),
                lambda module, x=x, weight=weight: training_step(module, x, weight),
            ):
                rounds = num_rounds if batch_size > 1 else 10 * num_rounds
                times = paired_times({"ours": make(ours), "theirs": make(theirs)}, rounds)
                a, b = 1e3 * times["ours"], 1e3 * times["theirs"]
                cells.append(f"{a:.2f}, {b:.2f} | **{b / a:.2f}**")
            print(f"| {' | '.join(cells)} |", flush=True)


class PlainLoop(nn.Module):
    """A cell in a loop over the steps, as one writes it by hand."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        state = rondo.cells.initial_state(self.cell, x[0])
        outputs = []
        for x_t in x.unbind(0):
            y, state = self.cell(x_t, state)
            outputs.append(y)
        return torch.stack(outputs), state


def compare_custom(num_rounds: int) -> None:
    num_steps, batch_size, size = 100, 32, 128
    print("| cell | rondo, ms | plain loop, ms | ratio | per multiplication, LSTM = 1 |")
    print("|---|---|---|---|---|")
    x = torch.randn(num_steps, batch_size, size)
    weight = torch.randn(num_steps, batch_size, size)
    reference = None
    for name, (make_cell, num_gates) in CUSTOM.items():
        cell = make_cell(size, size)
        ours, plain = rondo.Recurrent(cell, batch_first=False), PlainLoop(cell)
        check(ours, plain, x, weight)
        times = paired_times(
            {"ours": training_step(ours, x, weight), "plain": training_step(plain, x, weight)},
            num_rounds,
        )
        per_gate = times["ours"] / num_gates
        reference = reference or per_gate
        print(
            f"| {name} | {1e3 * times['ours']:.1f} | {1e3 * times['plain']:.1f} | "
            f"**{times['plain'] / times['ours']:.1f}** | {per_gate / reference:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="timed runs of each")
    arguments = parser.parse_args()
    print(machine())
    print("Rondo beside torch.nn, ms, medians; a ratio above 1: Rondo is faster.\n")
    compare_with_torch(arguments.rounds)
    print("\nCells of one's own: forward and backward at T 100, B 32, I = H = 128.\n")
    compare_custom(arguments.rounds)


if __name__ == "__main__":
    main()
