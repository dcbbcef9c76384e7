"""How much of the processors a container may use: the limit of its control group.

Linux limits a group of processes to some microseconds of computing in each period. Version 2 of
the control groups writes both into `cpu.max`, version 1 into `cpu.cfs_quota_us` and
`cpu.cfs_period_us`. The groups above limit as well; the smallest limit counts.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class CpuShare:
    """The limit of a control group.

    Args:
        cores: How many cores it may use, such as 1.5.
        version: Of the control groups, 1 or 2.
    """

    cores: float
    version: int


def cpu_share(root: Path = Path("/")) -> CpuShare | None:
    """Returns the smallest limit on this process, or None where there is none.

    Args:
        root: The folder that holds `proc` and `sys`.
    """
    found = [
        CpuShare(cores, version)
        for folder, version in _folders(root)
        if (cores := _limit(folder, version)) is not None
    ]
    return min(found, key=lambda share: share.cores, default=None)


def threads_at_once(cores: int, share: CpuShare | None) -> int:
    """Returns how many threads can be at work at the same time.

    In a control group more threads use up the part of each period sooner, and then all of them
    stand still; a last one that can be at work for a part of the time is worth having.

    Args:
        cores: The cores that the process may run on.
        share: The limit of its control group, if there is one.

    Example:
        >>> from rondo.system.cgroup import CpuShare, threads_at_once
        >>> [threads_at_once(2, CpuShare(cores, 2)) for cores in (0.5, 1.0, 1.5, 8.0)]
        [1, 1, 2, 2]
    """
    return cores if share is None else min(cores, max(1, math.ceil(share.cores)))


@functools.cache
def most_threads_at_once() -> int:
    """Returns the same for this process; its limits are read once."""
    return threads_at_once(usable_cores(), cpu_share())


def _folders(root: Path) -> Iterator[tuple[Path, int]]:
    """Yields the folders of the groups of this process and of those above, with their version."""
    for version, mounted, top in _mounts(root):
        group = _group(root, version)
        if group is None:
            continue
        below = PurePosixPath(group)
        if below.is_relative_to(mounted):  # a container may see its own group alone
            below = PurePosixPath("/") / below.relative_to(mounted)
        for part in (below, *below.parents):
            yield top / str(part).lstrip("/"), version


def folders_for_groups(root: Path = Path("/")) -> list[tuple[Path, int]]:
    """Returns the folders in which a group with a limit may be made, with their version.

    They are the group of this process and those above it; in version 2 only those that let the
    groups in them limit processors.
    """
    return [
        (folder, version)
        for folder, version in _folders(root)
        if version == 1 or "cpu" in " ".join(_lines(folder / "cgroup.subtree_control")).split()
    ]


def _mounts(root: Path) -> Iterator[tuple[int, str, Path]]:
    """Yields where control groups are mounted: the version, which group is there, the folder."""
    for line in _lines(root / "proc/self/mountinfo"):
        words, _, rest = line.partition(" - ")
        _, _, _, mounted, place, *_ = words.split()
        kind, _, options = (*rest.split(), "", "", "")[:3]
        is_v1 = kind == "cgroup" and "cpu" in options.split(",")
        if is_v1 or kind == "cgroup2":
            yield 1 if is_v1 else 2, mounted, root / place.lstrip("/")


def _group(root: Path, version: int) -> str | None:
    """The group of this process."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if controllers == "" if version == 2 else "cpu" in controllers.split(","):
            return group
    return None


def _limit(folder: Path, version: int) -> float | None:
    """The cores that a group may use; None where it has no limit."""
    if version == 2:
        words = " ".join(_lines(folder / "cpu.max")).split()
    else:
        words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # "max", -1 or no file
        return None
    quota, period = map(int, words)
    return quota / period if period else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def usable_cores() -> int:
    """Returns the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
