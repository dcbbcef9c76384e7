"""The layouts of three public sets of faces: UTKFace, IMDB-WIKI and CelebA, as they are unpacked.

In goes the place of a data set, out comes a `PhotoList`; see `layouts`. None of these sets
may be used commercially, and their labels are partly wrong.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from rondo.data.matlab import read_matlab
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.layouts import find_named, picture_files
from rondo.tasks.photo.lists import ListBuilder, PhotoList

UTKFACE_GROUPS = ("White", "Black", "Asian", "Indian", "Others")
CELEBA_SPLITS = ("train", "val", "test")
_UTKFACE_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+(\.jpg)?(\.chip)?", re.IGNORECASE)
_IMDB_WIKI_FIELDS = ("dob", "photo_taken", "full_path", "gender", "face_score", "second_face_score")
_DAYS_IN_YEAR = 365.2425


def find_utkface(path: Path) -> Path | None:
    """The folder, if a file in it or below it has a name like 26_1_2_20170116184024662.jpg."""
    if not path.is_dir():
        return None
    names = (file.stem for file in path.rglob("*_*_*_*.[jJ][pP][gG]"))
    return path if any(map(_UTKFACE_NAME.fullmatch, names)) else None


def read_utkface(path: Path) -> PhotoList:
    """Reads the labels from the names, `[age]_[gender]_[race]_[date].jpg`.

    In these names gender 0 is male and 1 is female: the opposite of `SEXES`.

    Raises:
        ValueError: If a sex has no photo.
    """
    builder = ListBuilder("utkface", path, SEXES)
    for file in picture_files(builder, path):
        name = file.relative_to(path).as_posix()
        match = _UTKFACE_NAME.fullmatch(file.stem)
        if match is None:
            builder.skip(name, "the name is not [age]_[gender]_[race]_[date]")
        else:
            age, gender, group = (int(number) for number in match.groups()[:3])
            groups = {"group": UTKFACE_GROUPS[group]}
            builder.add(name, SEXES[1 - gender], None, "utkface", float(age), groups)
    return builder.finish()


def find_imdb_wiki(path: Path) -> Path | None:
    """A file that ends in .mat, or imdb.mat or wiki.mat in the folder."""
    found = find_named(path, ("imdb.mat", "wiki.mat"))
    return found or (path if path.suffix.lower() == ".mat" else None)


def read_imdb_wiki(file: Path) -> PhotoList:
    """Reads the table of an archive of cropped faces, imdb_crop or wiki_crop.

    The usual filter is applied: a face was found with a score of 1 or more, there is no second
    one, the sex is known, and the age, taken in the middle of the year, is 0 to 100. In this
    table gender 0 is female, 1 is male. Only the cropped archives are read: in the full ones a
    face may be anywhere in the photo, and the crops are offered ready-made by their authors.

    Raises:
        ValueError: If the table cannot be read, or belongs to an archive that is not cropped.
    """
    root = file.parent
    if "crop" not in root.resolve().name:
        raise ValueError(
            f"{file} must lie in a folder named imdb_crop or wiki_crop, beside the cropped faces, "
            f"got the folder '{root.resolve().name}': in the full archives faces are not cut out"
        )
    source, table = _imdb_wiki_table(file)
    age = table["photo_taken"] + 0.5 - table["dob"] / _DAYS_IN_YEAR
    reasons = _imdb_wiki_filter(table, age)
    builder = ListBuilder("imdb-wiki", root, SEXES)
    for name, gender, years, reason in zip(
        table["full_path"], table["gender"], age, reasons, strict=True
    ):
        if reason:
            builder.skip(str(name), str(reason))
        else:
            builder.add(str(name), SEXES[int(gender)], None, source, float(years))
    return builder.finish()


def _imdb_wiki_table(file: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The word "imdb" or "wiki", and the fields as arrays of equal length."""
    contents = read_matlab(file, squeeze_me=True)
    source = "imdb" if "imdb" in contents else "wiki"
    table = np.asarray(contents.get(source, 0.0))
    absent = [field for field in _IMDB_WIKI_FIELDS if field not in (table.dtype.names or ())]
    if absent:
        raise ValueError(
            f"{file} must hold a table 'imdb' or 'wiki' with the fields "
            f"{', '.join(_IMDB_WIKI_FIELDS)}; missing: {', '.join(absent)}"
        )
    return source, _imdb_wiki_columns(file, table)


def _imdb_wiki_columns(file: Path, table: np.ndarray) -> dict[str, np.ndarray]:
    """The file names as they are, all other fields as float64, each (number of rows,)."""
    try:
        columns = {field: np.atleast_1d(table[field].item()) for field in _IMDB_WIKI_FIELDS}
        numbers = {
            field: columns[field].astype(np.float64) for field in columns.keys() - {"full_path"}
        }
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} must hold one row of numbers in each field: {error}") from error
    if len({column.shape for column in columns.values()}) > 1:
        raise ValueError(f"{file} must hold fields of equal length: it is damaged")
    return columns | numbers


def _imdb_wiki_filter(table: dict[str, np.ndarray], age: np.ndarray) -> np.ndarray:
    """Why each row is not used; an empty text where it is."""
    conditions = {
        "no clear face (face_score below 1)": ~(table["face_score"] >= 1),
        "a second face": table["second_face_score"] > 0,
        "the sex is unknown": ~np.isin(table["gender"], (0, 1)),
        "the age is not 0 to 100": ~((age >= 0) & (age <= 100)),
    }
    return np.select(list(conditions.values()), list(conditions), default="")


def find_celeba(path: Path) -> Path | None:
    """The file list_attr_celeba.txt, itself or in the folder."""
    return find_named(path, ("list_attr_celeba.txt",))


def read_celeba(file: Path) -> PhotoList:
    """Reads list_attr_celeba.txt and, if it is there, list_eval_partition.txt.

    The photos lie in img_align_celeba beside the list, or beside the list themselves.

    Raises:
        ValueError: If the list is damaged or a sex has no photo.
    """
    lines = _text_lines(file)
    column = _celeba_column(file, lines)
    splits = _celeba_splits(file.with_name("list_eval_partition.txt"))
    folder = "img_align_celeba/" if (file.parent / "img_align_celeba").is_dir() else ""
    builder = ListBuilder("celeba", file.parent, SEXES)
    for name, *values in map(str.split, lines[2:]):
        if len(values) != len(lines[1].split()) or values[column] not in ("1", "-1"):
            builder.skip(name, "the row of attributes is damaged")
        else:
            sex = SEXES[int(values[column] == "1")]
            builder.add(folder + name, sex, splits.get(name), "celeba")
    return builder.finish()


def _celeba_column(file: Path, lines: list[str]) -> int:
    """Which attribute is Male, after a check of the two lines that head the list."""
    names = lines[1].split() if len(lines) > 1 else []
    if "Male" not in names:
        raise ValueError(f"{file} must name the attributes, Male among them, in its second line")
    if lines[0].strip() != str(len(lines) - 2):
        raise ValueError(
            f"{file} says in its first line that it lists {lines[0].strip()} photos, "
            f"got {len(lines) - 2}: it is cut off, or that number must be corrected"
        )
    return names.index("Male")


def _celeba_splits(file: Path) -> dict[str, str]:
    """The split of each file name; empty if there is no such list."""
    splits = {}
    for line in _text_lines(file) if file.is_file() else []:
        name, _, number = line.partition(" ")
        if number.strip() not in ("0", "1", "2"):
            raise ValueError(
                f"{file} must hold lines of a file name and 0 (train), 1 (val) or 2 (test), "
                f"got '{line}'"
            )
        splits[name] = CELEBA_SPLITS[int(number)]
    return splits


def _text_lines(file: Path) -> list[str]:
    """The lines that are not blank."""
    try:
        return [line for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{file} cannot be read as text: {error}") from error
