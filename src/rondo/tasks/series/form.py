"""What every reader of files gives: series with their columns, and what was left out.

A series has values (T, C), NaN where one is missing, and perhaps times, a label and a split. What
the user said of the columns of a table is a `Roles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rondo.data.skipped import Skipped
from rondo.errors import suggestion

MOST_COLUMNS = 4096
"""Columns of values that are taken at most; a network with more inputs is not meant here."""

Label = str | float | tuple[float, ...]
"""A class, a number, or several numbers."""


@dataclass(frozen=True)
class Series:
    """One sequence of a file.

    Args:
        id: Its name, unique within a file.
        source: The file, with a sign for the series, such as `pumps.csv#7`.
        values: (T, C) float64, NaN where a value is missing.
        times: (T,) numbers or datetime64[s], in order; None where the file has none.
        label: The class or the numbers that belong to it, None where there are none.
        split: "train", "val" or "test", or (T,) such words for the steps; None where none is given.
    """

    id: str
    source: str
    values: np.ndarray
    times: np.ndarray | None = None
    label: Label | None = None
    split: str | np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are; None stands for what the table itself tells.

    Args:
        id: The column that tells the series of a table apart.
        time: The column of times.
        target: The columns to predict.
        inputs: The columns of values that the network reads.
        known: Those of them that are known ahead.
    """

    id: str | None = None
    time: str | None = None
    target: tuple[str, ...] | None = None
    inputs: tuple[str, ...] | None = None
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The series of one file, or of several that belong together.

    Args:
        path: The file, or the folder.
        columns: The names of the C columns of values.
        series: The series.
        roles: What the columns are, with what was guessed.
        labels: "words", "numbers" or None: what labels are.
        frequency: Such as "monthly", where the file says it.
        horizon: The steps to forecast, where the file says it.
        notes: What to tell the user.
        skipped: What cannot be used, and why.
    """

    path: Path
    columns: tuple[str, ...]
    series: tuple[Series, ...]
    roles: Roles = field(default_factory=Roles)
    labels: str | None = None
    frequency: str | None = None
    horizon: int | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def with_columns(self, wanted: Sequence[str]) -> Found:
        """Returns the same with these columns, in this order; what is left out is told.

        Raises:
            ValueError: Where one is missing; it is named.
        """
        for name in wanted:
            if name not in self.columns:
                raise ValueError(
                    f"{self.path} has no column {name!r}, which is needed; "
                    f"{suggestion(name, self.columns)}"
                )
        places = [self.columns.index(name) for name in wanted]
        if places == list(range(len(self.columns))):
            return self
        extra = [name for name in self.columns if name not in wanted]
        notes = self.notes
        if extra:
            notes = (*notes, f"{self.path.name}: not read: {listed(extra)}")
        series = tuple(replace(one, values=one.values[:, places]) for one in self.series)
        return replace(self, columns=tuple(wanted), series=series, notes=notes)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Returns for example `a, b and 3 more`.

    Example:
        >>> from rondo.tasks.series.form import listed
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def check_number_of_columns(path: Path, number: int) -> None:
    """Raises `ValueError` where a file has more columns than a network here can read."""
    if number > MOST_COLUMNS:
        raise ValueError(
            f"{path} has {number} columns, and {MOST_COLUMNS} can be read; a table has one row a "
            "step and one column for each value: is it laid on its side?"
        )
