"""What of a data set is not used, and why, and how that is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """A file or a row that is not used, and why; alike reasons have alike words."""

    path: str
    reason: str


def describe_skipped(skipped: Iterable[Skipped]) -> str:
    """For example "3 skipped: the file is missing (2), the file is empty (1)"."""
    reasons = Counter(item.reason for item in skipped)
    if not reasons:
        return "none skipped"
    words = ", ".join(f"{reason} ({number})" for reason, number in reasons.most_common())
    return f"{reasons.total()} skipped: {words}"


SHOWN = 10
"""So many things that are not used are named."""


def named_skipped(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """Returns a line for each of the first ten things that are not used, and how many follow.

    Example:
        >>> from rondo.data.skipped import Skipped, named_skipped
        >>> named_skipped([Skipped("a.png", "the file is empty")])
        ('left out: a.png: the file is empty',)
    """
    lines = [f"left out: {printable(item.path)}: {item.reason}" for item in skipped[:SHOWN]]
    more = len(skipped) - SHOWN
    return (*lines, f"left out: and {more} more") if more > 0 else tuple(lines)


def printable(name: str) -> str:
    r"""Returns a name in one line that every terminal shows, whatever its bytes are.

    Example:
        >>> from rondo.data.skipped import printable
        >>> print(printable("two\nlines and \udcff"))
        two\nlines and \udcff
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in name
    )


def count_of(number: int, noun: str) -> str:
    """For example "1 photo" or "2 photos"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
