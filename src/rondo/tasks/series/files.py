"""From a path to series: a file of any known format, or a folder with a file for each split.

Formats go by the ending: .csv and .tsv, .parquet, .npz, .ts, .tsf. In a folder one file has `train`
in its name and others may have `val` and `test`, as `train.csv`, or `GunPoint_TRAIN.ts`; or it
holds one file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rondo.data.files import file_fault
from rondo.data.splits import MAIN_SPLITS
from rondo.tasks.series.csv_tables import read_csv
from rondo.tasks.series.form import Found, Roles, Series, listed
from rondo.tasks.series.long_form import SPLIT, series_of_table
from rondo.tasks.series.npz import read_npz
from rondo.tasks.series.parquet import read_parquet
from rondo.tasks.series.tables import Table
from rondo.tasks.series.ts import read_ts
from rondo.tasks.series.tsf import read_tsf

TABLES: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet,
}  # fmt: skip
"""What reads a table, by the ending of its file."""

OTHERS: dict[str, Callable[[Path, str | None], Found]] = {
    ".npz": read_npz, ".ts": read_ts, ".tsf": lambda path, _kind: read_tsf(path),
}  # fmt: skip
"""What reads another form."""

ENDINGS = (*TABLES, *OTHERS)
"""The endings of files that are read."""

WORDS = {"train": ("train",), "val": ("val", "valid", "dev"), "test": ("test",)}
"""What stands in the name of the file of a split."""


def read_series(path: Path, roles: Roles | None = None, kind: str | None = None) -> Found:
    """Returns the series of a file or a folder.

    Args:
        path: The file or folder.
        roles: What is known of the columns of tables.
        kind: "classify", "regress" or "forecast", or None where the data shall tell.

    Raises:
        ValueError: Where it cannot be used; the message says why.
        OSError: Where a file cannot be read.
        ModuleNotFoundError: Where it is Parquet and pyarrow is not installed.
    """
    roles = Roles() if roles is None else roles
    if not path.is_dir():
        return read_file(path, roles, kind)
    files = sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS)
    by_split = {split: _of_split(path, files, split) for split in MAIN_SPLITS}
    if by_split["train"] is None:
        if len(files) == 1:
            return read_file(files[0], roles, kind)
        raise ValueError(
            f"{path} must hold one file of series, or train, val and test files, which end in "
            f"{', '.join(ENDINGS)}; it holds {listed([one.name for one in files]) or 'none'}"
        )
    if by_split["val"] is None and by_split["test"] is None:
        return read_file(by_split["train"], roles, kind)
    found = {s: read_file(one, roles, kind) for s, one in by_split.items() if one is not None}
    return _joined(path, found)


def read_file(path: Path, roles: Roles, kind: str | None = None) -> Found:
    """Returns the series of one file; raises as `read_series` does."""
    fault = file_fault(path)
    if fault is not None:
        raise ValueError(f"{path}: {fault}")
    ending = path.suffix.lower()
    if ending in TABLES:
        return series_of_table(TABLES[ending](path), roles, kind)
    if ending not in OTHERS:
        raise ValueError(f"{path}: the ending must be one of {', '.join(ENDINGS)}")
    found = OTHERS[ending](path, kind)
    return replace(found, roles=replace(roles, id=None, time=None))


def read_new(path: Path, roles: Roles, kind: str, columns: Sequence[str]) -> Found:
    """Returns the series of a file that a trained network is to answer for.

    Columns go by their names, in any order; others are not read, which is told. Labels may be
    missing, and so may the columns of id, of time and of the target.

    Args:
        path: The file.
        roles: What columns were in training.
        kind: "classify", "regress" or "forecast".
        columns: The columns that the network reads, in its order.

    Raises:
        ValueError: Where a column that it reads is missing, or the file cannot be used.
        OSError: Where the file cannot be read.
        ModuleNotFoundError: Where it is Parquet and pyarrow is not installed.
    """
    fault = file_fault(path)
    if fault is not None:
        raise ValueError(f"{path}: {fault}")
    reader = TABLES.get(path.suffix.lower())
    if reader is None:
        found = read_file(path, Roles(), None if kind == "forecast" else kind)
        return replace(found.with_columns(columns), roles=roles)
    table = reader(path)
    target = tuple(name for name in roles.target or () if name in table.columns)
    asked = Roles(
        roles.id if roles.id in table.columns else None,
        roles.time if roles.time in table.columns else None,
        () if kind == "forecast" or target != roles.target else target,
        tuple(columns),
    )
    found = series_of_table(table, asked, kind)
    read = (*columns, found.roles.id, found.roles.time, *(roles.target or ()))
    extra = [name for name in table.columns if name not in read and name.lower() != SPLIT]
    notes = (f"{path.name}: not read: {listed(extra)}",) if extra else ()
    return replace(found.with_columns(columns), roles=roles, notes=(*found.notes, *notes))


def _of_split(folder: Path, files: list[Path], split: str) -> Path | None:
    found = [
        one for one in files
        if one.stem.lower() in WORDS[split]
        or one.stem.lower().split("_")[-1].split("-")[-1] in WORDS[split]
    ]  # fmt: skip
    if len(found) > 1:
        raise ValueError(
            f"{folder} has {found[0].name} and {found[1].name}; one file must be for {split}"
        )
    return found[0] if found else None


def _joined(folder: Path, found: dict[str, Found]) -> Found:
    """The series of several files as one; what continues a series of the same name is added."""
    train = found["train"]
    roles = train.roles
    series: list[Series] = []
    for split, one in found.items():
        if one.labels != train.labels:
            raise ValueError(
                f"{one.path} has {one.labels or 'no labels'}, but {train.path.name} has "
                f"{train.labels or 'none'}; the label must be constant within each series"
            )
        here = one if one is train else one.with_columns(train.columns)
        series += [replace(s, split=_split_of(s, split, train.labels)) for s in here.series]
    if train.labels is None:
        series = _continued(series)
    notes = tuple(note for one in found.values() for note in one.notes)
    skipped = tuple(item for one in found.values() for item in one.skipped)
    return replace(
        train, path=folder, series=tuple(series), roles=roles, notes=notes, skipped=skipped
    )


def _split_of(series: Series, split: str, labels: str | None) -> str | np.ndarray:
    return split if labels is not None else np.full(len(series), split)


def _continued(series: list[Series]) -> list[Series]:
    """Series of one name as one, in the order train, val, test."""
    by_name: dict[str, list[Series]] = {}
    for one in series:
        by_name.setdefault(one.id, []).append(one)
    joined = []
    for parts in by_name.values():
        times = [part.times for part in parts if part.times is not None]
        for before, after in pairwise(times):
            if len(before) and len(after) and after[0] <= before[-1]:
                raise ValueError(
                    f"{parts[-1].source}: the series {parts[0].id!r} begins at {after[0]}, before "
                    f"the end {before[-1]} of the file of the split before; splits follow in time"
                )
        joined.append(
            replace(
                parts[0],
                values=np.concatenate([part.values for part in parts]),
                times=np.concatenate(times) if len(times) == len(parts) else None,
                split=np.concatenate([np.asarray(part.split) for part in parts]),
            )
        )
    return joined
