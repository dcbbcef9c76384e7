"""Tables that label files: a CSV file whose first line names the columns, a file in each other."""

from __future__ import annotations

import csv
import os
from collections.abc import Container, Iterator
from pathlib import Path

from rondo.tasks.files import file_fault

MISFIT = "the row does not have as many cells as the first line"
"""Why a row that `table_rows` gives as an empty one cannot be used."""


def table_rows(
    file: Path, needed: tuple[str, ...], known: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields line numbers and rows; a row that is too short or too long is empty.

    Args:
        file: The table, in UTF-8.
        needed: The columns that it must have.
        known: Those that it may have, for messages.

    Raises:
        ValueError: If it cannot be read or lacks a column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            columns = [column.strip().lower() for column in next(reader, [])]
            _check_columns(file, columns, needed, known)
            for cells in filter(None, reader):
                fits = len(cells) == len(columns)
                yield reader.line_num, dict(zip(columns, cells, strict=True)) if fits else {}
    except (OSError, UnicodeError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read as a table in UTF-8: {error}") from error


def _check_columns(
    file: Path, columns: list[str], needed: tuple[str, ...], known: tuple[str, ...]
) -> None:
    absent = [column for column in needed if column not in columns]
    if absent:
        raise ValueError(
            f"{file} has no column {' and no column '.join(absent)}: its first line must name "
            f"{','.join(needed)} and may name {','.join(known)}, separated by commas; it names "
            f"{','.join(columns) or 'nothing'}"
        )


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
