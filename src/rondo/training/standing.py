"""Where a training stands: what a step and a check count."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass
class Progress:
    """Where the training stands.

    Args:
        step: Steps done since the beginning.
        num_seen: Training examples seen since the beginning.
        checked_at: How many they were at the last check.
        loss_sum: The sum of the losses of the steps since then.
        num_steps: The number of these steps.
        num_right: The training examples since then that were answered rightly, where it is counted.
        interval_seconds: The time of these steps, in seconds.
        num_skipped: Steps without an update: no example had a step, or the gradient was not
            finite.
        best_loss: The smallest loss in a check.
        num_worse: Checks since then.
        solved: Whether a check has met the goal.
        seconds: The time of all steps, in seconds.
    """

    step: int = 0
    num_seen: int = 0
    checked_at: int = 0
    loss_sum: float = 0.0
    num_steps: int = 0
    num_right: float = 0.0
    interval_seconds: float = 0.0
    num_skipped: int = 0
    best_loss: float = math.inf
    num_worse: int = 0
    solved: bool = False
    seconds: float = 0.0

    def at_interval(self) -> Progress:
        """The same with the sums since the last check set to zero: there was a check now."""
        return replace(
            self,
            checked_at=self.num_seen,
            loss_sum=0.0,
            num_steps=0,
            num_right=0.0,
            interval_seconds=0.0,
        )
