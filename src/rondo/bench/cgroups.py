"""A control group of Linux that limits how many cores its processes may use.

In goes a number of cores, such as 0.5, out comes a group that processes are put into; it is removed
at the end, also after an error. Version 1 of the control groups and version 2 both do. Where no
group can be made, a sentence says why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rondo.system.cgroup import folders_for_groups

PERIOD_US = 100_000
"""What the limit is a part of: a group of 0.5 cores computes 50 of each 100 milliseconds."""

REMOVE_S = 5.0
"""How long processes that were killed may take to leave their group."""


class NoGroupError(RuntimeError):
    """No control group can be made; the message says why."""


@dataclass(frozen=True)
class Group:
    """A control group that was made here; where it is."""

    folder: Path

    def add(self, process: int) -> None:
        """Puts a process, with all its threads, into the group."""
        (self.folder / "cgroup.procs").write_text(str(process), encoding="ascii")


@contextmanager
def limited_to(cores: float, name: str = "limit", root: Path = Path("/")) -> Iterator[Group]:
    """A group whose processes may use so many cores; what is still in it at the end leaves it.

    Args:
        cores: How many.
        name: What tells it from others that this process makes.
        root: The folder that holds `proc` and `sys`.

    Raises:
        NoGroupError: Where none can be made.
    """
    folder = _made(cores, name, root)
    try:
        yield Group(folder)
    finally:
        _remove(folder)


def why_not(root: Path = Path("/")) -> str | None:
    """Returns why no group can be made; None where one can."""
    try:
        with limited_to(1.0, "trial", root):
            return None
    except NoGroupError as error:
        return str(error)


def _made(cores: float, name: str, root: Path) -> Path:
    """Makes a group in the first place that takes one, with its limit."""
    reason = "no control groups for processors are mounted"
    for parent, version in folders_for_groups(root):
        folder = parent / f"rondo-bench-{os.getpid()}-{name}"
        try:
            folder.mkdir()
            _limit(folder, version, cores)
            return folder
        except OSError as error:
            reason = f"{error.filename or folder}: {error.strerror}"
            with suppress(OSError):
                folder.rmdir()
    raise NoGroupError(f"no control group can be made: {reason}")


def _limit(folder: Path, version: int, cores: float) -> None:
    quota = str(round(cores * PERIOD_US))
    if version == 1:
        (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US), encoding="ascii")
        (folder / "cpu.cfs_quota_us").write_text(quota, encoding="ascii")
    else:
        (folder / "cpu.max").write_text(f"{quota} {PERIOD_US}", encoding="ascii")


def _remove(folder: Path) -> None:
    """Removes a group; processes that are still in it go to the one above."""
    end = time.monotonic() + REMOVE_S
    while True:
        for process in _processes(folder):
            with suppress(OSError):  # it has ended meanwhile
                (folder.parent / "cgroup.procs").write_text(process, encoding="ascii")
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _processes(folder: Path) -> list[str]:
    try:
        return (folder / "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:
        return []
