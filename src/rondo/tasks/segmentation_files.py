"""Labelled pictures from a folder on the disk, in the form of CamVid.

In goes a folder with two tables. `classes.csv` names the classes: `id,name`, ids from 0; the names
void, unlabelled and ignore stand for pixels without a class. `list.csv`
names the pictures: `split,image,label` and, if you like, `sequence,frame`, of whose digits the
place of a picture in its video is read; a label map is a picture of one channel with an id for
every pixel. Out come the scenes of each split, brought to one
size. What cannot be used ends the reading with an error that names the file: a picture that is
missing from a video would leave a gap in it.

Brostow, Fauqueur & Cipolla, "Semantic object classes in video: a high-definition ground truth
database", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondo.tasks.label_tables import MISFIT, fault_of, table_rows
from rondo.tasks.photo_files import PhotoError, ToPixels, read_each, upright_rgb
from rondo.tasks.scenes import VOID, Scene, SceneSets
from rondo.tasks.splits import MAIN_SPLITS, split_name

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
    size = _size_of(rows[0][0]) if size is None else size
    pictures = _read([row[0] for row in rows], partial(_pixels, size=size))
    maps = _read([row[1] for row in rows], np.asarray)
    splits: dict[str, list[Scene]] = {name: [] for name in MAIN_SPLITS}
    for (image, label, split, sequence, frame), pixels, ids in zip(
        rows, pictures, maps, strict=True
    ):
        if ids.shape != _size_of(image)[::-1]:
            raise ValueError(
                f"{label} must be of one channel and as large as {image}, "
                f"{' x '.join(map(str, _size_of(image)[::-1]))}, but is "
                f"{' x '.join(map(str, ids.shape))}"
            )
        labels = _labels(ids, numbers, size, label, folder / CLASSES)
        name = image.relative_to(folder).as_posix()
        scene = Scene(name, torch.from_numpy(pixels), labels, sequence, frame)
        splits.setdefault(split, []).append(scene)
    for name in MAIN_SPLITS:
        if not splits[name]:
            raise ValueError(
                f"{folder / LIST} names no picture of the split {name}; train, val and test are "
                "needed"
            )
        splits[name].sort(key=lambda scene: (scene.sequence, scene.frame))
    return SceneSets(classes, splits)


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


def _rows(folder: Path) -> list[Row]:
    rows: list[Row] = []
    taken: set[str] = set()
    known = ("sequence", "frame")
    for line, row in table_rows(folder / LIST, ("split", "image", "label"), known):
        where = f"{folder / LIST}, line {line}"
        if not row:
            raise ValueError(f"{where}: {MISFIT}")
        for name in (row["image"], row["label"]):
            fault = fault_of(folder, name, taken if name == row["image"] else ())
            if fault is not None:
                raise ValueError(f"{where}: {name or 'the picture'}: {fault}")
        taken.add(row["image"])
        split = split_name(row["split"])
        if split is None:
            raise ValueError(f"{where}: the split is empty; train, val and test are known")
        digits = "".join(filter(str.isdecimal, row.get("frame") or ""))
        paths = folder / row["image"], folder / row["label"]
        rows.append((*paths, split, (row.get("sequence") or "").strip(), int(digits or 0)))
    if not rows:
        raise ValueError(f"{folder / LIST} names no picture")
    return rows


def _size_of(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise ValueError(f"{path} is no picture that can be read: {error}") from error


def _read(paths: Sequence[Path], to_pixels: ToPixels) -> list[np.ndarray]:
    read = []
    for found in read_each(paths, to_pixels):
        if isinstance(found, PhotoError):
            raise found
        read.append(found)
    return read


def _pixels(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    resized = upright_rgb(image, 1).resize(size, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _labels(
    ids: np.ndarray, numbers: dict[int, int], size: tuple[int, int], file: Path, table: Path
) -> Tensor:
    """The classes (H, W) that a label map holds, of the size that is wanted."""
    unknown = sorted(set(np.unique(ids).tolist()) - set(numbers))
    if unknown:
        raise ValueError(f"{file} has the id {unknown[0]}, which {table} does not name")
    classes = np.zeros(VOID + 1, np.uint8)
    classes[list(numbers)] = list(numbers.values())
    resized = Image.fromarray(classes[ids]).resize(size, Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(resized))
