"""The Elman cell: the simplest loop, from the hidden layer to itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from rondo.cells.cell import Cell

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class ElmanCell(Cell):
    """h(t) = φ(U x(t) + W h(t-1) + b); the output is h(t).

    Elman, "Finding structure in time", 1990, with its context units written as the previous state.
    `torch.nn.RNNCell` with one bias instead of two that are only ever added.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        nonlinearity: φ, "tanh" or "relu".
        bias: Whether there is b (`bias_ih`).
        recurrent_bias: Whether to have torch's second bias `bias_hh` too, for weights from there.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` U (H, I), `weight_hh` W (H, H).

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.ElmanCell(3, 5))(torch.randn(2, 7, 3))
        >>> bool((y[:, -1] == h).all())
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        recurrent_bias: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ACTIVATIONS:
            known = " or ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"nonlinearity must be {known}, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        self._add_weights(1, bias=bias, recurrent_bias=recurrent_bias)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        a = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        h = ACTIVATIONS[self.nonlinearity](a)
        return h, h
