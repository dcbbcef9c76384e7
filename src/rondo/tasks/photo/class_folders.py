"""A folder for each of any classes, alone or inside a folder for each split.

In goes a folder, out comes a `PhotoList`. Where a folder `train` holds folders with pictures, and
no picture itself, the folders are splits with the classes in them; else every folder is a class.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rondo.data.pictures import FILE_ENDINGS
from rondo.data.splits import MAIN_SPLITS, split_name
from rondo.tasks.photo.classes import clean_name, names_of
from rondo.tasks.photo.layouts import folders_of, picture_files
from rondo.tasks.photo.lists import ListBuilder, PhotoList

NO_PICTURE = "the folder holds no picture"
"""Why a folder is no class."""

NO_CLASS_WITHIN = "the folder holds no folder of pictures, so it is no split"
"""Why a folder beside those of splits is not used."""

OUTSIDE = "the picture lies in no folder of a class"
"""Why a picture beside the folders is not used."""

NOT_TEXT = "the name of the folder is not text in UTF-8"
"""Why a folder is not used whose name cannot be written."""


def find_classes(path: Path) -> Path | None:
    """The folder, if a folder in it holds a picture, there or further inside."""
    return path if any(map(_has_picture, folders_of(path))) else None


def read_classes(path: Path) -> PhotoList:
    """Reads one folder for each class, or for each split, with such in it.

    Raises:
        ValueError: If there is no usable picture, two classes are written nearly alike, or there
            are folders of splits, and none of train.
    """
    builder = ListBuilder("classes", path)
    _skip_outside(builder, path)
    for folder, split in _class_folders(builder, path):
        _add_class(builder, folder, split)
    return builder.finish()


def _class_folders(builder: ListBuilder, path: Path) -> Iterator[tuple[Path, str | None]]:
    """Yields the folders of the classes, each with its split, if it lies in that of one."""
    folders = folders_of(path)
    if not any(split_name(one.name) == "train" and _is_split(one) for one in folders):
        _check_no_splits(path, [one for one in folders if _has_picture(one)])
        yield from ((folder, None) for folder in folders)
        return
    for folder in folders:
        if find_classes(folder):
            _skip_outside(builder, folder)
            yield from ((inner, split_name(folder.name)) for inner in folders_of(folder))
        else:
            builder.skip(_shown(builder, folder), NO_CLASS_WITHIN)


def _check_no_splits(path: Path, folders: list[Path]) -> None:
    """Raises `ValueError` where all folders are named after splits, and none holds classes."""
    if folders and all(split_name(one.name) in MAIN_SPLITS for one in folders):
        raise ValueError(
            f"{path} holds the folders {names_of(one.name for one in folders)}, which are named "
            "after splits, but no folder train with a folder for each class in it, and no picture "
            "beside those"
        )


def _add_class(builder: ListBuilder, folder: Path, split: str | None) -> None:
    name = clean_name(folder.name)
    if not _is_text(name):
        builder.skip(_shown(builder, folder), NOT_TEXT)
    elif not _has_picture(folder):
        builder.skip(_shown(builder, folder), NO_PICTURE)
    else:
        for file in picture_files(builder, folder):
            builder.add(file.relative_to(builder.root).as_posix(), name, split, "folders")


def _skip_outside(builder: ListBuilder, folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        if _is_picture(file.name) and file.is_file():
            builder.skip(_shown(builder, file), OUTSIDE)


def _is_split(folder: Path) -> bool:
    """Whether pictures lie in folders of a folder, and none in the folder itself."""
    has_own = any(_is_picture(file.name) for file in folder.iterdir() if file.is_file())
    return not has_own and find_classes(folder) is not None


def _has_picture(folder: Path) -> bool:
    return any(_is_picture(name) for _, _, names in os.walk(folder) for name in names)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in FILE_ENDINGS


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(builder: ListBuilder, path: Path) -> str:
    """A path within the data that can be written, whatever its bytes are."""
    name = path.relative_to(builder.root).as_posix()
    return os.fsencode(name).decode(errors="backslashreplace")
