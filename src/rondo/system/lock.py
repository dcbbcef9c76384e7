"""A folder that one process at a time may change.

The lock is the kernel's (`flock`) on a file in the folder: it ends with the process that holds it,
however that ends, and is never left behind. The file says who holds it, for the message to others.
"""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = "lock"
"""The name of the file."""

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems that have no locks."""


class HeldError(Exception):
    """Another process, or another part of this one, holds the lock; the message says which."""


class FolderLock:
    """The lock of a folder; it may be taken again by who holds it already.

    Args:
        folder: The folder, which must be there when the lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / NAME
        self.depth = 0

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Holds the lock while the block runs.

        Args:
            say: Is told where the folder cannot be locked; the block then runs without a lock.

        Raises:
            HeldError: If somebody else holds it.
            OSError: If the file of the lock cannot be written.
        """
        if self.depth:
            self.depth += 1
            try:
                yield
            finally:
                self.depth -= 1
            return
        number = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take(number, say)
            self.depth = 1
            yield
        finally:
            self.depth = 0
            os.close(number)  # this gives the lock back

    def _take(self, number: int, say: Callable[[str], None]) -> None:
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "the system has no such locks")
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeldError(_holder(number)) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            say(
                f"{self.folder} cannot be locked ({error.strerror}): see to it that no other "
                "process changes it meanwhile"
            )
        os.ftruncate(number, 0)
        os.write(number, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())


def is_held(folder: Path, locks: Path = Path("/proc/locks")) -> bool:
    """Returns whether a process holds the lock of a folder, without taking it for a moment.

    Args:
        folder: The folder.
        locks: Where the system tells of its locks; where it does not, no lock is seen.
    """
    try:
        inode = (folder / NAME).stat().st_ino
        lines = locks.read_text().splitlines()
    except OSError:
        return False
    found = (line.split() for line in lines)
    return any(
        words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode)
        for words in found
        if len(words) > 5
    )


def _holder(number: int) -> str:
    """Who holds the lock, in words."""
    try:
        holder = json.loads(os.read(number, 1000))
        if (holder["pid"], holder["host"]) == (os.getpid(), platform.node()):
            return "this process"
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
