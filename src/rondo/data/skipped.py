"""What of a data set is not used, and why, and how that is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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


def count_of(number: int, noun: str) -> str:
    """For example "1 photo" or "2 photos"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
