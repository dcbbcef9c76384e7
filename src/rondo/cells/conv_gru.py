"""The GRU over maps: its products are convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rondo.cells.cell import Cell, check_size


class ConvGRUCell(Cell):
    """A GRU whose input and state are maps, and whose products are convolutions.

    r = σ(W_ir ∗ x(t) + b_ir + W_hr ∗ h(t-1) + b_hr);
    z = σ(W_iz ∗ x(t) + b_iz + W_hz ∗ h(t-1) + b_hz);
    n = tanh(W_in ∗ x(t) + b_in + r ⊙ (W_hn ∗ h(t-1) + b_hn));
    h(t) = (1 - z) ⊙ n + z ⊙ h(t-1); the output is h(t).

    Ballas et al., "Delving deeper into convolutional networks for learning video representations",
    2016; here r comes after the product, as in `torch.nn.GRUCell`, so that one convolution of
    h(t-1) gives all three parts. Those of x depend on no state: the plan puts them before the loop,
    for all steps together. No kernel is compiled for convolutions: the reference engine runs the
    loop.

    Args:
        input_size: The channels I of the input.
        hidden_size: The channels H of the state and the output.
        kernel_size: The height and width K of the convolutions, an odd number.

    Shape:
        x (B, I, Y, X), h (B, H, Y, X); output (B, H, Y, X).

    Raises:
        ValueError: Where a size is none, or the kernel has no middle.

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.ConvGRUCell(3, 5), engine="reference")
        >>> y, h = layer(torch.randn(2, 7, 3, 6, 8))  # two clips of seven frames
        >>> y.shape, h.shape
        (torch.Size([2, 7, 5, 6, 8]), torch.Size([2, 5, 6, 8]))
    """

    def __init__(self, input_size: int, hidden_size: int, *, kernel_size: int = 3) -> None:
        super().__init__(input_size, hidden_size)
        check_size("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        padding = kernel_size // 2
        self.from_input = nn.Conv2d(input_size, 3 * hidden_size, kernel_size, padding=padding)
        self.from_state = nn.Conv2d(hidden_size, 3 * hidden_size, kernel_size, padding=padding)

    def initial_state_for(self, x: Tensor) -> Tensor:
        """Zeros of the size of the maps."""
        return x.new_zeros(len(x), self.hidden_size, *x.shape[2:])

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        from_x = self.from_input(x).chunk(3, dim=1)
        from_h = self.from_state(h).chunk(3, dim=1)
        r = torch.sigmoid(from_x[0] + from_h[0])
        z = torch.sigmoid(from_x[1] + from_h[1])
        n = torch.tanh(from_x[2] + r * from_h[2])
        h = (1 - z) * n + z * h
        return h, h
