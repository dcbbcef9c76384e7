"""Times of steps: from words to numbers or dates, their usual distance, and those that follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

SECONDS = {
    "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400,
}  # fmt: skip
"""The seconds of units of time."""

SEASONS = {
    "yearly": 1, "quarterly": 4, "monthly": 12, "weekly": 52, "daily": 7, "hourly": 24,
    "half_hourly": 48, "10_minutes": 144, "15_minutes": 96, "minutely": 60,
}  # fmt: skip
"""The steps of a season by how often there is a step."""

OTHER_FORMS = ("%Y %b", "%b %Y", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%Y/%m/%d")
"""Forms of dates that are read beside ISO 8601."""

ISO = re.compile(r"\d{4}-\d\d")
"""The beginning of a date."""

OFFSET = re.compile(r":\d\d(\.\d+)?[+-]\d\d:?\d\d$")
"""The end of a time that names its distance from UTC."""

_BY_SECONDS = {
    SECONDS["week"]: "weekly", SECONDS["day"]: "daily", SECONDS["hour"]: "hourly",
    1800: "half_hourly", 900: "15_minutes", 600: "10_minutes", 60: "minutely",
}  # fmt: skip


def parsed_times(
    path: Path, column: str, words: Sequence[str], line: Callable[[int], int]
) -> np.ndarray:
    """Returns times (T,) of words: numbers, or datetime64[s] of dates as ISO 8601 writes them.

    Args:
        path: The file, for messages.
        column: The name of the column, for messages.
        words: One for each step.
        line: From the number of a word to its line.

    Raises:
        ValueError: Where one is neither, or both occur.
    """
    cleaned = [word.strip() for word in words]
    for read in (_numbers, _iso_dates, _other_dates):
        try:
            found = read(cleaned)
        except ValueError:
            continue
        if np.isfinite(found).all():
            return found
    fault = _first_fault(cleaned)
    raise ValueError(
        f"{path}, line {line(fault)}: the time {words[fault]!r} of the column {column!r} is "
        "not like the others; times are numbers, or dates such as 2024-01-31, 2024-01-31 18:00, "
        "2024-01, 2024 Q1 or 31.01.2024, all of one kind"
    )


def are_dates(words: Sequence[str]) -> bool:
    """Whether all words are dates, and none is a number alone."""
    for read in (_iso_dates, _other_dates):
        try:
            return bool(np.isfinite(read([word.strip() for word in words])).all())
        except ValueError:
            continue
    return False


def _numbers(words: list[str]) -> np.ndarray:
    return np.array(words, dtype=np.float64)


def _iso_dates(words: list[str]) -> np.ndarray:
    if not all(ISO.match(word) for word in words) or any(map(OFFSET.search, words)):
        raise ValueError("not ISO 8601, or with an offset from UTC")
    return np.array([word.removesuffix("Z") for word in words]).astype("datetime64[s]")


def _other_dates(words: list[str]) -> np.ndarray:
    return np.array([_date(word) for word in words], "datetime64[s]")


def _date(word: str) -> np.datetime64:
    """A date with an offset from UTC, which is taken off, a quarter, or another usual form."""
    quarter = re.fullmatch(r"(\d{4})[ -]?Q([1-4])", word)
    if quarter:
        return np.datetime64(f"{quarter[1]}-{3 * int(quarter[2]) - 2:02d}", "s")
    for form in OTHER_FORMS:
        try:
            return np.datetime64(datetime.strptime(word, form), "s")
        except ValueError:
            continue
    found = datetime.fromisoformat(word)
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(found, "s")


def _first_fault(words: Sequence[str]) -> int:
    """The first word that is no time; or else the first that is of another kind than the first."""
    kinds = [_kind(word) for word in words]
    wrong = [place for place, kind in enumerate(kinds) if kind is None]
    return wrong[0] if wrong else next(i for i, kind in enumerate(kinds) if kind != kinds[0])


def _kind(word: str) -> str | None:
    for read in (_numbers, _iso_dates, _other_dates):
        try:
            if np.isfinite(read([word])).all():
                return read.__name__
        except ValueError:
            continue
    return None


def frequency_of(times: np.ndarray) -> str | None:
    """Returns such as "monthly" for times whose usual distance has a name, else None."""
    if times.dtype.kind != "M" or len(times) < 2:
        return None
    months = usual_months(times)
    if months is not None:
        return {1: "monthly", 3: "quarterly", 12: "yearly"}.get(months)
    return _BY_SECONDS.get(int(np.median(np.diff(times).astype(np.int64))))


def usual_months(times: np.ndarray) -> int | None:
    """Returns the months between dates that lie whole months apart, else None."""
    if np.median(np.diff(times).astype(np.int64)) < 28 * SECONDS["day"]:
        return None
    months = np.diff(times.astype("datetime64[M]").astype(np.int64))
    return int(np.median(months)) or None


def is_even(times: np.ndarray) -> bool:
    """Whether all steps are as far apart as the usual ones."""
    if len(times) < 3:
        return True
    if times.dtype.kind == "M":
        months = usual_months(times)
        if months is not None:
            return bool((np.diff(times.astype("datetime64[M]").astype(np.int64)) == months).all())
    gaps = np.diff(times).astype(np.float64)
    return bool(np.allclose(gaps, np.median(gaps), rtol=0.01))


def following(times: np.ndarray, number: int) -> np.ndarray:
    """Returns the times of the steps that follow.

    Example:
        >>> import numpy as np
        >>> from rondo.tasks.series.times import following
        >>> following(np.array(["2024-01-31", "2024-02-29"], "datetime64[s]"), 2).astype("<M8[D]")
        array(['2024-03-31', '2024-04-30'], dtype='datetime64[D]')
    """
    if len(times) < 2:
        return times[:0]
    steps = np.arange(1, number + 1)
    if times.dtype.kind != "M":
        return times[-1] + steps * np.median(np.diff(times))
    months = usual_months(times)
    if months is not None:
        return _months_after(times, steps * months)
    seconds = np.median(np.diff(times).astype(np.int64))
    return times[-1] + (steps * seconds).astype("timedelta64[s]")


def _months_after(times: np.ndarray, months: np.ndarray) -> np.ndarray:
    """The last time moved by months; on the last day of a month where all are."""
    first = times.astype("datetime64[M]")
    days = times.astype("datetime64[D]") - first.astype("datetime64[D]")
    rest = times[-1] - times[-1].astype("datetime64[D]").astype("datetime64[s]")
    moved = first[-1] + months
    lengths = (moved + 1).astype("datetime64[D]") - moved.astype("datetime64[D]")
    ends = (first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")
    wanted = lengths - 1 if (days == ends - 1).all() else np.minimum(days[-1], lengths - 1)
    return (moved.astype("datetime64[D]") + wanted).astype("datetime64[s]") + rest


def as_words(times: np.ndarray) -> list[str]:
    """Returns times as text: dates without a time of day where none has one, numbers as they are.

    Example:
        >>> import numpy as np
        >>> from rondo.tasks.series.times import as_words
        >>> as_words(np.array(["2024-01-31"], "datetime64[s]")), as_words(np.array([3.0]))
        (['2024-01-31'], ['3'])
    """
    if times.dtype.kind != "M":
        return [f"{time:.12g}" for time in times.tolist()]
    days = times.astype("datetime64[D]")
    return [str(one) for one in (days if (days == times).all() else times)]
