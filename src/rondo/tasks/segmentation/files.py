"""Labelled pictures from a folder on the disk, in the form of CamVid.

In goes a folder with two tables. `classes.csv` names the classes: `id,name`, ids from 0; the names
void, unlabelled and ignore stand for pixels without a class. `list.csv` names the pictures:
`split,image,label` and, if you like, `sequence,frame`, of whose digits the place of a picture in
its video is read; a label map is a picture of one channel with an id for every pixel
(`rondo.tasks.segmentation.label_maps`). Out come the scenes of each split, upright and brought to
one size. What cannot be used ends the reading with an error that names the file: a picture that is
missing from a video would leave a gap in it.

Brostow, Fauqueur & Cipolla, "Semantic object classes
in video: a high-definition ground truth database", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondo.data.label_tables import MISFIT, fault_of, table_rows
from rondo.data.pictures import (
    PhotoError,
    Seen,
    ToSeen,
    orientation_of,
    read_each,
    read_picture,
    upright,
    upright_rgb,
)
from rondo.data.splits import MAIN_SPLITS, split_name
from rondo.tasks.segmentation.label_maps import LabelMap, Turned, laid_on, to_label_map, unmasked
from rondo.tasks.segmentation.scenes import VOID, Scene, SceneSets

LIST, CLASSES = "list.csv", "classes.csv"
"""The tables of a folder."""

VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore")
"""How the table of classes calls pixels without a class, in lower case."""

Row = tuple[Path, Path, str, str, int]
"""Picture, label map, split, sequence and place in it."""


def read_scenes(folder: Path, size: tuple[int, int] | None = None) -> SceneSets:
    """Reads the scenes of a folder.

    Args:
        folder: The folder.
        size: Width and height to which pictures and label maps are brought, or None to keep those
            of the first picture.

    Raises:
        ValueError: Where something cannot be used; the message names the file.
    """
    if not (folder / LIST).is_file():
        raise ValueError(
            f"there is no {folder / LIST}; segmentation needs a folder with {LIST} "
            f"(split,image,label) and {CLASSES} (id,name)"
        )
    classes, numbers = read_classes(folder / CLASSES)
    rows = _rows(folder)
    size = read_picture(rows[0][0], lambda image: upright(image).size) if size is None else size
    pictures = _read([row[0] for row in rows], partial(_picture, size=size))
    maps, notes = _label_maps(rows, pictures, numbers)
    splits: dict[str, list[Scene]] = {name: [] for name in MAIN_SPLITS}
    for (image, _, split, sequence, frame), picture, label in zip(
        rows, pictures, maps, strict=True
    ):
        labels = _labels(label, numbers, size, folder / CLASSES)
        name = image.relative_to(folder).as_posix()
        scene = Scene(name, torch.from_numpy(picture.pixels), labels, sequence, frame)
        splits.setdefault(split, []).append(scene)
    for name in MAIN_SPLITS:
        if not splits[name]:
            raise ValueError(
                f"{folder / LIST} names no picture of the split {name}; train, val and test are "
                "needed"
            )
        splits[name].sort(key=lambda scene: (scene.sequence, scene.frame))
    return SceneSets(classes, splits, notes)


def read_classes(file: Path) -> tuple[tuple[str, ...], dict[int, int]]:
    """Returns the names of the classes, and for each id of a label map its class or `VOID`.

    Raises:
        ValueError: Where the table cannot be used.
    """
    names: list[str] = []
    numbers: dict[int, int] = {}
    for line, row in table_rows(file, ("id", "name"), ("r", "g", "b")):
        name, word = row.get("name", "").strip(), row.get("id", "").strip()
        if not row or not name or not word.isdecimal() or int(word) > VOID:
            raise ValueError(
                f"{file}, line {line}: an id from 0 to {VOID} and a name are needed, "
                f"got {word!r} and {name!r}"
            )
        if int(word) in numbers:
            raise ValueError(f"{file}, line {line}: the id {word} was named before")
        is_void = name.lower() in VOID_NAMES
        numbers[int(word)] = VOID if is_void else len(names)
        names += [] if is_void else [name]
    if len(names) < 2:
        raise ValueError(f"{file} names {len(names)} classes; two or more are needed")
    return tuple(names), numbers


def check_classes(folder: Path, sets: SceneSets) -> None:
    """Raises `ValueError` where fewer than two classes are to be learnt."""
    train = sets.splits["train"]
    found = set().union(*(scene.labels.unique().tolist() for scene in train)) - {VOID}
    if len(found) < 2:
        words = f"of the class {sets.classes[found.pop()]} alone" if found else "without a class"
        raise ValueError(
            f"the label maps of the split train in {folder / LIST} hold pixels {words}; two "
            "classes or more are needed"
        )


def _rows(folder: Path) -> list[Row]:
    rows: list[Row] = []
    taken: set[str] = set()
    known = ("sequence", "frame")
    for line, row in table_rows(folder / LIST, ("split", "image", "label"), known):
        where = f"{folder / LIST}, line {line}"
        if not row:
            raise ValueError(f"{where}: {MISFIT}")
        row = {column: cell.strip() for column, cell in row.items()}
        for name in (row["image"], row["label"]):
            fault = fault_of(folder, name, taken if name == row["image"] else ())
            if fault is not None:
                raise ValueError(f"{where}: {name or 'the picture'}: {fault}")
        taken.add(row["image"])
        split = split_name(row["split"])
        if split is None:
            raise ValueError(f"{where}: the split is empty; train, val and test are known")
        digits = "".join(filter(str.isdecimal, row.get("frame", "")))
        paths = folder / row["image"], folder / row["label"]
        rows.append((*paths, split, row.get("sequence", ""), int(digits or 0)))
    if not rows:
        raise ValueError(f"{folder / LIST} names no picture")
    return rows


@dataclass(frozen=True, eq=False)
class _Picture:
    """The pixels (3, H, W) of a photo at the size that is wanted, and how it lay."""

    pixels: np.ndarray
    size: tuple[int, int]
    orientation: int


def _picture(image: Image.Image, size: tuple[int, int]) -> _Picture:
    orientation = orientation_of(image)
    rgb = upright_rgb(image)
    pixels = np.asarray(rgb.resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    return _Picture(np.ascontiguousarray(pixels), rgb.size, orientation)


def _label_maps(
    rows: Sequence[Row], pictures: Sequence[_Picture], numbers: dict[int, int]
) -> tuple[list[LabelMap], tuple[str, ...]]:
    """The label maps as they lie on their upright pictures, and notes."""
    read = _read([row[1] for row in rows], to_label_map)
    maps = [replace(label, path=row[1]) for label, row in zip(read, rows, strict=True)]
    photos = [
        Turned(row[0], picture.size, picture.orientation)
        for row, picture in zip(rows, pictures, strict=True)
    ]
    laid, notes = laid_on(maps, photos)
    return unmasked(laid, numbers), notes


def _read(paths: Sequence[Path], to_seen: ToSeen[Seen]) -> list[Seen]:
    read = []
    for found in read_each(paths, to_seen):
        if isinstance(found, PhotoError):
            raise found
        read.append(found)
    return read


def _labels(label: LabelMap, numbers: dict[int, int], size: tuple[int, int], table: Path) -> Tensor:
    """The classes (H, W) that a label map holds, of the size that is wanted."""
    unknown = sorted(set(np.unique(label.ids).tolist()) - set(numbers))
    if unknown:
        raise ValueError(
            f"{label.path} has the id {unknown[0]}, which {table} does not name; name it there "
            "(void, if its pixels have no class), or mend the label map"
        )
    classes = np.zeros(VOID + 1, np.uint8)
    classes[list(numbers)] = list(numbers.values())
    resized = Image.fromarray(classes[label.ids]).resize(size, Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(resized))
