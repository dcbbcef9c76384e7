"""What predicted numbers are worth, and forecasts with quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rondo.tasks.series.windows import TRAIN, Windows


@dataclass(frozen=True)
class NumberScore:
    """What predicted numbers are worth.

    Args:
        num_series: How many there are.
        mae: The mean distance.
        rmse: The root of the mean squared distance.
        r2: The share of the variance that is told; 0 for always the mean, NaN where all are equal.
    """

    num_series: int
    mae: float
    rmse: float
    r2: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ForecastScore:
    """What forecasts are worth.

    Args:
        num_windows: How many forecasts there are.
        mase: The mean distance of the median, in mean steps from one season to the next in
            training (Hyndman and Koehler, 2006): below 1 is better than such steps.
        mae: The mean distance of the median, in the units of the targets.
        rmse: The root of its mean square.
        quantile_loss: Twice the mean pinball loss of all quantiles, scaled as `mase`; None where
            there is the median alone.
        coverage: The share of values between the lowest and the highest quantile, or None.
        wanted_coverage: What that share should be, or None.
    """

    num_windows: int
    mase: float
    mae: float
    rmse: float
    quantile_loss: float | None = None
    coverage: float | None = None
    wanted_coverage: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return asdict(self)


def score_numbers(said: np.ndarray, wanted: np.ndarray) -> NumberScore:
    """Returns what predictions (N,) of numbers (N,) are worth.

    Example:
        >>> import numpy as np
        >>> from rondo.tasks.series.scores import score_numbers
        >>> score_numbers(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])).r2
        0.5
    """
    missed = said - wanted
    variance = float(np.square(wanted - wanted.mean()).sum())
    r2 = 1 - float(np.square(missed).sum()) / variance if variance else math.nan
    return NumberScore(
        len(wanted), float(np.abs(missed).mean()), float(np.sqrt(np.square(missed).mean())), r2
    )


def score_forecasts(
    said: np.ndarray, wanted: np.ndarray, scales: np.ndarray, quantiles: Sequence[float]
) -> ForecastScore:
    """Returns what forecasts of one target are worth.

    Args:
        said: (N, H, Q) quantiles.
        wanted: (N, H), NaN where a value is missing.
        scales: (N,) what a distance is divided by; NaN where there is no such number.
        quantiles: (Q,), 0.5 among them.
    """
    is_there, middle = np.isfinite(wanted), list(quantiles).index(0.5)
    missed = said[..., middle] - wanted
    low, high = said[..., 0], said[..., -1]
    has_more = len(quantiles) > 1
    inside = ((low <= wanted) & (wanted <= high))[is_there].mean() if has_more else None
    return ForecastScore(
        num_windows=len(said),
        mase=_mean(np.abs(missed) / scales[:, None]),
        mae=_mean(np.abs(missed)),
        rmse=math.sqrt(_mean(np.square(missed))),
        quantile_loss=_mean(_pinball(said, wanted, quantiles) / scales[:, None])
        if has_more
        else None,
        coverage=None if inside is None else float(inside),
        wanted_coverage=quantiles[-1] - quantiles[0] if has_more else None,
    )


def _pinball(said: np.ndarray, wanted: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Twice the mean pinball loss over the quantiles (N, H)."""
    missed, levels = wanted[..., None] - said, np.array(quantiles)
    return 2 * np.maximum(levels * missed, (levels - 1) * missed).mean(-1)


def _mean(values: np.ndarray) -> float:
    """The mean over windows of the means over their steps, without what is missing."""
    is_there = np.isfinite(values)
    counts = is_there.sum(1)
    sums = np.where(is_there, values, 0.0).sum(1)
    return float((sums[counts > 0] / counts[counts > 0]).mean()) if (counts > 0).any() else math.nan


def mase_scales(windows: Windows, split: int, season: int) -> np.ndarray:
    """Returns what MASE divides by for each window and target of a split (N, O).

    The mean distance between values of the training that lie a season apart; one step apart where
    there are less; of a series without training steps, of the steps before its first window. NaN
    where that is 0, for a series that never changes.
    """
    held = windows.held_out(split)
    first = {window.series: window.start for window in reversed(held)}
    scales = {}
    for number, start in first.items():
        one = windows.series[number]
        is_train = one.splits == TRAIN
        past = one.values[is_train if is_train.any() else np.arange(len(one.values)) < start]
        scales[number] = _step_size(past[:, : windows.num_targets].astype(np.float64), season)
    return np.stack([scales[window.series] for window in held])


def _step_size(past: np.ndarray, season: int) -> np.ndarray:
    for apart in dict.fromkeys((season, 1)):
        if len(past) > apart:
            steps = np.abs(past[apart:] - past[:-apart])
            counts = np.isfinite(steps).sum(0)
            sizes = np.where(np.isfinite(steps), steps, 0.0).sum(0) / np.maximum(counts, 1)
            return np.where(sizes > 0, sizes, np.nan)
    return np.full(past.shape[1], np.nan)
