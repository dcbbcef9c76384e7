"""One line of a terminal that changes while work goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

SHOWN_SECONDS = 0.2
"""Time between two changes of the line, in seconds."""


class StatusLine:
    """A line that is written over.

    Args:
        stream: The terminal; nothing is shown where it is none.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.shown_at = 0.0

    def show(self, text: Callable[[], str]) -> None:
        """Shows a text in place of the one before, a few times a second at most."""
        now = time.monotonic()
        if self.is_terminal and now - self.shown_at > SHOWN_SECONDS:
            self.shown_at = now
            self.stream.write("\r\x1b[K" + text())
            self.stream.flush()

    def clear(self) -> None:
        """Clears the line for other text."""
        if self.is_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def clock(seconds: float) -> str:
    """Returns a time as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
