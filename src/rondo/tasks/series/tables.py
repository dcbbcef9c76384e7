"""A table of a file: its columns as words, as numbers or as times; every fault has its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rondo.tasks.series.times import parsed_times

MISSING = ("", "na", "nan", "n/a", "null", "none", "?", "-")
"""Cells that stand for a missing value, in small letters."""


@dataclass(frozen=True)
class Table:
    """The columns of a file, as words or as numbers.

    Args:
        path: The file.
        columns: Words, or an array of numbers or dates, for each name.
        lines: The line of each row, for messages; None where there are no lines.
    """

    path: Path
    columns: Mapping[str, Sequence[str] | np.ndarray]
    lines: Sequence[int] | None = None

    def line(self, place: int) -> int:
        """The line of a row in the file; of a file without lines the number of the row, from 1."""
        return int(place) + 1 if self.lines is None else self.lines[int(place)]

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    def words(self, name: str) -> list[str]:
        """Returns a column as words."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return [f"{x:g}" if isinstance(x, float) else str(x) for x in column.tolist()]
        return [word.strip() for word in column]

    def times(self, name: str) -> np.ndarray:
        """Returns a column as times."""
        column = self.columns[name]
        if not isinstance(column, np.ndarray):
            return parsed_times(self.path, name, column, self.line)
        found = column.astype("datetime64[s]" if column.dtype.kind == "M" else "float64")
        if not np.isfinite(found).all():
            line = self.line(int((~np.isfinite(found)).argmax()))
            raise ValueError(f"{self.path}, line {line}: the column {name!r} has no time there")
        return found

    def numbers(self, name: str) -> np.ndarray:
        """Returns a column as float64 (T,), NaN where a cell is empty.

        Raises:
            ValueError: Where a cell is not a number; its line is named.
        """
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            found = column.astype(np.float64)
        else:
            try:
                found = np.array(column, dtype=np.float64)
            except ValueError:
                found = np.array([self._number(name, *pair) for pair in enumerate(column)])
        if np.isinf(found).any():
            line = self.line(int(np.isinf(found).argmax()))
            raise ValueError(
                f"{self.path}, line {line}: the column {name!r} holds an infinite number; mend it, "
                "or leave the cell empty, which means that it is missing"
            )
        return found

    def _number(self, name: str, place: int, word: str) -> float:
        if word.strip().lower() in MISSING:
            return np.nan
        try:
            return float(word)
        except ValueError:
            advice = "write it with a point, as 1.5" if "," in word else (
                "leave the cell empty where a value is missing, or do not name the column as one "
                "to read"
            )  # fmt: skip
            raise ValueError(
                f"{self.path}, line {self.line(place)}: the column {name!r} holds {word!r}, "
                f"which is no number; {advice}"
            ) from None

    def is_of_words(self, name: str) -> bool:
        """Whether no cell of a column is a number, and some are not empty."""
        column = self.columns[name]
        if isinstance(column, np.ndarray):
            return column.dtype.kind not in "fiub"
        held = [word.strip() for word in column if word.strip().lower() not in MISSING]
        return bool(held) and not any(_is_number(word) for word in held)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
