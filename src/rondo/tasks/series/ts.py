"""Series of a `.ts` file, the form of aeon and sktime for classes and numbers of series.

Lines that begin with @ say what follows; below `@data` a line is a series: its dimensions are
separated by colons, their values by commas, `?` or NaN is a missing value, and what stands after
the last colon is the class, or the number to predict. Series may have different lengths. With
`@timestamps true` a step is `(time,value)`; the times are not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rondo.data.skipped import Skipped
from rondo.tasks.series.form import Found, Label, Series, check_number_of_columns

PAIR = re.compile(r"\([^()]*,\s*([^(),]*)\)")
"""A step with its time."""


@dataclass(frozen=True)
class Header:
    """What the lines before the data say.

    Args:
        classes: The classes, where there are some.
        has_labels: Whether something stands after the last colon.
        has_times: Whether steps are `(time,value)`.
    """

    classes: tuple[str, ...] = ()
    has_labels: bool = False
    has_times: bool = False


def read_ts(path: Path, kind: str | None = None) -> Found:
    """Returns the series of a .ts file.

    Raises:
        ValueError: Where it is none; the message names the line.
        OSError: Where it cannot be read.
    """
    header, lines = read_header(path, path.read_bytes())
    if kind == "classify" and header.has_labels and not header.classes:
        raise ValueError(f"{path} has numbers to predict (@targetLabel), not classes")
    if kind == "regress" and header.classes:
        raise ValueError(f"{path} has classes (@classLabel), not numbers to predict")
    series: list[Series] = []
    skipped: list[Skipped] = []
    for number, line in lines:
        values, label = _parsed(path, number, line, header)
        source = f"{path.name}#{len(series) + len(skipped)}"
        if len({len(one) for one in values}) > 1:
            skipped.append(Skipped(source, "its dimensions have different lengths"))
            continue
        held = np.stack(values, 1)
        series.append(Series(source.partition("#")[2], source, held, label=label))
    if not series:
        raise ValueError(f"{path} holds no series that can be used")
    num_columns = series[0].values.shape[1]
    check_number_of_columns(path, num_columns)
    for one in series:
        if one.values.shape[1] != num_columns:
            raise ValueError(
                f"{path}: series {one.id} has {one.values.shape[1]} dimensions, the first has "
                f"{num_columns}"
            )
    labels = ("words" if header.classes else "numbers") if header.has_labels else None
    columns = tuple(f"x{n}" for n in range(num_columns))
    return Found(path, columns, tuple(series), labels=labels, skipped=tuple(skipped))


def read_header(path: Path, content: bytes) -> tuple[Header, list[tuple[int, str]]]:
    """Returns what the header says, and the numbered lines of the data."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    said: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        word, *values = line.strip().split() or [""]
        if word.lower() == "@data":
            rest = [(number + n, text.strip()) for n, text in enumerate(lines[number:], 1)]
            rest = [(n, text) for n, text in rest if text and not text.startswith(("#", "%"))]
            if not rest:
                raise ValueError(f"{path} has no series below @data")
            return _header(said), rest
        if word.startswith("@"):
            said[word[1:].lower()] = values
        elif word and not word.startswith(("#", "%")):
            raise ValueError(f"{path}, line {number}: only lines with @ may stand before @data")
    raise ValueError(f"{path} has no line @data, so it is no .ts file" if lines else
                     f"{path} is empty")  # fmt: skip


def _header(said: dict[str, list[str]]) -> Header:
    def is_true(name: str) -> bool:
        return said.get(name, ["false"])[:1] in (["true"], ["True"])

    classes = tuple(said.get("classlabel", [])[1:]) if is_true("classlabel") else ()
    return Header(classes, is_true("classlabel") or is_true("targetlabel"), is_true("timestamps"))


def _parsed(
    path: Path, number: int, line: str, header: Header
) -> tuple[list[np.ndarray], Label | None]:
    """The dimensions of a series, and its label."""
    if header.has_times:
        line = PAIR.sub(r"\1", line)
    parts = line.split(":")
    label: Label | None = None
    if header.has_labels:
        word = parts.pop().strip()
        if header.classes and word not in header.classes:
            raise ValueError(
                f"{path}, line {number}: the class {word!r} is none of those of @classLabel: "
                f"{', '.join(header.classes)}"
            )
        label = word if header.classes else (numbers_of(path, number, [word])[0],)
    if not parts or not all(part.strip() for part in parts):
        raise ValueError(f"{path}, line {number}: a dimension without values")
    return [numbers_of(path, number, part.split(",")) for part in parts], label


def numbers_of(path: Path, number: int, words: Sequence[str]) -> np.ndarray:
    """Returns the numbers of a line, NaN where `?` or NaN stands.

    Raises:
        ValueError: Where something else stands there, or an infinite number.
    """
    cleaned = [word.strip() for word in words]
    try:
        found = np.array([np.nan if word == "?" else float(word) for word in cleaned])
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from error
    if np.isinf(found).any():
        raise ValueError(f"{path}, line {number}: an infinite number; write ? for a missing value")
    return found
