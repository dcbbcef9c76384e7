"""Cells with layer norm: Ba, Kiros & Hinton, "Layer normalization", 2016.

LN(a) = (a - mean a) / sqrt(var a + 1e-5), over the units of a row, times a gain, plus a bias that
takes the place of the cell's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rondo.cells.cell import ACTIVATIONS, Cell, check_choice


class LayerNormElmanCell(Cell):
    """h(t) = φ(LN(U x(t) + W h(t-1))); the output is h(t).

    Ba et al., 2016, equation 4. The mean and variance depend on h(t-1), so they are in the loop.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        nonlinearity: φ, "tanh" or "relu".

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` U (H, I), `weight_hh` W (H, H), `norm` LN.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.LayerNormElmanCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size)
        check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        self.nonlinearity = nonlinearity
        self.norm = nn.LayerNorm(hidden_size)
        self._add_weights(1, bias=False, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        a = self.norm(linear(x, self.weight_ih) + linear(h, self.weight_hh))
        h = ACTIVATIONS[self.nonlinearity](a)
        return h, h


class LayerNormLSTMCell(Cell):
    """The LSTM with three layer norms.

    i, f, g, o = LN_x(W_ih x(t)) + LN_h(W_hh h(t-1)), each H wide;
    c(t) = σ(f) c(t-1) + σ(i) tanh(g);  h(t) = σ(o) tanh(LN_c(c(t))); the output is h(t).

    Ba et al., 2016, equations 20 to 22. LN_h has no bias here: it would only be added to that of
    LN_x. What the next step gets is c(t), not its norm.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of h, c and the output.

    Shape:
        x (B, I), state (h, c) of (B, H) each; output (B, H). `weight_ih` (4H, I), `weight_hh`
        (4H, H), in the order i, f, g, o; `norm_x`, `norm_h` over 4H, `norm_c` over H.

    Example:
        >>> import torch, rondo
        >>> y, (h, c) = rondo.Recurrent(rondo.LayerNormLSTMCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        self.norm_x = nn.LayerNorm(4 * hidden_size)
        self.norm_h = nn.LayerNorm(4 * hidden_size, bias=False)
        self.norm_c = nn.LayerNorm(hidden_size)
        self._add_weights(4, bias=False, recurrent_bias=False)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: the output h and the new state (h, c)."""
        h, c = state
        a = self.norm_x(linear(x, self.weight_ih)) + self.norm_h(linear(h, self.weight_hh))
        i, f, g, o = a.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
        return h, (h, c)


class LayerNormGRUCell(Cell):
    """The GRU with layer norms on what comes from x and what comes from h.

    r, z, n of x = LN_x(W_ih x(t));  r, z, n of h = LN_h(W_hh h(t-1)), each H wide;
    r = σ(r of x + r of h);  z = σ(z of x + z of h);  n = tanh(n of x + r (n of h));
    h(t) = (1 - z) n + z h(t-1); the output is h(t).

    After Ba et al., 2016, whose GRU normalises the gates and the candidate each by itself and has z
    on the new state; here each product is normalised as a whole, as in their LSTM.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (3H, I), `weight_hh` (3H, H), in the order r,
        z, n; `norm_x`, `norm_h` over 3H.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.LayerNormGRUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm_x = nn.LayerNorm(3 * hidden_size)
        self.norm_h = nn.LayerNorm(3 * hidden_size)
        self._add_weights(3, bias=False, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        from_x = self.norm_x(linear(x, self.weight_ih)).chunk(3, -1)
        from_h = self.norm_h(linear(h, self.weight_hh)).chunk(3, -1)
        r = torch.sigmoid(from_x[0] + from_h[0])
        z = torch.sigmoid(from_x[1] + from_h[1])
        n = torch.tanh(from_x[2] + r * from_h[2])
        h = (1 - z) * n + z * h
        return h, h
