"""The moving average of the weights of a network, which predicts where there is one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Returns the moving average of the weights of a network, where there is to be one.

    After update n, with w = min(decay, (1 + n) / (10 + n)): average = w average + (1 - w) weight.
    Buffers, the running statistics of batch normalisation, are copied.
    """
    if decay is None:
        return None

    def update(averages: Any, weights: Any, num_updates: Tensor | int) -> None:
        n = 1 + int(num_updates)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, multi_avg_fn=torch.no_grad()(update))
    return average.eval().requires_grad_(False)
