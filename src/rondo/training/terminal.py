"""One line of a terminal that changes while work goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

SHOWN_SECONDS = 0.2
"""Time between two changes of the line, in seconds."""


class StatusLine:
    """A line that is written over, in a terminal or below the cell of a notebook.

    Args:
        stream: The terminal; nothing is shown where it is none.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_notebook = in_notebook()
        self.is_shown = stream.isatty() or self.is_notebook
        self.shown_at = 0.0
        self.width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Shows a text in place of the one before, a few times a second at most."""
        now = time.monotonic()
        if self.is_shown and now - self.shown_at > SHOWN_SECONDS:
            self.shown_at = now
            self._write(text())

    def clear(self) -> None:
        """Clears the line for other text."""
        if self.is_shown:
            self._write("")

    def _write(self, text: str) -> None:
        """Writes over the line; a notebook knows no code that clears it, so blanks do."""
        blank = "\r" + " " * self.width + "\r" if self.is_notebook else "\r\x1b[K"
        self.width = len(text)
        self.stream.write(blank + text)
        self.stream.flush()


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    running = None if shell is None else shell.get_ipython()
    return type(running).__name__ == "ZMQInteractiveShell"


def clock(seconds: float) -> str:
    """Returns a time as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
