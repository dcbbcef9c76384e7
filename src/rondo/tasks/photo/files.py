"""Labelled photos, from a place on the disk to tensors in memory.

In goes a folder or a label file in one of the `LAYOUTS`, out come sets of pixels and labels: listed
by the reader of the layout, divided into splits, decoded once. Each arrow is one function:

    path --list_photos--> PhotoList --split_photos--> PhotoList --decode_photos--> PhotoSets

Known limits: photos without a named split are divided by their names, so two photos of one person
or thing may fall into train and test, which makes the test look better than it is. Where that is
known, name the splits in labels.csv.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rondo.data.pictures import read_many
from rondo.data.skipped import Skipped, describe_skipped
from rondo.data.splits import split_order
from rondo.tasks.photo.archives import (
    find_celeba,
    find_imdb_wiki,
    find_utkface,
    read_celeba,
    read_imdb_wiki,
    read_utkface,
)
from rondo.tasks.photo.class_folders import find_classes, read_classes
from rondo.tasks.photo.division import check_splits, notes_of_splits, split_photos
from rondo.tasks.photo.duplicates import notes_of_duplicates
from rondo.tasks.photo.layouts import (
    are_outnumbered,
    find_csv,
    find_folders,
    read_csv,
    read_folders,
)
from rondo.tasks.photo.lists import Photo, PhotoList
from rondo.tasks.photo.sets import PhotoSet

Finder = Callable[[Path], Path | None]
Reader = Callable[[Path], PhotoList]

LAYOUTS: dict[str, tuple[Finder, Reader, str]] = {
    "csv": (find_csv, read_csv, "labels.csv with the columns file and label, class or sex"),
    "imdb-wiki": (find_imdb_wiki, read_imdb_wiki, "imdb.mat or wiki.mat"),
    "celeba": (find_celeba, read_celeba, "list_attr_celeba.txt"),
    "folders": (find_folders, read_folders, "folders named female and male"),
    "utkface": (find_utkface, read_utkface, "files named [age]_[gender]_[race]_[date].jpg"),
    "classes": (find_classes, read_classes, "a folder of pictures for each class"),
}
"""How to find and read each layout, and what it looks like; the first that is found is taken."""


def load_photos(
    path: Path,
    image_size: int,
    *,
    seed: int = 0,
    layout: str | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, PhotoSet]:
    """Lists, divides and decodes the photos of a data set.

    Args:
        path: The folder of the data set, or its label file.
        image_size: Width and height of the decoded photos, in pixels.
        seed: Chooses the division where the labels name no split.
        layout: A name in `LAYOUTS`, None to find it out.
        classes: The classes of a trained network, of which the data may have some alone; None where
            one is to learn those of the data.

    Returns:
        "train", "val", "test" and any other split that the labels name.

    Raises:
        ValueError: If the data cannot be used; the message says why and what to do.
    """
    listed = list_photos(path, layout=layout)
    if classes is not None:
        listed = listed.in_classes(classes)
    is_new = classes is None
    return decode_photos(split_photos(listed, seed, is_new=is_new), image_size, is_new=is_new)


def list_photos(path: Path, *, layout: str | None = None) -> PhotoList:
    """Lists the photos of a data set, with the splits that its labels name.

    Args:
        path: The folder of the data set, or its label file.
        layout: A name in `LAYOUTS`, None to find it out.

    Raises:
        ValueError: If nothing is there, the layout is not known, or a class has no photo.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist: name a folder with photos or its label file")
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got '{layout}'")
    wanted = LAYOUTS if layout is None else {layout: LAYOUTS[layout]}
    for name, (find, read, _) in wanted.items():
        found = find(path)
        if found is not None and not (len(wanted) > 1 and _is_other(name, found)):
            return read(found)
    looks = "; ".join(f"{look} (layout '{name}')" for name, (_, _, look) in wanted.items())
    raise ValueError(f"{path} holds no labelled photos: looked for {looks}; found {_sight(path)}")


def _is_other(layout: str, path: Path) -> bool:
    """Whether folders that are named after the sexes are some classes among many."""
    return layout == "folders" and are_outnumbered(path)


def _sight(path: Path) -> str:
    """A few names of what is there, for a message."""
    if path.is_file():
        return f"a file named {path.name}"
    names = sorted(one.name for one in path.iterdir())
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "nothing"


def decode_photos(
    photo_list: PhotoList, image_size: int, *, is_new: bool = True
) -> dict[str, PhotoSet]:
    """Decodes every photo of a list whose photos all have a split, once, into memory.

    Args:
        photo_list: The photos.
        image_size: Width and height of the decoded photos, in pixels.
        is_new: Whether a network is to learn these classes, rather than to be measured on them.

    Raises:
        ValueError: If memory is short, more than half of the photos are unusable, or a split does
            not hold what it must with those that are left; see `division.check_splits`.
    """
    _check_memory(len(photo_list.photos), image_size)
    splits = sorted({photo.split for photo in photo_list.photos}, key=split_order)
    sets = {}
    for split in splits:
        photos = [photo for photo in photo_list.photos if photo.split == split]
        skipped = photo_list.skipped if split == "train" else ()
        decoded = _decode_split(photos, photo_list.classes, skipped, image_size)
        if is_new or len(decoded):
            sets[str(split)] = decoded
    _check_decoded(sets, photo_list, is_new)
    if is_new:
        notes = (*photo_list.notes, *_notes(sets, photo_list.classes))
        sets["train"] = replace(sets["train"], notes=notes)
    return sets


def _notes(sets: dict[str, PhotoSet], classes: tuple[str, ...]) -> tuple[str, ...]:
    usable = [photo for one in sets.values() for photo in one.photos]
    decoded = {split: (one.pixels, one.photos) for split, one in sets.items()}
    return notes_of_splits(usable, classes) + notes_of_duplicates(decoded, classes)


def _decode_split(
    photos: list[Photo], classes: tuple[str, ...], skipped: tuple[Skipped, ...], image_size: int
) -> PhotoSet:
    pixels, errors = read_many([photo.path for photo in photos], image_size)
    unusable = [Skipped(str(photos[index].path), error.reason) for index, error in errors.items()]
    usable = tuple(photo for index, photo in enumerate(photos) if index not in errors)
    labels = torch.tensor([photo.label for photo in usable], dtype=torch.int64)
    skipped = (*skipped, *unusable)
    return PhotoSet(torch.from_numpy(pixels), labels, usable, classes, skipped).check()


def _check_decoded(sets: dict[str, PhotoSet], photo_list: PhotoList, is_new: bool) -> None:
    usable = [photo for one in sets.values() for photo in one.photos]
    num_listed = len(photo_list.photos)
    if 2 * len(usable) < num_listed:
        skipped = [item for one in sets.values() for item in one.skipped]
        raise ValueError(
            f"only {len(usable)} of {num_listed} photos can be used "
            f"({describe_skipped(skipped)}): repair or remove the others"
        )
    check_splits(usable, photo_list.classes, is_new=is_new)


def _check_memory(num_photos: int, image_size: int) -> None:
    """Leaves half of the free memory to the training."""
    needed, free = num_photos * 3 * image_size**2, available_bytes()
    if free is not None and needed > free / 2:
        raise ValueError(
            f"{num_photos} photos of {image_size}x{image_size} pixels take {needed / 1e9:.1f} GB, "
            f"more than half of the {free / 1e9:.1f} GB of memory that are free: take a smaller "
            "--image-size or fewer photos"
        )


def available_bytes() -> int | None:
    """The memory that programs can still take, None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return None
