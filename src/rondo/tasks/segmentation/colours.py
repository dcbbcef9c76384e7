"""The colours that classes have in pictures."""

from __future__ import annotations

import colorsys

import numpy as np


def colours(num_classes: int) -> np.ndarray:
    """Returns a colour for each class, uint8 (K, 3), neighbours far apart."""
    hues = [colorsys.hsv_to_rgb(0.58 + 0.382 * k, 0.75, 0.95 - 0.35 * (k % 2))
            for k in range(num_classes)]  # fmt: skip
    return (255 * np.array(hues)).round().astype(np.uint8)
