"""The cells and sizes that every engine is tested with, as data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.cells.lstm_variants import GATES as LSTM_VARIANTS
from rondo.data.seeds import seed_layers

GOLDEN = Path(__file__).parent / "golden"
"""Texts that generated ones are compared with."""


class PeepholeNormLSTM(rondo.Cell):
    """An LSTM with peepholes, layer norm on c, a deep output and a constant in its step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self.output_size = 2
        self.from_x = nn.Linear(input_size, 4 * hidden_size)
        self.from_h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.peephole = nn.Parameter(torch.randn(hidden_size))
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Sequential(nn.Linear(hidden_size, 3), nn.GELU(), nn.Linear(3, 2))
        self.register_buffer("scale", torch.tensor(0.7))

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        h, c = state
        i, f, g, o = (self.from_x(x) + self.from_h(h)).chunk(4, -1)
        c = torch.sigmoid(f + self.peephole * c) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.norm(c)) * self.scale
        return self.out(h), (h, c)


class NormalisedWeight(rondo.Cell):
    """A recurrent matrix of unit rows: work on parameters only. A dict of states of two widths."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, {"h": hidden_size, "trace": 2})
        self.W = nn.Parameter(torch.randn(hidden_size, hidden_size))
        self.U = nn.Linear(input_size, hidden_size)
        self.P = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        weight = self.W / self.W.norm(dim=1, keepdim=True)
        h = torch.tanh(self.U(x) + state["h"] @ weight.T)
        trace = 0.5 * state["trace"] + torch.softmax(self.P(h), -1)
        return h * trace.sum(-1, keepdim=True), {"h": h, "trace": trace}


class OneProduct(rondo.Cell):
    """The input and the state side by side in one product, changed in place; reset before it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gates = self.gates(torch.cat([x, h], 1)).sigmoid_()
        r, z = gates[:, : self.hidden_size], gates[:, self.hidden_size :]
        n = torch.tanh(self.candidate(torch.cat([x, r * h], 1)))
        h = torch.lerp(n, h, z)
        return h, h


class BlockDiagonal(rondo.Cell):
    """Two heads with a matrix each; rows lie in another dimension in between."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, 2 * hidden_size)
        self.U = nn.Linear(input_size, 2 * hidden_size)
        self.W = nn.Parameter(torch.randn(2, hidden_size, hidden_size) / hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        heads = h.view(-1, 2, self.W.shape[1]).transpose(0, 1)
        recurrent = torch.bmm(heads, self.W).transpose(0, 1).reshape(h.shape)
        h = torch.relu(self.U(x) + recurrent) - 0.1 * h
        return torch.where(h > 0.5, h, h.square()), h


class Memoryless(rondo.Cell):
    """A step that ignores its state: nothing is left in the loop but the state itself."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.U = nn.Linear(input_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.U(x), h


class ForcedJordan(rondo.JordanCell):
    """A Jordan cell that is given its true outputs, here made of x."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, 2, decay=0.4, teacher_forcing=True)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        given = x.square().mean(-1, keepdim=True)
        return super().forward(torch.cat([x, given, 1 - given], -1), context)


CellFactory = Callable[[int, int], nn.Module]

CELLS: dict[str, CellFactory] = {
    "elman": rondo.ElmanCell,
    "elman-relu": lambda i, h: rondo.ElmanCell(i, h, nonlinearity="relu", bias=False),
    "lstm": rondo.LSTMCell,
    "lstm-two-biases": lambda i, h: rondo.LSTMCell(i, h, recurrent_bias=True),
    "gru": rondo.GRUCell,
    "peephole-norm-lstm": PeepholeNormLSTM,
    "normalised-weight": NormalisedWeight,
    "one-product": OneProduct,
    "block-diagonal": BlockDiagonal,
    "memoryless": Memoryless,
}
"""The cells that every test of an engine runs: every form of state, every kind of operation."""


def variant(name: str) -> CellFactory:
    return lambda i, h: rondo.LSTMVariantCell(i, h, variant=name)


VARIANTS: dict[str, CellFactory] = {
    "jordan": lambda i, h: rondo.JordanCell(i, h, h + 1, decay=0.3),
    "jordan-linear": lambda i, h: rondo.JordanCell(
        i, h, 3, output_nonlinearity="softmax", feedback="linear", bias=False
    ),
    "jordan-forced": ForcedJordan,
    "indrnn": rondo.IndRNNCell,
    "dt-rnn": lambda i, h: rondo.DeepCell(i, h, transition_sizes=(h + 2, 5)),
    "dts-rnn": lambda i, h: rondo.DeepCell(i, h, transition_sizes=(h + 2, 5), shortcut=True),
    "do-rnn": lambda i, h: rondo.DeepCell(i, h, output_sizes=(6, 3), output_nonlinearity="softmax"),
    "dot-rnn": lambda i, h: rondo.DeepCell(i, h, transition_sizes=(5,), output_sizes=(6, 3)),
    "dots-rnn": lambda i, h: rondo.DeepCell(
        i, h, transition_sizes=(5,), shortcut=True, output_sizes=(6, 3), nonlinearity="relu"
    ),
    "stack": lambda i, h: rondo.StackedCell(
        rondo.GRUCell(i, h), rondo.LSTMCell(h, 3), rondo.ElmanCell(3, h)
    ),
    "stack-shortcuts": lambda i, h: rondo.StackedCell(
        rondo.LSTMCell(i, h), rondo.ElmanCell(i + h, 3), shortcuts=True
    ),
    "lstm-peepholes": lambda i, h: rondo.LSTMCell(i, h, peepholes=True, forget_bias=1.0),
    "lstm-peepholes-projection": lambda i, h: rondo.LSTMCell(i, h, peepholes=True, proj_size=2),
    "lstm-1997": rondo.LSTM1997Cell,
    **{f"lstm-{name}": variant(name) for name in LSTM_VARIANTS},
    "slstm": rondo.SLSTMCell,
    "slstm-heads": lambda i, h: rondo.SLSTMCell(i, 3 * h, num_heads=3),
    "gru-reset-before": lambda i, h: rondo.GRUCell(i, h, reset="before", update="new"),
    "gru-update-new": lambda i, h: rondo.GRUCell(i, h, update="new", bias=False),
    "mgu": rondo.MGUCell,
    "min-gru": rondo.MinGRUCell,
    "min-lstm": rondo.MinLSTMCell,
    "lru": lambda i, h: rondo.LRUCell(i, h, 3),
    "layer-norm-elman": rondo.LayerNormElmanCell,
    "layer-norm-lstm": rondo.LayerNormLSTMCell,
    "layer-norm-gru": rondo.LayerNormGRUCell,
    "variational-elman": lambda i, h: rondo.VariationalCell(rondo.ElmanCell(i, h)),
    "variational-lstm": lambda i, h: rondo.VariationalCell(rondo.LSTMCell(i, h, proj_size=2)),
    "variational-gru": lambda i, h: rondo.VariationalCell(rondo.GRUCell(i, h, reset="before")),
    "zoneout-at-rest": lambda i, h: rondo.ZoneoutCell(rondo.LSTMCell(i, h), (0.1, 0.5)).eval(),
}
"""The other cells of the library; a few tests run them, and the full matrix is marked slow."""

# batch_size, num_steps, input_size, hidden_size
SIZES = [(1, 1, 1, 1), (3, 5, 4, 7), (2, 3, 3, 17), (5, 4, 1, 2), (2, 3, 19, 4)]


def slow_beyond(names: Iterable[str], some: Collection[str]) -> list[Any]:
    """All of the names as parameters; those beyond some of them belong to the slow tests."""
    return [name if name in some else pytest.param(name, marks=pytest.mark.slow) for name in names]


def make_cell(name: str, input_size: int, hidden_size: int, dtype: torch.dtype) -> nn.Module:
    """A cell with parameters that are all different, the same at every call."""
    seed_layers(7)
    return (CELLS | VARIANTS)[name](input_size, hidden_size).to(dtype)


def relative_error(value: Tensor, exact: Tensor) -> float:
    """The root mean square error, relative to that of the exact value."""
    scale = exact.square().mean().sqrt().clamp_min(1e-30)
    return ((value.double() - exact).square().mean().sqrt() / scale).item()


def check_golden(name: str, text: str) -> None:
    """Fails where a text is not as it was; to change it on purpose, remove the file and look."""
    path = GOLDEN / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{name} was not there and is written now")
    assert text == path.read_text()
