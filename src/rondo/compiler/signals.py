"""Errors that a signal handler raised: they are meant for whoever called, and no fault of a cell.

A handler of the user's (of `SIGALRM`, to end what takes too long) may raise at any line. Where
Rondo tries something and goes on when it fails, such an error must not count as the failure.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator
from types import CodeType
from typing import Any


def pass_on(error: BaseException | None) -> None:
    """Raise an error, or one of its causes, if a signal handler raised it."""
    while error is not None:
        if _is_of_handler(error):
            raise error
        error = error.__cause__


def _is_of_handler(error: BaseException) -> bool:
    handlers = set(_codes())
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _codes() -> Iterator[CodeType]:
    """The code of all signal handlers."""
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if not callable(handler) or isinstance(handler, signal.Handlers):
            continue
        while isinstance(handler, functools.partial):
            handler = handler.func
        handler = getattr(handler, "__func__", handler)
        code = getattr(handler, "__code__", None) or getattr(
            type(handler).__call__, "__code__", None
        )
        if code is not None:
            yield code
