"""Which numbers of frames are missing, and how that is said."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

SHOWN = 10
"""So many runs of lost frames are named."""

MOST_GAPS = 1000
"""Names that lack more numbers than this, and than four times what there is, count no frames."""

LAST_NUMBER = re.compile(r"\d+(?!.*\d)")
"""The number of a frame in the name of its file."""

Runs = tuple[range, ...]
"""Numbers in order, each run of neighbours as one range."""


class LostFramesWarning(UserWarning):
    """Frames of a video are lost; the warning names the file and their numbers."""


def runs_of(numbers: Iterable[int]) -> Runs:
    """Returns increasing numbers as runs of neighbours.

    Example:
        >>> from rondo.data.lost_frames import runs_of
        >>> runs_of([1, 2, 3, 7])
        (range(1, 4), range(7, 8))
    """
    runs: list[range] = []
    for number in numbers:
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)


def runs_between(numbers: Sequence[int], end: int) -> Runs:
    """Returns the numbers from 0 to `end` that are not among increasing ones.

    Example:
        >>> from rondo.data.lost_frames import runs_between
        >>> runs_between([1, 2, 5], 8)
        (range(0, 1), range(3, 5), range(6, 8))
    """
    edges = zip((-1, *numbers), (*numbers, end), strict=True)
    return tuple(range(before + 1, after) for before, after in edges if after > before + 1)


def gaps_in(numbers: Sequence[int]) -> list[int]:
    """Returns the numbers that are missing among those of frames.

    Frames may be counted by any step, the most frequent difference of neighbours. Numbers of which
    fewer than half are a step apart, or others by a part of it, count no frames, but dates or the
    like: nothing is missing.

    Example:
        >>> from rondo.data.lost_frames import gaps_in
        >>> gaps_in([0, 30, 60, 150]), gaps_in([7, 8, 11]), gaps_in([20240101, 20240311, 20241205])
        ([90, 120], [9, 10], [])
    """
    pairs = list(pairwise(sorted(set(numbers))))
    steps = Counter(after - before for before, after in pairs)
    if not steps:
        return []
    step = min(steps, key=lambda step: (-steps[step], step))
    num_missing = sum((after - before - 1) // step for before, after in pairs)
    counts_frames = 2 * steps[step] >= len(pairs) and not any(other % step for other in steps)
    if not counts_frames or num_missing > max(MOST_GAPS, 4 * len(pairs)):
        return []
    return [number for before, after in pairs for number in range(before + step, after, step)]


def by_number(name: str) -> tuple[str | int, ...]:
    """Sorts names so that frame 2 comes before frame 10.

    Example:
        >>> from rondo.data.lost_frames import by_number
        >>> sorted(["f10.png", "f2.png"], key=by_number)
        ['f2.png', 'f10.png']
    """
    words = re.split(r"(\d+)", name)
    return tuple(int(word) if place % 2 else word for place, word in enumerate(words))


def gaps_in_names(names: Iterable[str]) -> dict[str, list[int]]:
    """Returns names, without their endings, before which numbered ones are missing.

    Names that differ in their last number alone are those of one video.

    Example:
        >>> from rondo.data.lost_frames import gaps_in_names
        >>> gaps_in_names(["a01", "a02", "a05", "b7"])
        {'a05': [3, 4]}
    """
    groups: dict[str, dict[int, str]] = defaultdict(dict)
    for name in names:
        found = LAST_NUMBER.search(name)
        if found is not None:
            groups[LAST_NUMBER.sub("#", name, count=1)][int(found[0])] = name
    gaps: dict[str, list[int]] = defaultdict(list)
    for group in groups.values():
        ordered = sorted(group)
        for number in gaps_in(ordered):
            gaps[group[ordered[bisect_right(ordered, number)]]].append(number)
    return dict(gaps)


def numbers_text(runs: Sequence[range], first: int = 0) -> str:
    """Returns runs in words.

    Args:
        runs: The runs, counted from 0.
        first: What the first frame is called.

    Example:
        >>> from rondo.data.lost_frames import numbers_text
        >>> numbers_text([range(3, 4), range(6, 9)]), numbers_text([range(3, 4)], first=1)
        ('3, 6-8', '4')
    """
    words = [
        f"{run.start + first}" + (f"-{run.stop - 1 + first}" if len(run) > 1 else "")
        for run in runs[:SHOWN]
    ]
    more = len(runs) - SHOWN
    return ", ".join(words) + (f" and {more} more gaps" if more > 0 else "")
