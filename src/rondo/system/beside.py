"""A function that another thread calls, if one can be had.

`threading.Thread.start`, and with it a pool of threads, waits until the thread says that it runs.
Where memory lacks, a thread can end before it says so, and who started it waits for ever. Here
nobody waits for a start: who wants the result calls the function itself where no thread has begun.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


PATIENCE = 60.0
"""Seconds after which a thread that has not begun is not waited for any more."""


class Beside(Generic[T]):
    """Has a function called once, in another thread or by who asks for its result first.

    Args:
        function: Is called without arguments.

    Example:
        >>> from rondo.system.beside import Beside
        >>> Beside(lambda: 6 * 7).result()
        42
    """

    _value: T
    _error: BaseException | None = None

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._begun, self._starting, self._running = (allocate_lock() for _ in range(3))
        self._starting.acquire()
        self._running.acquire()
        try:
            start_new_thread(self._start, ())
        except (RuntimeError, MemoryError):  # no thread, or none any more
            self._starting.release()

    def _start(self) -> None:
        """What the other thread does."""
        if self._begun.acquire(blocking=False):
            self._starting.release()
            self._call()

    def _call(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # is raised where the result is wanted
            self._error = error
        finally:
            self._running.release()

    def result(self) -> T:
        """Returns what the function returns, or raises what it raises."""
        if self._begun.acquire(blocking=False):
            self._call()
        return self._ended()

    def result_elsewhere(self) -> T:
        """Returns what the function returns, or raises what it raises; never calls it here.

        Raises:
            RuntimeError: Where no other thread has begun within `PATIENCE`.
        """
        self._starting.acquire(timeout=PATIENCE)
        if self._begun.acquire(blocking=False):
            raise RuntimeError("no other thread could be started; is there memory for one?")
        return self._ended()

    def _ended(self) -> T:
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Waits for the end of the function, where it has begun; it does not begin later."""
        if not self._begun.acquire(blocking=False):
            with self._running:
                pass
