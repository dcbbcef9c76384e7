"""Cells whose loop is linear in the state: no product, or none of the state, has to wait."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rondo.cells.cell import Cell, check_size


class MinGRUCell(Cell):
    """The GRU whose gate and candidate do not see the state.

    z = σ(W_z x(t) + b_z);  n = W_n x(t) + b_n;  h(t) = (1 - z) h(t-1) + z n; the output is h(t).

    Feng et al., "Were RNNs all we needed?", 2024. All products are before the loop.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        bias: Whether there are biases.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (2H, I), `bias_ih` (2H), in the order z, n.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.MinGRUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size)) if bias else None
        self.reset_parameters()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        z, n = linear(x, self.weight_ih, self.bias_ih).chunk(2, -1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * n
        return h, h


class MinLSTMCell(Cell):
    """The LSTM whose gates do not see the state, with gates that sum to 1.

    f = σ(W_f x(t) + b_f);  i = σ(W_i x(t) + b_i);  n = W_n x(t) + b_n;
    h(t) = f / (f + i) h(t-1) + i / (f + i) n; the output is h(t).

    Feng et al., "Were RNNs all we needed?", 2024. All products are before the loop.

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state and the output.
        bias: Whether there are biases.

    Shape:
        x (B, I), h (B, H); output (B, H). `weight_ih` (3H, I), `bias_ih` (3H), in the order f, i,
        n.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.Recurrent(rondo.MinLSTMCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape
        torch.Size([2, 7, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size)) if bias else None
        self.reset_parameters()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        f, i, n = linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        f, i = torch.sigmoid(f), torch.sigmoid(i)
        share = f / (f + i)
        h = share * h + (1 - share) * n
        return h, h


class LRUCell(Cell):
    """The linear recurrent unit: a diagonal complex matrix turns and shrinks the state.

    s(t) = λ s(t-1) + γ (B x(t));  y(t) = Re(C s(t)) + D x(t), with λ = exp(-exp(ν) + i exp(θ)).

    Orvieto et al., "Resurrecting recurrent neural networks for long sequences", 2023. Complex
    numbers are written as pairs of real ones; |λ| < 1 whatever ν is. The products with B, C and D
    are all outside the loop.

    Args:
        input_size: The width I of the input.
        hidden_size: The number N of complex numbers in the state.
        output_size: The width O of the output; default I.
        min_radius: The smallest |λ| at the start.
        max_radius: The largest |λ| at the start.
        max_angle: The largest angle of λ at the start, in radians.

    Shape:
        x (B, I), state (real, imaginary) of (B, N) each; output (B, O). `nu_log`, `theta_log`,
        `gamma_log` (N); `weight_ih` B (2N, I), real rows first; `weight_ho` C (O, 2N), real columns
        first; `weight_io` D (O, I).

    Example:
        >>> import torch, rondo
        >>> y, (real, imaginary) = rondo.Recurrent(rondo.LRUCell(3, 5))(torch.randn(2, 7, 3))
        >>> y.shape, real.shape
        (torch.Size([2, 7, 3]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        min_radius: float = 0.0,
        max_radius: float = 1.0,
        max_angle: float = 2 * math.pi,
    ) -> None:
        super().__init__(input_size, hidden_size, (hidden_size, hidden_size))
        if not 0 <= min_radius < max_radius <= 1:
            raise ValueError(
                "the radii must have 0 <= min_radius < max_radius <= 1, got "
                f"min_radius = {min_radius!r}, max_radius = {max_radius!r}"
            )
        self.output_size = input_size if output_size is None else output_size
        check_size("output_size", self.output_size)
        self.radii, self.max_angle = (min_radius, max_radius), max_angle
        self.nu_log, self.theta_log, self.gamma_log = (
            nn.Parameter(torch.empty(hidden_size)) for _ in range(3)
        )
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.weight_ho = nn.Parameter(torch.empty(self.output_size, 2 * hidden_size))
        self.weight_io = nn.Parameter(torch.empty(self.output_size, input_size))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """λ even over the ring, γ so that s keeps the variance of its input, Gaussian matrices."""
        smallest, largest = self.radii
        square = torch.empty_like(self.nu_log).uniform_(smallest**2, largest**2)
        square = square.clamp(1e-6, 1 - 1e-6)
        self.nu_log.copy_(torch.log(-0.5 * torch.log(square)))
        self.theta_log.copy_(torch.log(torch.rand_like(square).clamp_min(1e-6) * self.max_angle))
        self.gamma_log.copy_(0.5 * torch.log(1 - square))
        nn.init.normal_(self.weight_ih, std=1 / math.sqrt(2 * self.input_size))
        nn.init.normal_(self.weight_ho, std=1 / math.sqrt(self.hidden_size))
        nn.init.normal_(self.weight_io, std=1 / math.sqrt(self.input_size))

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step: the output and the new state (real, imaginary)."""
        real, imaginary = state
        radius, angle = torch.exp(-torch.exp(self.nu_log)), torch.exp(self.theta_log)
        cosine, sine = radius * torch.cos(angle), radius * torch.sin(angle)
        in_real, in_imaginary = linear(x, self.weight_ih).chunk(2, -1)
        scale = torch.exp(self.gamma_log)
        new_real = cosine * real - sine * imaginary + scale * in_real
        new_imaginary = sine * real + cosine * imaginary + scale * in_imaginary
        to_real, to_imaginary = self.weight_ho.chunk(2, -1)
        y = linear(new_real, to_real) - linear(new_imaginary, to_imaginary)
        return y + linear(x, self.weight_io), (new_real, new_imaginary)
