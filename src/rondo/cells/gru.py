"""Gates and no second state: the GRU and its smaller relative."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from rondo.cells.cell import Cell, check_choice

RESETS = {"after": "torch, cuDNN, Keras", "before": "Chung et al., neon"}
UPDATES = {"old": "Cho et al., torch, Keras", "new": "Chung et al., neon"}


class GRUCell(Cell):
    """The gated recurrent unit, by default in torch's form: the reset gate after the product.

    r = σ(W_ir x(t) + W_hr h(t-1) + b_r);  z = σ(W_iz x(t) + W_hz h(t-1) + b_z);
    n = tanh(W_in x(t) + b_in + r (W_hn h(t-1) + b_hn)), or with the reset gate before the product
    n = tanh(W_in x(t) + b_in + W_hn (r h(t-1)));
    h(t) = (1 - z) n + z h(t-1), or where z takes the new h(t) = z n + (1 - z) h(t-1);
    the output is h(t).

    Cho et al., 2014; r after the product and z on the old state is the form of `torch.nn.GRUCell`
    and cuDNN. Chung et al., 2014, and Intel neon have r before the product and z on the new state.
    The two forms of z say the same with W_iz, W_hz and b_z of the other sign
    (`rondo.cells.convert.with_update`); the two forms of r are different networks.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        bias: Whether there are biases.
        reset: "after" or "before" the product with h.
        update: What z multiplies: the "old" state or the "new" candidate.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (3H, I), `weight_hh` (3H, H), `bias_ih` (3H),
        gates in the order r, z, n. `bias_hh` (3H) with reset "after" alone, where r gates b_hn.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.GRUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        reset: str = "after",
        update: str = "old",
    ) -> None:
        super().__init__(input_size, hidden_size)
        check_choice("reset", reset, RESETS)
        check_choice("update", update, UPDATES)
        self.reset, self.update = reset, update
        self._add_weights(3, bias=bias, recurrent_bias=reset == "after")

    def forward(self, x: Tensor, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same.

        `mask` multiplies the h that enters the products; see :class:`rondo.VariationalCell`.
        """
        inner = h if mask is None else h * mask
        from_x = linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        if self.reset == "after":
            from_h = linear(inner, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
            r = torch.sigmoid(from_x[0] + from_h[0])
            z = torch.sigmoid(from_x[1] + from_h[1])
            n = torch.tanh(from_x[2] + r * from_h[2])
        else:
            gates, candidate = self.weight_hh.split([2 * self.hidden_size, self.hidden_size])
            from_h = linear(inner, gates).chunk(2, dim=-1)
            r = torch.sigmoid(from_x[0] + from_h[0])
            z = torch.sigmoid(from_x[1] + from_h[1])
            n = torch.tanh(from_x[2] + linear(r * inner, candidate))
        h = (1 - z) * n + z * h if self.update == "old" else z * n + (1 - z) * h
        return h, h


class MGUCell(Cell):
    """The minimal gated unit: one gate in the place of two.

    f = σ(W_if x(t) + W_hf h(t-1) + b_f);  n = tanh(W_in x(t) + W_hn (f h(t-1)) + b_n);
    h(t) = (1 - f) h(t-1) + f n; the output is h(t).

    Zhou et al., "Minimal gated unit for recurrent neural networks", 2016.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        bias: Whether there are biases.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (2H, I), `weight_hh` (2H, H), `bias_ih` (2H),
        in the order f, n.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.MGUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self._add_weights(2, bias=bias, recurrent_bias=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        from_x = linear(x, self.weight_ih, self.bias_ih).chunk(2, dim=-1)
        gate, candidate = self.weight_hh.chunk(2)
        f = torch.sigmoid(from_x[0] + linear(h, gate))
        n = torch.tanh(from_x[1] + linear(f * h, candidate))
        h = (1 - f) * h + f * n
        return h, h
