"""The simplest loops: from the hidden layer to itself, or from the output to the hidden layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rondo.cells.cell import (
    ACTIVATIONS,
    OUTPUT_ACTIVATIONS,
    Cell,
    check_choice,
    check_share,
    check_size,
)

FEEDBACKS = {"activated": "y", "linear": "the output before its activation"}


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
        check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        self.nonlinearity = nonlinearity
        self._add_weights(1, bias=bias, recurrent_bias=recurrent_bias)

    def forward(self, x: Tensor, h: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same.

        `mask` multiplies the h that enters the product; see :class:`rondo.VariationalCell`.
        """
        h = h if mask is None else h * mask
        a = linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh, self.bias_hh)
        h = ACTIVATIONS[self.nonlinearity](a)
        return h, h


class JordanCell(Cell):
    """The loop goes from the output to the hidden layer.

    h(t) = φ(U x(t) + W C(t) + b);  y(t) = g(V h(t) + c);  C(t+1) = α C(t) + y(t).

    Jordan, "Attractor dynamics and parallelism in a connectionist sequential machine", 1986. The
    state is the context C; most applications leave out its memory of its own, so α is 0 by default.
    The state is narrower than h, so such a network remembers less than Elman's of the same size.

    With `teacher_forcing` the input is x(t) and the true output y*(t) side by side, and C(t+1) =
    α C(t) + y*(t): step t sees the true outputs up to t-1, never its own. Nothing learned is left
    on the loop then, so all products of all steps run together, and no gradient goes back in time.
    Set `cell.teacher_forcing = False` to let the trained cell run on its own outputs.

    Args:
        input_size: The width I of x.
        hidden_size: The width H of h.
        output_size: The width O of y and of the context; default H.
        nonlinearity: φ, "tanh" or "relu".
        output_nonlinearity: g, "sigmoid", "tanh", "softmax" or "identity".
        feedback: What goes back: "activated", y; or "linear", V h + c.
        decay: α, the share of the context that stays for one step, at least 0 and less than 1.
        teacher_forcing: Whether the input brings the true output along.
        bias: Whether there are b and c.

    Shape:
        x (B, I), or (B, I + O) with teacher forcing; C (B, O); output (B, O). `weight_ih` U (H, I),
        `weight_hh` W (H, O), `bias_ih` b (H), `weight_ho` V (O, H), `bias_ho` c (O).

    Example:
        >>> import torch, rondo
        >>> x, target = torch.randn(2, 7, 3), torch.rand(2, 7, 4)
        >>> cell = rondo.JordanCell(3, 5, 4, teacher_forcing=True)
        >>> y, context = rondo.Recurrent(cell)(torch.cat([x, target], -1))
        >>> bool((context == target[:, -1]).all())
        True
        >>> cell.teacher_forcing = False
        >>> y, context = rondo.Recurrent(cell)(x)
        >>> bool((context == y[:, -1]).all())
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "sigmoid",
        feedback: str = "activated",
        decay: float = 0.0,
        teacher_forcing: bool = False,
        bias: bool = True,
    ) -> None:
        output_size = hidden_size if output_size is None else output_size
        super().__init__(input_size, hidden_size, output_size)
        check_size("output_size", output_size)
        check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        check_choice("output_nonlinearity", output_nonlinearity, OUTPUT_ACTIVATIONS)
        check_choice("feedback", feedback, FEEDBACKS)
        check_share("decay", decay)
        self.output_size = output_size
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self.feedback, self.decay, self.teacher_forcing = feedback, decay, teacher_forcing
        self.weight_ho = nn.Parameter(torch.empty(output_size, hidden_size))
        self.bias_ho = nn.Parameter(torch.empty(output_size)) if bias else None
        self._add_weights(1, bias=bias, recurrent_bias=False)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the context of the next step."""
        given = x[:, self.input_size :]
        x = x[:, : self.input_size]
        a = linear(x, self.weight_ih, self.bias_ih) + linear(context, self.weight_hh)
        a = linear(ACTIVATIONS[self.nonlinearity](a), self.weight_ho, self.bias_ho)
        y = OUTPUT_ACTIVATIONS[self.output_nonlinearity](a)
        fed_back = a if self.feedback == "linear" else y
        if self.teacher_forcing:
            fed_back = given
        return y, self.decay * context + fed_back if self.decay else fed_back


class IndRNNCell(Cell):
    """h(t) = φ(U x(t) + u h(t-1) + b), u a vector: each unit sees its own past alone.

    Li et al., "Independently recurrent neural network (IndRNN)", 2018. Units meet in the next
    layer, and no product is left in the loop. The paper draws u from U(0, 2^(1/T)) for ReLU; here
    it starts as U(0, 1), whatever T is.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        nonlinearity: φ, "relu" or "tanh".
        bias: Whether there is b (`bias_ih`).

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` U (H, I), `weight_hh` u (H).

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.IndRNNCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, nonlinearity: str = "relu", bias: bool = True
    ) -> None:
        super().__init__(input_size, hidden_size)
        check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        self.nonlinearity = nonlinearity
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As for every cell, but u from U(0, 1)."""
        super().reset_parameters()
        nn.init.uniform_(self.weight_hh, 0, 1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        h = ACTIVATIONS[self.nonlinearity](
            linear(x, self.weight_ih, self.bias_ih) + self.weight_hh * h
        )
        return h, h
