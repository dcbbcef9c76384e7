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

from rondo.data.label_tables import MISFIT, table_columns, table_rows
from rondo.data.pictures import FILE_ENDINGS
from rondo.data.splits import split_name
from rondo.tasks.photo.classes import SEX_WORDS, SEXES, clean_name
from rondo.tasks.photo.lists import ListBuilder, PhotoList

CSV_SEX_WORDS = SEX_WORDS | {"0": 0, "1": 1}
"""In a column `sex` 0 is female and 1 is male, as in `SEXES`. (UTKFace means the opposite.)"""

LABEL_COLUMNS = ("label", "class", "sex")
"""The columns that may hold the class; a table has one of them."""

KNOWN_COLUMNS = ("split", "source", "age", "race")
"""The columns beside it that mean something of their own; any other groups the photos."""

NO_CLASS = "the folder is not named after a class; --layout classes takes every folder for a class"
"""Why a folder beside those of the sexes is not used."""


def find_csv(path: Path) -> Path | None:
    """A file that ends in .csv, or labels.csv in the folder."""
    return find_named(path, ("labels.csv",)) or (path if path.suffix.lower() == ".csv" else None)


def find_named(path: Path, names: tuple[str, ...]) -> Path | None:
    """The path itself if it has one of the names, else the first of them in the folder."""
    if path.is_file():
        return path if path.name in names else None
    return next((path / name for name in names if (path / name).is_file()), None)


def read_csv(file: Path) -> PhotoList:
    """Reads a table with the columns file, one of `LABEL_COLUMNS` and any others.

    Paths are relative to the folder of the table. `sex` is a word of `CSV_SEX_WORDS` in upper or
    lower case; `label` and `class` name any class. Of the other columns split, source and age mean
    what they say, and race becomes the group "group"; all the rest group the photos too.

    Raises:
        ValueError: If the table cannot be read, lacks a column or leaves nothing to learn from.
    """
    column, others = _columns_of(file)
    builder = ListBuilder("csv", file.parent, SEXES if column == "sex" else None)
    for line, row in table_rows(file, ("file", column), (*KNOWN_COLUMNS, *others)):
        _add_row(builder, line, row, column, others)
    return builder.finish()


def _columns_of(file: Path) -> tuple[str, tuple[str, ...]]:
    """The column of the class, and those that group the photos in no known way."""
    columns = table_columns(file)
    found = [column for column in LABEL_COLUMNS if column in columns]
    if "file" not in columns or not found:
        raise ValueError(
            f"{file} must name in its first line the columns file and one of "
            f"{', '.join(LABEL_COLUMNS)}, separated by commas; it names "
            f"{','.join(columns) or 'nothing'}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{file} names the columns {' and '.join(found)}, and each of them may hold the class: "
            "rename those that do not, such as sex to sex_of_person"
        )
    if "race" in columns and "group" in columns:
        raise ValueError(
            f"{file} names the columns race and group, which stand for the same; rename one of them"
        )
    known = {"", "file", *found, *KNOWN_COLUMNS}
    return found[0], tuple(dict.fromkeys(column for column in columns if column not in known))


def _add_row(
    builder: ListBuilder, line: int, row: dict[str, str], column: str, others: tuple[str, ...]
) -> None:
    name, word = row.get("file", "").strip(), clean_name(row.get(column, ""))
    if column == "sex" and row:
        number = CSV_SEX_WORDS.get(word.lower())
        word = "" if number is None else SEXES[number]
    age = _age(row.get("age") or "")
    if not row:
        builder.skip(f"line {line}", MISFIT)
    elif not word:
        reason = "the sex is none of female, male, f, m, 0, 1"
        builder.skip(f"line {line}: {name}", reason if column == "sex" else "no class is named")
    elif age is not None and not math.isfinite(age):
        builder.skip(f"line {line}: {name}", "the age is not a number")
    else:
        source = (row.get("source") or "csv").strip()
        cells = {"group": row.get("race"), **{other: row[other] for other in others}}
        groups = {key: cell.strip() for key, cell in cells.items() if cell and cell.strip()}
        builder.add(name, word, split_name(row.get("split")), source, age, groups)


def _age(text: str) -> float | None:
    """The age in years, None if there is none, NaN if it is no number."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        return math.nan


def find_folders(path: Path) -> Path | None:
    """The folder, if it holds a folder for a class, alone or inside a folder for a split."""
    inside = [path, *folders_of(path)]
    named_after_class = any(
        _sex_of(folder) is not None for one in inside for folder in folders_of(one)
    )
    return path if named_after_class else None


def are_outnumbered(path: Path) -> bool:
    """Whether no more folders are named after a sex than are not, so that classes are meant."""
    inside = folders_of(path)
    names = [inner for one in inside if _holds_classes(one) for inner in folders_of(one)]
    words = {folder.name.lower() for folder in names or inside}
    return 2 * len(words & SEX_WORDS.keys()) <= len(words)


def read_folders(path: Path) -> PhotoList:
    """Reads one folder for each sex (see `SEX_WORDS`), or for each split, with such in it.

    Raises:
        ValueError: If a sex is absent.
    """
    builder = ListBuilder("folders", path, SEXES)
    for folder in folders_of(path):
        _add_folder(builder, folder, None)
    return builder.finish()


def _add_folder(builder: ListBuilder, folder: Path, split: str | None) -> None:
    sex = _sex_of(folder)
    if sex is not None:
        for file in picture_files(builder, folder):
            name = file.relative_to(builder.root).as_posix()
            builder.add(name, SEXES[sex], split, "folders")
    elif split is None and _holds_classes(folder):
        for inner in folders_of(folder):
            _add_folder(builder, inner, split_name(folder.name))
    else:
        name = folder.relative_to(builder.root).as_posix()
        builder.skip(name, NO_CLASS)


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


def folders_of(path: Path) -> list[Path]:
    """The folders in a folder, in order, but hidden ones."""
    inside = sorted(path.iterdir()) if path.is_dir() else []
    return [one for one in inside if one.is_dir() and not one.name.startswith(".")]


def _holds_classes(folder: Path) -> bool:
    return any(_sex_of(inner) is not None for inner in folders_of(folder))


def _sex_of(folder: Path) -> int | None:
    return SEX_WORDS.get(folder.name.lower())
