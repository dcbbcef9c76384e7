"""`DifferenceCell`: what comes in, and how it has changed since some steps before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class DifferenceCell(nn.Module):
    """x(t) with its differences over some steps: y(t) = [x(t), x(t) - x(t-k) for each lag k].

    A difference that reaches back before the first step is 0. It learns nothing: its state is a
    delay line, the last inputs and whether there were such. As a cell it runs on whole sequences
    and on streams alike, and leaves padding alone.

    Args:
        input_size: The width of x.
        lags: The steps k over which differences are taken, each 1 or more.

    Shape:
        x (B, I); y (B, (1 + number of lags) I); state (B, K I) and (B, K) with K the longest lag.

    Raises:
        ValueError: Where a lag is less than 1, or there is none.

    Example:
        >>> import torch, rondo
        >>> from rondo.models.motion import DifferenceCell
        >>> layer = rondo.Recurrent(DifferenceCell(1, lags=(1, 2)))
        >>> layer(torch.tensor([[[3.0], [5], [9]]]))[0]
        tensor([[[3., 0., 0.],
                 [5., 2., 0.],
                 [9., 4., 6.]]])
    """

    def __init__(self, input_size: int, lags: Sequence[int] = (1,)) -> None:
        super().__init__()
        if not lags or min(lags) < 1:
            raise ValueError(f"lags must be whole numbers of at least 1, got {tuple(lags)}")
        self.input_size = input_size
        self.lags = tuple(lags)
        self.output_size = input_size * (1 + len(self.lags))
        self.state_size = (input_size * max(self.lags), max(self.lags))

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One step; the state is the last inputs, the newest first, and 1 where there was one."""
        past, seen = state
        size = self.input_size
        changes = [
            seen[:, lag - 1 : lag] * (x - past[:, (lag - 1) * size : lag * size])
            for lag in self.lags
        ]
        past = torch.cat([x, past], 1)[:, : past.shape[1]]
        seen = torch.cat([torch.ones_like(seen[:, :1]), seen], 1)[:, : seen.shape[1]]
        return torch.cat([x, *changes], 1), (past, seen)

    def extra_repr(self) -> str:
        """The size and the lags, as torch prints them."""
        return f"{self.input_size}, lags={self.lags}"
