"""Steps of series as networks see them: which are real, and values of like size.

Sizes may differ by many orders of magnitude from series to series, such as the currents of a lamp
and of a heater. So each column is seen twice: by the figures of all training series, and by those
of its own series.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEAST_VARIANCE = 1e-12
"""Is added to the variance within a series, in units of that of training: what rounding leaves of a
column that is constant in the series."""


class Standardise(nn.Module):
    """z = (x - μ) / σ for each column, with the figures of training data; a missing value is 0.

    A column that is constant in training is divided by 1.

    Args:
        num_columns: C.

    Shape:
        x (..., C), NaN where a value is missing; z the same, without NaN.

    Example:
        >>> import torch
        >>> from rondo.models.series_steps import Standardise
        >>> standardise = Standardise(1)
        >>> standardise.fit(torch.tensor([[1.0], [3.0], [torch.nan]]))
        >>> standardise(torch.tensor([[5.0], [torch.nan]]))
        tensor([[3.],
                [0.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, num_columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_columns))
        self.register_buffer("scale", torch.ones(num_columns))

    def forward(self, x: Tensor) -> Tensor:
        """The standardised values."""
        return ((x - self.mean) / self.scale).nan_to_num(0.0)

    @torch.no_grad()
    def fit(self, steps: Tensor) -> None:
        """Takes the figures from steps (N, C), in float64."""
        steps = steps.double()
        mean = steps.nanmean(0).nan_to_num(0.0)
        deviation = (steps - mean).square().nanmean(0).sqrt().nan_to_num(0.0)
        least = 1e-9 * mean.abs()  # what rounding makes of a constant column
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > least, deviation, 1.0))


def real_steps(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Whether a step (B, T) is one of its row."""
    if lengths is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]


def both_views(z: Tensor, lengths: Tensor) -> Tensor:
    """Returns standardised columns, and the same brought to mean 0 and deviation 1 in each series.

    Args:
        z: Standardised steps (B, T, C).
        lengths: (B,) the steps of each row.

    Returns:
        (B, T, 2 C); the second half is zero in the padding, and where a series is constant.

    Example:
        >>> import torch
        >>> from rondo.models.series_steps import both_views
        >>> both_views(torch.tensor([[[0.001], [0.003]]]), torch.tensor([2])).squeeze()
        tensor([[ 0.0010, -1.0000],
                [ 0.0030,  1.0000]])
    """
    is_real = real_steps(z, lengths)[..., None]
    count = lengths.to(z)[:, None, None].clamp_min(1)
    mean = torch.where(is_real, z, 0).sum(1, keepdim=True) / count
    centred = torch.where(is_real, z - mean, 0)
    variance = centred.square().sum(1, keepdim=True) / count
    floor = LEAST_VARIANCE * (1 + mean.square())
    return torch.cat([z, centred / (variance + floor).sqrt()], -1)
