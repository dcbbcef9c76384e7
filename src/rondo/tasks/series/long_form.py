"""Tables in the long form, one row a step: from their columns to series.

A column may tell the series apart, one may hold times, one the split, and one or more what is to
be predicted. What the user did not say is guessed, by names and by what the cells hold, and told.
Every other column is one of values; where it holds words, it is not read, which is told too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rondo.data.splits import MAIN_SPLITS, split_name
from rondo.errors import suggestion
from rondo.tasks.series.form import Found, Label, Roles, Series, check_number_of_columns, listed
from rondo.tasks.series.tables import Table
from rondo.tasks.series.times import are_dates

ID_NAMES = ("id", "series", "series_id", "unique_id", "item_id", "sequence", "sequence_id")
TIME_NAMES = ("time", "timestamp", "date", "datetime", "ds", "step", "t", "index")
TARGET_NAMES = ("label", "class", "target", "y")
SPLIT = "split"
"""The column that says which split a series, or a step, belongs to."""

ONE = "series"
"""The name of the series of a table that holds one alone."""

MOST_LOOKED_AT = 100
"""Rows that tell whether a column holds dates."""

MOST_CLASSES = 50
"""Whole numbers of more kinds are taken for numbers, not for classes."""


def series_of_table(table: Table, asked: Roles, kind: str | None = None) -> Found:
    """Returns the series of a table.

    Args:
        table: The table.
        asked: What the user said of its columns.
        kind: "classify", "regress" or "forecast", or None where the table shall tell.

    Raises:
        ValueError: Where a column that was named is not there, a cell is wrong, or rows do not fit
            together.
    """
    check_number_of_columns(table.path, len(table.columns))
    if not table.num_rows:
        raise ValueError(f"{table.path} has no rows below its first line")
    roles = guessed_roles(table, asked)
    groups = _groups(table, roles)
    rows, times, notes = _in_order(table, roles, groups)
    labels, words = _labels(table, roles, rows, kind)
    names, unread = _value_columns(table, roles, is_labelled=labels is not None)
    values = np.stack([table.numbers(name) for name in names], 1)
    splits = _splits(table, roles)
    series = tuple(
        Series(
            name,
            f"{table.path.name}#{name}" if roles.id else table.path.name,
            values[places],
            None if times is None else times[places],
            None if labels is None else labels[number],
            None if splits is None else splits[places],
        )
        for number, (name, places) in enumerate(rows.items())
    )
    told = (*_guesses(table.path, asked, roles), *unread, *notes)
    return Found(table.path, names, series, roles, words, notes=told)


def guessed_roles(table: Table, asked: Roles) -> Roles:
    """Returns what the columns are: what was said, and else what their names say.

    Raises:
        ValueError: Where a column that was named is not there.
    """
    for name in (asked.id, asked.time, *(asked.target or ()), *(asked.inputs or ()), *asked.known):
        if name is not None and name not in table.columns:
            raise ValueError(
                f"{table.path} has no column {name!r}; {suggestion(name, table.columns)}"
            )
    lower = {name.lower(): name for name in reversed(list(table.columns))}
    taken = {asked.id, asked.time, *(asked.target or ()), *(asked.inputs or ()), *asked.known}

    def first(names: Sequence[str]) -> str | None:
        return next((lower[n] for n in names if n in lower and lower[n] not in taken), None)

    is_place = "x" in lower and "z" in lower  # y is of a point then, and no label
    target = None
    if asked.target is None:  # () is for none
        target = first([name for name in TARGET_NAMES if name != "y" or not is_place])
    return replace(
        asked,
        id=asked.id or first(ID_NAMES),
        time=asked.time or _dates_of(table, taken) or first(TIME_NAMES),
        target=(target,) if target is not None else asked.target,
    )


def _dates_of(table: Table, taken: set[str | None]) -> str | None:
    """The first column of dates that means nothing else, where there is one."""
    for name, column in table.columns.items():
        if name in taken:
            continue
        if isinstance(column, np.ndarray):
            if column.dtype.kind == "M":
                return name
        elif table.is_of_words(name) and are_dates(column[:MOST_LOOKED_AT]):
            return name
    return None


def _guesses(path: Path, asked: Roles, roles: Roles) -> list[str]:
    """What was guessed, in words."""
    told = {
        "the series are told apart by": roles.id if asked.id is None else None,
        "times are in": roles.time if asked.time is None else None,
        "to predict is": None if asked.target or not roles.target else roles.target[0],
    }
    words = [f"{what} the column {name!r}" for what, name in told.items() if name is not None]
    return [f"{path.name}: {'; '.join(words)} (a guess)"] if words else []


def _groups(table: Table, roles: Roles) -> dict[str, np.ndarray]:
    """The rows of each series, in the order of the file."""
    if roles.id is None:
        return {ONE: np.arange(table.num_rows)}
    ids = np.array(table.words(roles.id))
    if (ids == "").any():
        line = table.line(int((ids == "").argmax()))
        raise ValueError(f"{table.path}, line {line}: the column {roles.id!r} names no series")
    names, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    places = np.split(np.argsort(inverse, kind="stable"), np.bincount(inverse).cumsum()[:-1])
    return {str(names[n]): places[n] for n in np.argsort(first, kind="stable")}


def _in_order(
    table: Table, roles: Roles, groups: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray | None, list[str]]:
    """The rows of each series in the order of time, the times, and what to tell."""
    if roles.time is None:
        for name, rows in groups.items():
            if rows[-1] - rows[0] >= len(rows):
                apart = rows[1:][np.diff(rows) > 1][0]
                raise ValueError(
                    f"{table.path}: the rows of the series {name!r} do not stand together (lines "
                    f"{table.line(rows[0])} and {table.line(apart)}), and no column "
                    "of times orders them; name one with time, or give each series an id of its own"
                )
        return groups, None, []
    times, moved, ordered = table.times(roles.time), [], {}
    for name, rows in groups.items():
        order = np.argsort(times[rows], kind="stable")
        ordered[name] = rows[order]
        if (np.diff(order) < 0).any():
            moved.append(name)
        _check_once(table, roles, name, ordered[name], times)
    notes = []
    if moved:
        notes = [f"{table.path.name}: rows were not in the order of time and are sorted, in "
                 f"{len(moved)} of {len(groups)} series: {listed(moved)}"]  # fmt: skip
    return ordered, times, notes


def _check_once(table: Table, roles: Roles, name: str, rows: np.ndarray, times: np.ndarray) -> None:
    same = times[rows][1:] == times[rows][:-1]
    if not same.any():
        return
    twice = rows[same.argmax() : same.argmax() + 2].tolist()
    time = table.words(str(roles.time))[twice[0]]
    first, second = sorted(map(table.line, twice))
    advice = "leave one of the rows out"
    if roles.id is None:
        of_words = [n for n in table.columns if n != roles.time and table.is_of_words(n)]
        perhaps = f", perhaps {of_words[0]!r}" if of_words else ""
        advice = f"if the table holds several series, name their column with id{perhaps}"
    raise ValueError(
        f"{table.path}: the series {name!r} has the time {time} twice, in lines {first} "
        f"and {second}; {advice}"
    )


def _labels(
    table: Table, roles: Roles, rows: dict[str, np.ndarray], kind: str | None
) -> tuple[list[Label] | None, str | None]:
    """The label of each series and whether they are words or numbers; None where there are none."""
    if not roles.target or kind == "forecast":
        return None, None
    columns = [table.words(name) for name in roles.target]
    for column, name in zip(columns, roles.target, strict=True):
        for series, places in rows.items():
            other = next((p for p in places if column[p] != column[places[0]]), None)
            if other is None:
                continue
            if kind is None:
                return None, None
            raise ValueError(
                f"{table.path}: the label {name!r} must be the same in all rows of a series, but "
                f"the series {series!r} has {column[places[0]]!r} in line "
                f"{table.line(places[0])} and {column[other]!r} in line "
                f"{table.line(other)}"
            )
    if kind is None and len(rows) < 2:
        return None, None
    firsts = [places[0] for places in rows.values()]
    if kind == "classify" or (kind is None and _are_classes(table, roles.target, firsts)):
        if len(roles.target) > 1:
            raise ValueError(
                f"{table.path}: one column holds the class, got target {listed(roles.target)}"
            )
        return [columns[0][place] for place in firsts], "words"
    numbers = np.stack([table.numbers(name) for name in roles.target], 1)[firsts]
    return [tuple(row) for row in numbers.tolist()], "numbers"


def _are_classes(table: Table, target: Sequence[str], firsts: list[int]) -> bool:
    """Whether labels are words, or few whole numbers that come again and again."""
    if len(target) > 1:
        return False
    words = [table.words(target[0])[place] for place in firsts]
    return are_classes(words)


def are_classes(labels: Sequence[str]) -> bool:
    """Whether labels are classes: words, or few whole numbers that come again and again.

    Example:
        >>> from rondo.tasks.series.long_form import are_classes
        >>> are_classes(["0", "1", "1", "0"]), are_classes(["0.5", "1", "3"])
        (True, False)
    """
    try:
        numbers = np.array([float(word) for word in labels if word])
    except ValueError:
        return True
    distinct = len(set(numbers.tolist()))
    is_whole = bool((numbers == np.round(numbers)).all())
    return is_whole and distinct <= MOST_CLASSES and 2 * distinct <= len(numbers)


def _value_columns(
    table: Table, roles: Roles, *, is_labelled: bool
) -> tuple[tuple[str, ...], list[str]]:
    """The columns of values, the targets of a forecast first, and what to tell."""
    target = () if is_labelled else roles.target or ()
    labels = roles.target or () if is_labelled else ()
    if roles.inputs is not None:
        wanted = (*target, *roles.inputs, *roles.known)
        return tuple(dict.fromkeys(wanted)), []
    others = [
        name for name in table.columns
        if name not in (roles.id, roles.time, *labels) and name.lower() != SPLIT
    ]  # fmt: skip
    named = (*target, *roles.known)
    unread = [name for name in others if name not in named and table.is_of_words(name)]
    names = [*target, *(n for n in others if n not in (*named, *unread)), *roles.known]
    if not names:
        raise ValueError(f"{table.path} has no column of numbers; it has {listed(unread)}")
    notes = (
        [f"{table.path.name}: not read, for they hold words: {listed(unread)}"] if unread else []
    )
    return tuple(dict.fromkeys(names)), notes


def _splits(table: Table, roles: Roles) -> np.ndarray | None:
    """The split of each row, where a column tells it."""
    name = next((one for one in table.columns if one.lower() == SPLIT), None)
    if name is None or name in (roles.id, roles.time, *(roles.target or ())):
        return None
    words = [split_name(word) for word in table.words(name)]
    for place, word in enumerate(words):
        if word not in MAIN_SPLITS:
            raise ValueError(
                f"{table.path}, line {table.line(place)}: the split must be train, val or "
                f"test, got {table.words(name)[place]!r}"
            )
    return np.array(words)
