"""The LSTM cell: a state that is added to, behind gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rondo.cells.cell import Cell


class LSTMCell(Cell):
    """Long short-term memory with a forget gate, in torch's form.

    i, f, g, o = W_ih x(t) + W_hh h(t-1) + b, each H wide;
    c(t) = σ(f) c(t-1) + σ(i) tanh(g);  h(t) = σ(o) tanh(c(t)); the output is h(t).
    With a projection h(t) = W_hr (σ(o) tanh(c(t))), P wide (Sak et al., 2014).
    With peepholes σ(i + p_i c(t-1)), σ(f + p_f c(t-1)) and σ(o + p_o c(t)) (Gers et al., 2002; this
    is the LSTM of Graves, 2013, and of Chung et al., 2014).

    Gers et al., "Learning to forget", 2000 (Hochreiter & Schmidhuber, 1997, had no forget gate).
    `torch.nn.LSTMCell` with one bias instead of two that are only ever added. The lecture's slide
    has the forget gate upside down: 0 forgets, 1 keeps.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of h, c and the output.
        bias: Whether there is b (`bias_ih`).
        recurrent_bias: Whether to have torch's second bias `bias_hh` too, for weights from there.
        proj_size: The width P of h and the output, or 0 for no projection.
        peepholes: Whether the gates see c.
        forget_bias: What the bias of the forget gate starts at; Jozefowicz et al., 2015, advise 1.
            Default None: as every other parameter.

    Shape:
        x (B, I), state (h, c) of (B, H) each; output (B, H). `weight_ih` (4H, I), `weight_hh`
        (4H, H), gates in the order i, f, g, o. With a projection h and the output are (B, P),
        `weight_hh` (4H, P) and `weight_hr` (P, H). With peepholes `weight_ch` (3, H), rows p_i,
        p_f, p_o.

    Example:
        >>> import torch, rondo
        >>> y, (h, c) = rondo.Recurrent(rondo.LSTMCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape, c.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        recurrent_bias: bool = False,
        proj_size: int = 0,
        peepholes: bool = False,
        forget_bias: float | None = None,
    ) -> None:
        if not isinstance(proj_size, int) or not proj_size >= 0:
            raise ValueError(f"proj_size must be a whole number of at least 0, got {proj_size!r}")
        if forget_bias is not None and not bias:
            raise ValueError(f"forget_bias needs bias=True, got {forget_bias!r} and no bias")
        super().__init__(input_size, hidden_size, (proj_size or hidden_size, hidden_size))
        self.forget_bias = forget_bias
        self.output_size = proj_size or hidden_size
        self.weight_hr: nn.Parameter | None = None
        if proj_size:
            self.weight_hr = nn.Parameter(torch.empty(proj_size, hidden_size))
        self.weight_ch = nn.Parameter(torch.empty(3, hidden_size)) if peepholes else None
        self._add_weights(4, bias=bias, recurrent_bias=recurrent_bias)

    def reset_parameters(self) -> None:
        """As for every cell, but the forget gate with its own bias."""
        super().reset_parameters()
        if self.forget_bias is None:
            return
        with torch.no_grad():
            for bias, value in ((self.bias_ih, self.forget_bias), (self.bias_hh, 0.0)):
                if bias is not None:
                    bias[self.hidden_size : 2 * self.hidden_size] = value

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor], mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: the output h and the new state (h, c).

        `mask` multiplies the h that enters the product; see :class:`rondo.VariationalCell`.
        """
        h, c = state
        h = h if mask is None else h * mask
        gates = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        if self.weight_ch is not None:
            i, f = i + self.weight_ch[0] * c, f + self.weight_ch[1] * c
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        if self.weight_ch is not None:
            o = o + self.weight_ch[2] * c
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.weight_hr is not None:
            h = linear(h, self.weight_hr)
        return h, (h, c)
