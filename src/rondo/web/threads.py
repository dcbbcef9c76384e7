"""The threads that compute for the page, all of them there before the first request.

A thread that is started where memory lacks can end before it says that it runs, and who started it
waits for that word for ever. In the loop of events that would be the end of all answers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

NAME = "rondo-page"
"""What the names of the threads begin with."""

NUM_THREADS = 3
"""One thing computes at a time; settings and lists are read beside it."""

Value = TypeVar("Value")


class Threads:
    """Calls functions in threads, and starts none after it was made."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(NUM_THREADS, NAME)
        all_there = Barrier(NUM_THREADS + 1)
        for _ in range(NUM_THREADS):
            self._pool.submit(all_there.wait)
        all_there.wait()

    async def run(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """Awaits what a function returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *arguments))

    def close(self) -> None:
        """Ends the threads, each after what it computes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def processes_watched_without_threads() -> AsyncIterator[None]:
    """The end of a process is heard of without a thread for each, as it is from Python 3.12 on."""
    if sys.version_info < (3, 12) and can_watch():
        if not isinstance(asyncio.get_child_watcher(), _Watcher):
            asyncio.set_child_watcher(_Watcher())
    yield


def can_watch() -> bool:
    """Whether the system tells of the end of a process by a file."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


if sys.version_info < (3, 12):

    class _Watcher(asyncio.AbstractChildWatcher):
        """Hears of the end of processes in whichever loop started them."""

        def is_active(self) -> bool:
            return True

        def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            """Each process is watched in the loop that runs when it starts."""

        def close(self) -> None:
            """Each loop closes what it watches."""

        def __enter__(self) -> _Watcher:
            return self

        def __exit__(self, *_error: object) -> None:
            """Nothing was begun."""

        def add_child_handler(  # type: ignore[override]
            self, pid: int, callback: Callable[..., object], *args: Any
        ) -> None:
            loop, file = asyncio.get_running_loop(), os.pidfd_open(pid)
            loop.add_reader(file, self._ended, loop, file, pid, partial(callback, pid), args)

        def remove_child_handler(self, pid: int, /) -> bool:
            return False

        def _ended(
            self,
            loop: asyncio.AbstractEventLoop,
            file: int,
            pid: int,
            callback: Callable[..., object],
            args: tuple[Any, ...],
        ) -> None:
            loop.remove_reader(file)
            os.close(file)
            try:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:  # somebody else has asked
                code = 255
            callback(code, *args)
