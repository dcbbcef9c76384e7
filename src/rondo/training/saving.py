"""When a training is saved: before its first step, and then as often as costs little."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SAVE_SECONDS = 20.0
"""The least time between two saves, in seconds."""

SAVE_SHARE = 0.02
"""The largest share of the time that may go into saves, where these take long."""


class SaveClock:
    """Says when to save.

    Args:
        has_saved: Whether there is a saved state already.
    """

    def __init__(self, has_saved: bool) -> None:
        self.next_at = time.monotonic() + SAVE_SECONDS if has_saved else 0.0

    def is_due(self) -> bool:
        """Whether to save now."""
        return time.monotonic() >= self.next_at

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Takes the time of a save, which is done in the block."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self.next_at = ended + max(SAVE_SECONDS, (ended - began) / SAVE_SHARE)
