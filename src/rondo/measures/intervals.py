"""Shares of answers that are right, with their 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rondo.measures.calibration import NORMAL_QUANTILE


@dataclass(frozen=True)
class Share:
    """A share of photos, or clips, with its 95 % Wilson interval; perhaps of a mean over runs."""

    num_correct: float
    num_photos: int
    value: float
    low: float
    high: float


def wilson(num_correct: float, num_photos: int) -> Share:
    """Returns a share with its 95 % interval after Wilson (1927); 0 photos give 0 to 1."""
    if num_photos == 0:
        return Share(0, 0, math.nan, 0.0, 1.0)
    value, z2 = num_correct / num_photos, NORMAL_QUANTILE**2
    centre = (value + z2 / (2 * num_photos)) / (1 + z2 / num_photos)
    spread = value * (1 - value) / num_photos + z2 / (4 * num_photos**2)
    half = NORMAL_QUANTILE * math.sqrt(spread) / (1 + z2 / num_photos)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Share(num_correct, num_photos, value, min(low, value), max(high, value))


def percent(share: Share) -> str:
    """Returns for example `93.0 % (91.2 to 94.5)`, or `-` where there are no photos."""
    if not share.num_photos:
        return "-"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"
