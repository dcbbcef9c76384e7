"""How many processors other programs leave free at the moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rondo.system.cgroup import cpu_share

MOMENT_S = 0.1
"""How long the machine is watched at least, in seconds."""

IDLE, IOWAIT = 3, 4
"""Where the times without work stand in the first line of `/proc/stat`."""


class CoreWatch:
    """Watches the machine from when it is made: free is what was idle, or used by this process.

    A program that takes seconds to load, as torch does, can watch meanwhile.

    Args:
        root: The folder that holds `proc` and `sys`.

    Example:
        >>> from rondo.system.free_cores import CoreWatch
        >>> watch = CoreWatch()
        >>> number = watch.num_free()
        >>> number is None or number >= 1
        True
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._began, self._own, self._before = time.monotonic(), time.process_time(), _times(root)

    def num_free(self) -> int | None:
        """Returns how many processors a program that starts now can use, at least 1.

        They are no more than the control group of the process may use; None where the system does
        not tell. It sleeps for the rest of a moment where the watch has just begun.
        """
        time.sleep(max(0.0, self._began + MOMENT_S - time.monotonic()))
        before, after = self._before, _times(self._root)
        if before is None or after is None or sum(after) <= sum(before):
            return None
        passed = [late - early for early, late in zip(before, after, strict=True)]
        own = (time.process_time() - self._own) * os.sysconf("SC_CLK_TCK")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        share_free = min(1.0, (passed[IDLE] + passed[IOWAIT] + own) / sum(passed))
        free = round((cores or 1) * share_free)
        share = cpu_share(self._root)
        return max(1, free if share is None else min(free, int(share.cores)))


def num_free_cores(root: Path = Path("/")) -> int | None:
    """Returns what `CoreWatch` finds in a moment."""
    return CoreWatch(root).num_free()


def _times(root: Path) -> list[int] | None:
    """The times that all processors together spent in each way so far, without those of guests."""
    try:
        name, *times = (root / "proc/stat").read_text().partition("\n")[0].split()
        return [int(time) for time in times[:8]] if name == "cpu" and len(times) > IOWAIT else None
    except (OSError, ValueError):
        return None
