"""The rules of Intel neon that the lecture's network was built by.

From neon's source (v2.6): pooling rounds down; batch normalisation has eps 1e-3, keeps the biased
variance and starts it at zero; Kaiming weights are N(0, 2 / fan_in); Glorot weights are U(-k, k),
k = sqrt(6 / (rows + columns)) for each gate's matrix; biases start at zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm


class NeonBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the channels of a map, by neon's rules.

    y = γ (x - mean) / sqrt(var + 1e-3) + β. The running mean and the running *biased* variance
    both start at 0 and move by 0.1; torch starts the variance at 1 and keeps the unbiased one.

    Shape:
        (N, C, H, W) to (N, C, H, W).
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=1e-3, momentum=0.1)

    def reset_running_stats(self) -> None:
        """Start the running mean and variance at zero."""
        super().reset_running_stats()
        if self.running_var is not None:
            self.running_var.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training, move the running statistics."""
        if not self.training:
            return super().forward(x)
        assert self.running_var is not None
        assert self.momentum is not None
        moved = self.running_var.clone()  # autograd keeps what batch_norm moves
        y = batch_norm(
            x, self.running_mean, moved, self.weight, self.bias, True, self.momentum, self.eps
        )
        self._keep_biased(moved, x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _keep_biased(self, moved: Tensor, count: int) -> None:
        """Move the running variance by the biased batch variance; torch moved by the unbiased."""
        assert self.running_var is not None
        assert self.momentum is not None
        kept = (1 - self.momentum) * self.running_var
        self.running_var.copy_(kept + (moved - kept) * ((count - 1) / count))


@torch.no_grad()
def kaiming_(convolution: nn.Conv2d) -> nn.Conv2d:
    """Fill a convolution with N(0, 2 / fan_in) and its bias with zeros."""
    fan_in = convolution.weight[0].numel()
    convolution.weight.normal_(0, math.sqrt(2 / fan_in))
    if convolution.bias is not None:
        convolution.bias.zero_()
    return convolution


@torch.no_grad()
def glorot_(cell: nn.Module) -> nn.Module:
    """Fill the matrices of a cell with U(-k, k), gate by gate, and its biases with zeros."""
    hidden_size = int(cell.hidden_size)  # type: ignore[arg-type]
    for parameter in cell.parameters():
        if parameter.ndim == 1:
            parameter.zero_()
            continue
        bound = math.sqrt(6 / (hidden_size + parameter.shape[1]))
        parameter.uniform_(-bound, bound)
    return cell
