"""Series of a `.tsf` file, the form of the Monash archive for forecasting.

Lines that begin with @ name the attributes of a series, how often there is a step (`@frequency`)
and how many are to be forecast (`@horizon`). Below `@data` a line is a series: its attributes and
its values are separated by colons, values by commas, and `?` is a missing value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rondo.tasks.series.form import Found, Series
from rondo.tasks.series.times import SECONDS
from rondo.tasks.series.ts import numbers_of

COLUMN = "value"
"""The name of the one column."""

MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
"""The months between two steps."""

STEPS = {
    "weekly": SECONDS["week"], "daily": SECONDS["day"], "hourly": SECONDS["hour"],
    "half_hourly": 1800, "15_minutes": 900, "10_minutes": 600, "minutely": 60,
    "4_seconds": 4,
}  # fmt: skip
"""The seconds between two steps."""


@dataclass
class Header:
    """What the lines before the data say."""

    attributes: list[tuple[str, str]] = field(default_factory=list)
    frequency: str | None = None
    horizon: int | None = None


def read_tsf(path: Path) -> Found:
    """Returns the series of a .tsf file.

    Raises:
        ValueError: Where it is none; the message names the line.
        OSError: Where it cannot be read.
    """
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeError:
        lines = content.decode("cp1252", "replace").splitlines()  # as the archive is written
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} is empty")
    header, first = _header(path, lines)
    series: dict[str, Series] = {}
    for number, line in enumerate(lines[first:], first + 1):
        if line.strip() and not line.startswith("#"):
            one = _series(path, number, line.strip(), header)
            if one.id in series:
                raise ValueError(f"{path}, line {number}: the name {one.id!r} stands there twice")
            series[one.id] = one
    if not series:
        raise ValueError(f"{path} has no series below @data")
    return Found(
        path, (COLUMN,), tuple(series.values()), frequency=header.frequency, horizon=header.horizon
    )


def _header(path: Path, lines: list[str]) -> tuple[Header, int]:
    header = Header()
    for number, line in enumerate(lines, 1):
        word, *values = line.split() or [""]
        if word.lower() == "@data":
            return header, number
        if word.startswith("@") and len(values) < 1 + (word == "@attribute"):
            raise ValueError(f"{path}, line {number}: {word} says nothing")
        if word == "@attribute":
            header.attributes.append((values[0], values[1]))
        elif word == "@frequency":
            header.frequency = values[0].lower()
        elif word == "@horizon":
            header.horizon = _horizon(path, number, values[0])
    raise ValueError(f"{path} has no line @data, so it is no .tsf file")


def _horizon(path: Path, number: int, word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise ValueError(f"{path}, line {number}: @horizon must be 1 or more, got {word!r}")
    return int(word)


def _series(path: Path, number: int, line: str, header: Header) -> Series:
    *given, values = line.split(":")
    if len(given) != len(header.attributes):
        raise ValueError(
            f"{path}, line {number}: {len(given)} attributes, but @attribute names "
            f"{len(header.attributes)}"
        )
    start, words = None, []
    for word, (_, kind) in zip(given, header.attributes, strict=True):
        if kind == "date":
            start = _start(path, number, word)
        else:
            words.append(word.strip())
    name = " ".join(words) or f"T{number}"
    found = numbers_of(path, number, values.split(","))
    times = None if start is None else _times(start, len(found), header.frequency)
    return Series(name, f"{path.name}#{name}", found[:, None], times)


def _start(path: Path, number: int, word: str) -> np.datetime64:
    day, _, clock = word.strip().partition(" ")
    try:
        return np.datetime64(f"{day}T{clock.replace('-', ':')}" if clock else day, "s")
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {word!r} is no date") from error


def _times(start: np.datetime64, number: int, frequency: str | None) -> np.ndarray | None:
    steps = np.arange(number)
    if frequency in MONTHS:
        first = start.astype("datetime64[M]")
        return (first + steps * MONTHS[frequency]).astype("datetime64[s]") + (
            start - first.astype("datetime64[s]")
        )
    if frequency not in STEPS:
        return None
    return start + (steps * STEPS[frequency]).astype("timedelta64[s]")
