"""Draws the pictures of docs/training.md; run `python examples/gradient_flow.py` to make them anew.

The first shows networks as they start, the second two LSTMs before and after they were to learn to
keep a number from the first half of a sequence to its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import rondo
from rondo.looks.flow_picture import draw_flows
from rondo.training import GradientFlow, Objective, gradient_flow

IMAGES = Path(__file__).parents[1] / "docs" / "images" / "training"
NUM_STEPS, HIDDEN_SIZE = 60, 64


def at_start() -> dict[str, GradientFlow]:
    """How far the gradient of the last step reaches back in networks that have learned nothing."""
    torch.manual_seed(0)
    x = torch.randn(16, NUM_STEPS, 10)
    cells = {
        "Elman, tanh": rondo.ElmanCell(10, HIDDEN_SIZE),
        "GRU": rondo.GRUCell(10, HIDDEN_SIZE),
        "LSTM, forget bias 0": rondo.LSTMCell(10, HIDDEN_SIZE, forget_bias=0.0),
        "LSTM, forget bias 2": rondo.LSTMCell(10, HIDDEN_SIZE, forget_bias=2.0),
    }
    return {name: gradient_flow(rondo.Recurrent(cell), x) for name, cell in cells.items()}


def marked_numbers(num_rows: int, marked_step: int | None = None) -> tuple[Tensor, Tensor]:
    """Noise with one marked number of each row, which is to be told at the end: (B, T, 2), (B,)."""
    numbers = 2.0 * torch.randint(0, 2, (num_rows, NUM_STEPS)) - 1
    step = torch.randint(0, NUM_STEPS // 2, (num_rows,))
    step = step if marked_step is None else torch.full_like(step, marked_step)
    marks = nn.functional.one_hot(step, NUM_STEPS)
    target = numbers[torch.arange(num_rows), step] > 0
    return torch.stack([numbers, marks], -1), target.long()


def while_learning(num_updates: int = 300) -> dict[str, GradientFlow]:
    """Two LSTMs that are to tell the marked number; in the sequence shown it stands at t = 21."""
    shown, _ = marked_numbers(1, marked_step=20)
    flows = {}
    for forget_bias in (0.0, 4.0):
        torch.manual_seed(0)
        cell = rondo.LSTMCell(2, 16, forget_bias=forget_bias)
        model = rondo.FinalOutput(cell, nn.Linear(16, 2))
        flows[f"forget bias {forget_bias:g}, at the start"] = gradient_flow(model, shown)
        J = learn(model, num_updates)
        flows[f"forget bias {forget_bias:g}, {num_updates} updates"] = gradient_flow(model, shown)
        print(f"forget bias {forget_bias:g}: J = {J:.4f} nats after {num_updates} updates")
    return flows


def learn(model: nn.Module, num_updates: int) -> float:
    """Train a model to tell the marked number; return J of the last batch, in nats."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    objective = Objective("cross_entropy")
    for _ in range(num_updates):
        x, target = marked_numbers(64)
        optimizer.zero_grad()
        J = objective(model(x)[0], target)
        J.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
    return J.item()


def main(folder: Path = IMAGES) -> None:
    """Write both pictures into a folder."""
    for name, flows in (("at_start", at_start()), ("while_learning", while_learning())):
        draw_flows(flows, folder / f"{name}.svg")
        for title, flow in flows.items():
            print(f"{title}\n{flow}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
