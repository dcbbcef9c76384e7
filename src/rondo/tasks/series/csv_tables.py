"""Tables in CSV, in UTF-8, with commas, semicolons or tabs between cells; the first line names."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from rondo.tasks.series.form import MOST_COLUMNS, check_number_of_columns
from rondo.tasks.series.tables import Table

SEPARATORS = ",;\t"
"""What may stand between cells; the first line tells which does."""

INDEX = "index"
"""The name of a first column without a name; where it counts from 0 it is left out."""


def read_csv(path: Path) -> Table:
    """Returns the table of a CSV file.

    Raises:
        ValueError: Where it is no such table; the message names the line.
        OSError: Where it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            return csv_table(path, text)
    except UnicodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8 ({error}); save it as CSV in UTF-8, or convert it, for "
            "example: iconv -f latin1 -t utf-8"
        ) from error


def csv_table(path: Path, text: IO[str]) -> Table:
    """Returns the table of open text; `path` is for messages."""
    first = text.readline()
    if not first.strip():
        raise ValueError(f"{path} is empty; its first line must name the columns")
    separator = max(SEPARATORS, key=first.count)
    check_number_of_columns(path, first.count(separator) + 1)
    rows: list[list[str]] = []
    lines: list[int] = []
    lines_read = _lines(first, text)
    reader = csv.reader(lines_read, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
        is_unnamed = not names[0]  # as pandas leaves its index
        names[0] = names[0] or INDEX
        _check_names(path, names)
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(names):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, but the first line names "
                    f"{len(names)} columns; each row is one step of one series"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: no table can be read: {error}"
        ) from error
    cells = list(zip(*rows, strict=True)) or [()] * len(names)
    columns = dict(zip(names, cells, strict=True))
    if is_unnamed and columns[INDEX] == tuple(map(str, range(len(rows)))):
        del columns[INDEX]
    return Table(path, columns, lines)


def _lines(first: str, text: Iterable[str]) -> Iterable[str]:
    yield first
    yield from text


def _check_names(path: Path, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1} if len(names) < MOST_COLUMNS else ()
    if twice:
        raise ValueError(
            f"{path} names the column {sorted(twice)[0]!r} twice; each needs a name of its own"
        )
    if all(_is_number(name) for name in names):
        raise ValueError(
            f"{path}: the first line must name the columns, but holds numbers: "
            f"{', '.join(names[:4])}"
        )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
