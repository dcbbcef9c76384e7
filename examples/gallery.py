"""Draws the pictures of the docs; run `python examples/gallery.py` to make them anew."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import rondo
from rondo.cells.named import NAMED_CELLS
from rondo.drawing import Drawing
from rondo.layers import output_to_state, state_to_final_output, state_to_state

NUM_STEPS = {"many_loops": 4, "lstm": 2, "three_layers": 2}
"""Of the unrolled pictures; default 3. Wider ones would be shrunk by the page that shows them."""

IMAGES = Path(__file__).parents[1] / "docs" / "images"


class NormalisedCell(rondo.Cell):
    """A cell with work in all four stages: a normalised weight, and a network above the state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.U = nn.Linear(input_size, hidden_size)
        self.W = nn.Parameter(torch.eye(hidden_size))
        self.V = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the probabilities of two classes, and the new state."""
        weight = self.W / self.W.norm()
        h = torch.tanh(self.U(x) + h @ weight)
        return torch.softmax(self.V(h), -1), h


def system(*, driven: bool) -> rondo.GraphCell:
    """A dynamical system h(t) = f(h(t-1)), or f(h(t-1), x(t))."""
    edges = {"f": rondo.Edge("h", "h", torch.sin, delay=1)}
    if driven:
        edges["g"] = rondo.Edge("x", "h", torch.sin)
    return rondo.GraphCell({"h": rondo.Node(3)}, edges, output="h", input_size=3 * driven)


def many_loops() -> rondo.GraphCell:
    """Two hidden layers with loops of their own, one from the upper to the lower, one longer."""
    return rondo.GraphCell(
        nodes={
            "h": rondo.Node(4, torch.tanh),
            "k": rondo.Node(4, torch.tanh),
            "y": rondo.Node(2),
        },
        edges={
            "U": rondo.Edge("x", "h", nn.Linear(3, 4)),
            "W": rondo.Edge("h", "h", nn.Linear(4, 4), delay=1),
            "A": rondo.Edge("h", "k", nn.Linear(4, 4)),
            "R": rondo.Edge("k", "k", nn.Linear(4, 4), delay=2),
            "B": rondo.Edge("y", "h", nn.Linear(2, 4), delay=1),
            "V": rondo.Edge("k", "y", nn.Linear(4, 2)),
        },
        output="y",
        input_size=3,
    )


def gallery() -> dict[str, Drawing]:
    """Every picture by the name of its file."""
    lstm = rondo.Recurrent(rondo.LSTMCell(3, 4))
    pairs = {
        "system": system(driven=False),
        "driven_system": system(driven=True),
        "state_to_state": state_to_state(3, 4, 2),
        "output_to_state": output_to_state(3, 4, 2),
        "state_to_final_output": state_to_final_output(3, 4, 2),
        "many_loops": many_loops(),
        "lstm": lstm,
        "two_directions": rondo.Bidirectional(rondo.LSTMCell(3, 4), rondo.GRUCell(3, 4)),
        "three_layers": nn.LSTM(3, 4, num_layers=3, bidirectional=True),
        "projected": nn.LSTM(3, 4, num_layers=2, proj_size=2),
        "spatial": rondo.SpatialRNN((2, 4), rondo.GRUCell, input_channels=3, hidden_size=4),
    }
    pictures = {name: rondo.draw(thing) for name, thing in pairs.items()}
    for name, thing in pairs.items():
        pictures[f"{name}_unrolled"] = rondo.draw(thing, steps=NUM_STEPS.get(name, 3))
    return {
        **pictures,
        "gru": rondo.draw(rondo.GRUCell(3, 4)),
        "lstm_plan": lstm.plan.draw(),
        "lstm_backward_plan": lstm.backward_plan.draw(),
        "normalised_plan": rondo.Recurrent(NormalisedCell(3, 4)).plan.draw(),
    }


def cells() -> dict[str, Drawing]:
    """The cells of docs/cells.md by their names, which are those of the files."""
    return {name: rondo.draw(make(3, 4)) for name, make in NAMED_CELLS.items()}


def main(folder: Path = IMAGES) -> None:
    """Write every picture into a folder."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for name, drawing in gallery().items():
        drawing.save(folder / f"{name}.svg")
    for name, drawing in cells().items():
        drawing.save(folder / "cells" / f"{name}.svg")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
