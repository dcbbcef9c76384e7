"""Ctrl-C and SIGTERM as a request to end after the present batch."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopRequest:
    """Whether, and by which signal, the run was asked to end after the present batch.

    Args:
        say: Is given a line for the user when the request comes.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether the run was asked to end."""
        return self.signal_number is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes Ctrl-C and SIGTERM as requests while the block runs."""
        previous = {number: signal.getsignal(number) for number in self.SIGNALS}
        self.take_signals()
        try:
            yield
        finally:
            if _in_main_thread():
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def take_signals(self) -> None:
        """Takes the signals over; other threads than the main one cannot."""
        if _in_main_thread():
            for number in self.SIGNALS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Notes the request; a second Ctrl-C ends the process at once, which loses no file."""
        if self.requested and number == signal.SIGINT:
            os._exit(128 + number)
        self.signal_number = number
        with suppress(RuntimeError, OSError):  # it came while something else was being told
            self.say("ending after this batch; press Ctrl-C again to end at once")


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
