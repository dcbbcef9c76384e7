"""How many processors other programs leave free at the moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rondo.system.cgroup import cpu_share

MOMENT_S = 0.1
"""How long the machine is watched, in seconds."""

IDLE, IOWAIT = 3, 4
"""Where the times without work stand in the first line of `/proc/stat`."""


def num_free_cores(root: Path = Path("/")) -> int | None:
    """Returns how many processors a program that starts now can use, at least 1.

    They are those that were idle while this process slept for a moment, and no more than the
    control group of the process may use.

    Args:
        root: The folder that holds `proc` and `sys`.

    Returns:
        The number, or None where the system does not tell.
    """
    before = _times(root)
    time.sleep(MOMENT_S)
    after = _times(root)
    if before is None or after is None or sum(after) <= sum(before):
        return None
    passed = [late - early for early, late in zip(before, after, strict=True)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = round((cores or 1) * (passed[IDLE] + passed[IOWAIT]) / sum(passed))
    share = cpu_share(root)
    return max(1, free if share is None else min(free, int(share.cores)))


def _times(root: Path) -> list[int] | None:
    """The times that all processors together spent in each way so far, without those of guests."""
    try:
        name, *times = (root / "proc/stat").read_text().partition("\n")[0].split()
        return [int(time) for time in times[:8]] if name == "cpu" and len(times) > IOWAIT else None
    except (OSError, ValueError):
        return None
