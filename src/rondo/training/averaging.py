"""The moving average of the weights, which predicts better than the weights themselves."""

from __future__ import annotations

import torch
from torch import nn


class WeightAverage:
    """Holds a second model whose weights follow those of the first.

    After update n, with w = min(decay, (1 + n) / (10 + n)): average = w average + (1 - w) weight.
    Buffers, the running statistics of batch normalisation, are copied.

    Args:
        model: The model that holds the average; it must start with the weights of the other.
        decay: Share of the average that an update keeps, once warmed up.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model.eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, num_updates: int) -> None:
        """Moves the average towards the model's weights; `num_updates` counts this update too."""
        kept = min(self.decay, (1 + num_updates) / (10 + num_updates))
        for average, weight in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(weight, 1 - kept)
        for copy, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            copy.copy_(buffer)
