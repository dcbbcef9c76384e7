"""A function that another thread calls, if one can be had.

`threading.Thread.start`, and with it a pool of threads, waits until the thread says that it runs.
Where memory lacks, a thread can end before it says so, and who started it waits for ever. Here
nobody waits for a start: who wants the result calls the function itself where no thread has begun.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


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
        self._begun, self._running = allocate_lock(), allocate_lock()
        self._running.acquire()
        with suppress(RuntimeError, MemoryError):  # no thread, or none any more
            start_new_thread(self._call, ())

    def _call(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._value = self._function()
        except BaseException as error:  # is raised where the result is wanted
            self._error = error
        finally:
            self._running.release()

    def result(self) -> T:
        """Returns what the function returns, or raises what it raises."""
        self._call()
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Waits for the end of the function, where it has begun; it does not begin later."""
        if not self._begun.acquire(blocking=False):
            with self._running:
                pass
