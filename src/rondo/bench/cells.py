"""Cells that torch.nn does not have, written as a user would, and the plain loop over any cell."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils import _pytree as pytree

from rondo.cells import Cell, ElmanCell, GRUCell, LSTMCell, initial_state

Pair = tuple[Tensor, Tensor]


class NormPeepholeLSTM(Cell):
    """An LSTM with peepholes (Gers & Schmidhuber, 2000), and layer norm on the c that h reads."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self._add_weights(4, bias=True, recurrent_bias=False)
        self.peephole = nn.Parameter(torch.randn(3, hidden_size) / 10)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        """One step: the output h and the new (h, c)."""
        h, c = state
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh)
        i, f, g, o = gates.chunk(4, -1)
        i = torch.sigmoid(i + self.peephole[0] * c)
        f = torch.sigmoid(f + self.peephole[1] * c)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + self.peephole[2] * c)
        h = o * torch.tanh(self.norm(c))
        return h, (h, c)


class ResetFirstGRU(Cell):
    """A GRU that resets the state before the product with it, as in Cho et al., 2014."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._add_weights(3, bias=True, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> Pair:
        """One step: the output and the new state, which are the same."""
        x_r, x_z, x_n = linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        size = self.hidden_size
        h_r, h_z = linear(h, self.weight_hh[: 2 * size]).chunk(2, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + linear(r * h, self.weight_hh[2 * size :]))
        h = (1 - z) * n + z * h
        return h, h


class MinimalGatedUnit(Cell):
    """One gate f that both forgets and resets (Zhou et al., 2016); gates in the order f, n."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._add_weights(2, bias=True, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> Pair:
        """One step: the output and the new state, which are the same."""
        x_f, x_n = linear(x, self.weight_ih, self.bias_ih).chunk(2, -1)
        weight_f, weight_n = self.weight_hh.chunk(2)
        f = torch.sigmoid(x_f + linear(h, weight_f))
        n = torch.tanh(x_n + linear(f * h, weight_n))
        h = (1 - f) * h + f * n
        return h, h


class MultiplicativeLSTM(Cell):
    """An LSTM whose gates read m = (W_mx x) (W_mh h) in place of h (Krause et al., 2016).

    `weight_ih` and `bias_ih` make m, i, f, g, o from x; `weight_hh` makes m from h; `weight_mh`
    makes i, f, g, o from m.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self.weight_ih = nn.Parameter(torch.empty(5 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(5 * hidden_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.weight_mh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.reset_parameters()

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        """One step: the output h and the new (h, c)."""
        h, c = state
        from_x = linear(x, self.weight_ih, self.bias_ih)
        m = from_x[:, : self.hidden_size] * linear(h, self.weight_hh)
        gates = from_x[:, self.hidden_size :] + linear(m, self.weight_mh)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


class RandomCell(Cell):
    """Gates with random activations, which random arithmetic joins with the state.

    Args:
        input_size: The size of x.
        hidden_size: The size of the state, and of each gate.
        activations: What is applied to each gate, by the names of torch's functions.
        operations: For each gate, what joins the first two values into a new last one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        activations: tuple[str, ...],
        operations: tuple[str, ...],
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.activations, self.operations = activations, operations
        self._add_weights(len(activations), bias=True, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> Pair:
        """One step: the output and the new state, which are the same."""
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh)
        parts = zip(self.activations, gates.chunk(len(self.activations), -1), strict=True)
        values = [h, *(getattr(torch, name)(part) for name, part in parts)]
        for name in self.operations:
            first, second, *values = values
            values.append(getattr(torch, name)(first, second))
        h = torch.tanh(values[0])
        return h, h


def random_cell(seed: int) -> tuple[CellClass, int]:
    """Returns the class of a random cell, always the same for a seed, and its number of gates."""
    draw = random.Random(seed)
    num_gates = draw.randint(2, 5)
    activations = draw.choices(("sigmoid", "tanh", "relu", "sin"), k=num_gates)
    operations = draw.choices(("mul", "add", "sub", "maximum"), k=num_gates)
    make_cell = partial(RandomCell, activations=(*activations,), operations=(*operations,))
    return make_cell, num_gates


CellClass = Callable[[int, int], nn.Module]

TORCH_CELLS: dict[str, tuple[CellClass, int]] = {
    "GRU": (GRUCell, 3),
    "RNN": (lambda i, h: ElmanCell(i, h, recurrent_bias=True), 1),
    "LSTM": (lambda i, h: LSTMCell(i, h, recurrent_bias=True), 4),
}
"""The cells of torch's modules, with torch's parameters; the products, each H wide, of a step."""

CUSTOM_CELLS: dict[str, tuple[CellClass, int]] = {
    "LSTM with layer norm and peepholes": (NormPeepholeLSTM, 4),
    "GRU, reset first": (ResetFirstGRU, 3),
    "minimal gated unit": (MinimalGatedUnit, 2),
    "multiplicative LSTM": (MultiplicativeLSTM, 5),
    **{f"random cell {seed}": random_cell(seed) for seed in (1, 2, 3)},
}
"""The same of cells that torch.nn does not have."""


class PlainLoop(nn.Module):
    """A cell in a loop over the steps, as one writes it by hand; x is (T, B, I)."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, resets: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """All outputs (T, B, H) and the last state; see `rondo.Recurrent` for the arguments."""
        start = state = initial_state(self.cell, x[0])
        outputs = []
        for t, x_t in enumerate(x.unbind(0)):
            old = state
            if resets is not None:
                state = _choose(resets[:, t], start, state)
            y, state = self.cell(x_t, state)
            if lengths is not None:
                y, state = _choose(t < lengths, (y, state), (torch.zeros_like(y), old))
            outputs.append(y)
        return torch.stack(outputs), state


def _choose(condition: Tensor, first: Any, second: Any) -> Any:
    """The rows of the first state where the condition (B,) holds, elsewhere of the second."""
    return pytree.tree_map(lambda a, b: torch.where(condition[:, None], a, b), first, second)
