"""The loss of quantiles, in units of what each window varies by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.models.series_forecaster import level_and_scale


def pinball(outputs: Tensor, targets: Tensor, quantiles: Tensor) -> Tensor:
    """Returns max(q (y - ŷ), (q - 1) (y - ŷ)) of each quantile q; NaN where a target is missing.

    Args:
        outputs: ŷ (..., Q).
        targets: y (...).
        quantiles: q (Q,).

    Example:
        >>> import torch
        >>> from rondo.tasks.series.pinball import pinball
        >>> pinball(torch.tensor([[1.0, 1.0]]), torch.tensor([3.0]), torch.tensor([0.5, 0.9]))
        tensor([[1.0000, 1.8000]])
    """
    missed = targets[..., None] - outputs
    return torch.maximum(quantiles * missed, (quantiles - 1) * missed)


def scaled_pinball(
    outputs: Tensor, batch: Batch, *, quantiles: Sequence[float], least: Sequence[float]
) -> Tensor:
    """Returns the loss of each window (B,): twice the mean pinball loss over its deviation.

    With the median alone it is the mean distance from it. Missing targets do not count.

    Args:
        outputs: (B, H, O, Q).
        batch: Windows.
        quantiles: The quantiles.
        least: The smallest deviation of each target that counts.
    """
    num_targets = outputs.shape[2]
    past = batch.inputs[:, : -outputs.shape[1], :num_targets]
    _, scale = level_and_scale(past, outputs.new_tensor(least))
    levels = outputs.new_tensor(quantiles)
    losses = 2 * pinball(outputs, batch.targets.nan_to_num(0.0), levels).mean(-1) / scale
    is_there = batch.targets.isfinite()
    return torch.where(is_there, losses, 0.0).sum((1, 2)) / is_there.sum((1, 2)).clamp_min(1)
