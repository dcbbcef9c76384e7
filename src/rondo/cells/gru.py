"""The GRU cell: two gates and no second state."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from rondo.cells.cell import Cell


class GRUCell(Cell):
    """The gated recurrent unit, in torch's form: the reset gate after the product.

    r = σ(W_ir x(t) + W_hr h(t-1) + b_r);  z = σ(W_iz x(t) + W_hz h(t-1) + b_z);
    n = tanh(W_in x(t) + b_in + r (W_hn h(t-1) + b_hn));
    h(t) = (1 - z) n + z h(t-1); the output is h(t).

    Cho et al., 2014; the reset gate after the product is the form of `torch.nn.GRUCell` and cuDNN.
    Here z keeps the old state, as in Cho et al.; in Chung et al., 2014, it takes the new one.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        bias: Whether there are biases; both vectors are needed, for r gates b_hn alone.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (3H, I), `weight_hh` (3H, H), `bias_ih` and
        `bias_hh` (3H), gates in the order r, z, n.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.GRUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self._add_weights(3, bias=bias, recurrent_bias=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        from_x = linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        from_h = linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        r = torch.sigmoid(from_x[0] + from_h[0])
        z = torch.sigmoid(from_x[1] + from_h[1])
        n = torch.tanh(from_x[2] + r * from_h[2])
        h = (1 - z) * n + z * h
        return h, h
