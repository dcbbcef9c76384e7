"""What a forked child must not have of the threads that its parent was running.

A child has only the thread that forked it. What another thread had borrowed for a while (a lock, a
changed attribute of a cell, an open lock file) nobody would ever give back there. So whoever
borrows says here how it is given back, and a child does so at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

LOADING = threading.RLock()
"""Held while a library is loaded: nobody forks meanwhile, since the loader has locks of its own."""


@dataclass(frozen=True, eq=False)
class _Borrowed:
    """Something that a thread has borrowed, and how it is given back."""

    thread: int
    give_back: Callable[[], object]


_borrowed: dict[int, _Borrowed] = {}  # by the identity of what says so


@contextmanager
def given_back_in_children(give_back: Callable[[], object]) -> Iterator[None]:
    """Within it, a child that another thread forks calls a function at once.

    Args:
        give_back: Undoes what was done; only in children, and not in those of this thread, which
            leave the block as the parent does.
    """
    entry = _Borrowed(threading.get_ident(), give_back)
    _borrowed[id(entry)] = entry
    try:
        yield
    finally:
        _borrowed.pop(id(entry), None)


@contextmanager
def closed_in_children(file: int) -> Iterator[None]:
    """Within it, a child that another thread forks closes a file, and so does not hold its lock."""
    with given_back_in_children(lambda: os.close(file)):
        yield


def _give_back() -> None:
    own = threading.get_ident()
    for entry in reversed(list(_borrowed.values())):
        if entry.thread != own:
            with suppress(Exception):  # the rest is to be given back all the same
                entry.give_back()
    for number in [n for n, entry in _borrowed.items() if entry.thread != own]:
        del _borrowed[number]
    LOADING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOADING.acquire, after_in_parent=LOADING.release, after_in_child=_give_back
    )
