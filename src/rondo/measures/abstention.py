"""What is gained by leaving the doubtful photos unanswered.

The confidence of an answer is its probability, that of the more probable class. Below a least
confidence the answer is "not sure". Coverage is the share of photos that get an answer, and the
accuracy is that of those; a curve shows the one against the other.

Source: Geifman and El-Yaniv, "Selective classification for deep neural networks", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rondo.errors import RunError
from rondo.measures.intervals import Share, wilson

THRESHOLDS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Least confidences that a report tells of."""

NUM_POINTS = 200
"""Least confidences that a curve shows, at most."""


@dataclass(frozen=True)
class Answered:
    """What is answered of a split, and how well.

    Args:
        min_confidence: The least probability of an answer.
        coverage: Share of the photos that get an answer.
        accuracy: Share of these answers that are right; not a number where there are none.
    """

    min_confidence: float
    coverage: Share
    accuracy: Share


def check_min_confidence(value: float) -> None:
    """Raises `RunError` where a value is no least confidence."""
    if not 0 <= value <= 1:
        raise RunError(f"the least confidence must be from 0 to 1, as 0.9, but is {value:g}")


def answered(probabilities: Tensor, labels: Tensor, min_confidence: float) -> Answered:
    """Returns how many photos get an answer, and how many of those are right.

    Args:
        probabilities: (N, K).
        labels: (N,).
        min_confidence: The least probability of an answer, 0 to 1.

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.95, 0.05], [0.4, 0.6], [0.08, 0.92]])
        >>> found = answered(probabilities, torch.tensor([0, 0, 0]), min_confidence=0.9)
        >>> found.coverage.num_correct, found.accuracy.num_correct, found.accuracy.num_photos
        (2, 1, 2)
    """
    confidence, predicted = probabilities.max(dim=1)
    given = confidence.double() >= min_confidence
    num_given = int(given.sum())
    num_right = int((given & (predicted == labels)).sum())
    return Answered(min_confidence, wilson(num_given, len(labels)), wilson(num_right, num_given))


def coverage_curve(probabilities: Tensor, labels: Tensor) -> list[Answered]:
    """Returns what is answered at least confidences from 0 on that differ in what they leave."""
    confidence = probabilities.max(dim=1).values.unique()
    stride = -(-len(confidence) // NUM_POINTS)
    return [answered(probabilities, labels, one) for one in confidence[::stride].tolist()]
