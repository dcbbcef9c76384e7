"""Tables that label files: a CSV file whose first line names the columns, a file in each other."""

from __future__ import annotations

import csv
import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from rondo.data.files import file_fault

MISFIT = "the row does not have as many cells as the first line"
"""Why a row that `table_rows` gives as an empty one cannot be used."""


def table_columns(file: Path) -> list[str]:
    """Returns what the first line of a table names, in lower case.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return _columns(csv.reader(text, skipinitialspace=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise _unreadable(file, error) from error


def _columns(reader: Iterator[list[str]]) -> list[str]:
    return [column.strip().lower() for column in next(reader, [])]


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file} cannot be read as a table in UTF-8: {error}")


def table_rows(
    file: Path, needed: tuple[str, ...], known: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line numbers and rows; a row that is too short or too long is empty.

    Blank lines, and those of empty cells, are passed over.

    Args:
        file: The table, in UTF-8, with or without a byte order mark.
        needed: The columns that it must have.
        known: Those that it may have, for messages.

    Raises:
        ValueError: If it cannot be read, lacks a column or names one twice, or a quotation mark
            swallows lines.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines: list[str] = []
            reader = csv.reader(_kept(text, lines), skipinitialspace=True)
            columns = _columns(reader)
            _check_columns(file, columns, needed, known)
            lines.clear()
            for cells in reader:
                fits = len(cells) == len(columns)
                _check_quotes(file, reader.line_num, lines, fits)
                lines.clear()
                if any(map(str.strip, cells)):
                    yield reader.line_num, dict(zip(columns, cells, strict=True)) if fits else {}
    except (OSError, UnicodeError, csv.Error) as error:
        raise _unreadable(file, error) from error


def _kept(text: Iterable[str], lines: list[str]) -> Iterator[str]:
    """Yields lines, and adds each to a list."""
    for line in text:
        lines.append(line)
        yield line


def _check_quotes(file: Path, number: int, lines: list[str], fits: bool) -> None:
    """Raises `ValueError` where a cell goes on over lines that cannot belong to it."""
    spans = len(lines) > 1
    if not spans and not lines[0].count('"') % 2:
        return
    fault = _fault_of_row("".join(lines))
    if (spans and (fault or not fits)) or "unexpected end" in fault:
        raise ValueError(
            f"{file}, line {number - len(lines) + 1}: a quotation mark opens a cell that goes on "
            f'to line {number}; close it, or write "" for a quotation mark within a cell'
        )


def _fault_of_row(record: str) -> str:
    """What is wrong with the quotation marks of a row, "" where nothing is."""
    try:
        list(csv.reader([record], skipinitialspace=True, strict=True))
    except csv.Error as error:
        return str(error)
    return ""


def _check_columns(
    file: Path, columns: list[str], needed: tuple[str, ...], known: tuple[str, ...]
) -> None:
    absent = [column for column in needed if column not in columns]
    if absent:
        and_known = f" and may name {','.join(known)}" if known else ""
        raise ValueError(
            f"{file} has no column {' and no column '.join(absent)}: its first line must name "
            f"{','.join(needed)}{and_known}, separated by commas; it names "
            f"{','.join(columns) or 'nothing'}"
        )
    twice = [column for column in (*needed, *known) if columns.count(column) > 1]
    if twice:
        raise ValueError(f"{file} names the column {twice[0]} twice; rename one of them")


def fault_of(root: Path, name: str, taken: Container[str]) -> str | None:
    """Returns why a file that a table names cannot be used, None where it can.

    Args:
        root: The folder of the data.
        name: The file, relative to it.
        taken: The files that were named before, normalised.
    """
    normal = os.path.normpath(name)
    if not name.strip():
        return "no file is named"
    if os.path.isabs(normal) or normal.startswith(".."):
        return "the path leads out of the folder of the data"
    if normal in taken:
        return "the file is named a second time (the first counts)"
    return file_fault(root / normal)
