"""The layouts of labelled photos that anyone can make: a label file, or a folder for each class.

In goes the place of a data set, out comes a `PhotoList`. `find_*` returns what `read_*` reads, or
None where the data set is laid out otherwise. Rows and files that cannot be used are skipped and
counted, never dropped in silence.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from rondo.data.label_tables import MISFIT, table_rows
from rondo.data.pictures import FILE_ENDINGS
from rondo.data.splits import split_name
from rondo.tasks.photo.lists import SEX_WORDS, ListBuilder, PhotoList

CSV_SEX_WORDS = SEX_WORDS | {"0": 0, "1": 1}
"""In a label file 0 is female and 1 is male, as in `SEXES`. (UTKFace means the opposite.)"""


def find_csv(path: Path) -> Path | None:
    """A file that ends in .csv, or labels.csv in the folder."""
    return find_named(path, ("labels.csv",)) or (path if path.suffix.lower() == ".csv" else None)


def find_named(path: Path, names: tuple[str, ...]) -> Path | None:
    """The path itself if it has one of the names, else the first of them in the folder."""
    if path.is_file():
        return path if path.name in names else None
    return next((path / name for name in names if (path / name).is_file()), None)


def read_csv(file: Path) -> PhotoList:
    """Reads a table with the columns file, sex and, if known, split, source, age and race.

    Paths are relative to the folder of the table. `sex` is a word of `CSV_SEX_WORDS` in upper or
    lower case; a missing source is called "csv"; race becomes `Photo.group`.

    Raises:
        ValueError: If the table cannot be read, lacks a column or leaves nothing to learn from.
    """
    builder = ListBuilder("csv", file.parent)
    for line, row in table_rows(file, ("file", "sex"), ("split", "source", "age", "race")):
        _add_row(builder, line, row)
    return builder.finish()


def _add_row(builder: ListBuilder, line: int, row: dict[str, str]) -> None:
    name = row.get("file", "").strip()
    sex = CSV_SEX_WORDS.get(row.get("sex", "").strip().lower())
    age = _age(row.get("age") or "")
    if not row:
        builder.skip(f"line {line}", MISFIT)
    elif sex is None:
        builder.skip(f"line {line}: {name}", "the sex is none of female, male, f, m, 0, 1")
    elif age is not None and not math.isfinite(age):
        builder.skip(f"line {line}: {name}", "the age is not a number")
    else:
        source, race = (row.get("source") or "csv").strip(), (row.get("race") or "").strip()
        builder.add(name, sex, split_name(row.get("split")), source, age, race or None)


def _age(text: str) -> float | None:
    """The age in years, None if there is none, NaN if it is no number."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return math.nan


def find_folders(path: Path) -> Path | None:
    """The folder, if it holds a folder for a class, alone or inside a folder for a split."""
    inside = [path, *_folders(path)]
    named_after_class = any(
        _sex_of(folder) is not None for one in inside for folder in _folders(one)
    )
    return path if named_after_class else None


def read_folders(path: Path) -> PhotoList:
    """Reads one folder for each class (see `SEX_WORDS`), or for each split, with such in it.

    Raises:
        ValueError: If a class is absent.
    """
    builder = ListBuilder("folders", path)
    for folder in _folders(path):
        _add_folder(builder, folder, None)
    return builder.finish()


def _add_folder(builder: ListBuilder, folder: Path, split: str | None) -> None:
    sex = _sex_of(folder)
    if sex is not None:
        for file in picture_files(builder, folder):
            builder.add(file.relative_to(builder.root).as_posix(), sex, split, "folders")
    elif split is None and _holds_classes(folder):
        for inner in _folders(folder):
            _add_folder(builder, inner, split_name(folder.name))
    else:
        name = folder.relative_to(builder.root).as_posix()
        builder.skip(name, "the folder is not named after a class")


def picture_files(builder: ListBuilder, folder: Path) -> Iterator[Path]:
    """All files below the folder, in order, but hidden ones.

    Others than pictures are skipped, and so are folders that may not be read.
    """

    def skip(error: OSError) -> None:
        place = Path(error.filename or folder)
        reason = f"the folder cannot be read ({error.strerror})"
        builder.skip(place.relative_to(builder.root).as_posix(), reason)

    walk = os.walk(folder, onerror=skip)
    for file in sorted(Path(place, name) for place, _, names in walk for name in names):
        if file.name.startswith("."):
            continue
        if file.suffix.lower() in FILE_ENDINGS:
            yield file
        else:
            name = file.relative_to(builder.root).as_posix()
            builder.skip(name, "the name does not end like that of a picture")


def _folders(path: Path) -> list[Path]:
    inside = sorted(path.iterdir()) if path.is_dir() else []
    return [one for one in inside if one.is_dir() and not one.name.startswith(".")]


def _holds_classes(folder: Path) -> bool:
    return any(_sex_of(inner) is not None for inner in _folders(folder))


def _sex_of(folder: Path) -> int | None:
    return SEX_WORDS.get(folder.name.lower())
