"""Labelled photos of faces, from a place on the disk to tensors in memory.

In goes a folder or a label file in one of the `LAYOUTS`, out come sets of pixels and labels: listed
by the reader of the layout, divided into splits, decoded once. Each arrow is one function:

    path --list_photos--> PhotoList --split_photos--> PhotoList --decode_photos--> PhotoSets

Known limits: photos without a named split are divided by their names, so two photos of one person
may fall into train and test, which makes the test look better than it is. Where identities are
known, name the splits in labels.csv.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rondo.data.pictures import read_many
from rondo.data.skipped import Skipped, describe_skipped
from rondo.data.splits import MAIN_SPLITS, split_by_hash, split_order
from rondo.tasks.photo.archives import (
    find_celeba,
    find_imdb_wiki,
    find_utkface,
    read_celeba,
    read_imdb_wiki,
    read_utkface,
)
from rondo.tasks.photo.layouts import find_csv, find_folders, read_csv, read_folders
from rondo.tasks.photo.lists import SEXES, Photo, PhotoList, describe_sexes

__all__ = [
    "LAYOUTS",
    "SEXES",
    "Photo",
    "PhotoList",
    "PhotoSet",
    "Skipped",
    "decode_photos",
    "list_photos",
    "load_photos",
    "split_photos",
]

Finder = Callable[[Path], Path | None]
Reader = Callable[[Path], PhotoList]

LAYOUTS: dict[str, tuple[Finder, Reader, str]] = {
    "csv": (find_csv, read_csv, "labels.csv with the columns file,sex"),
    "imdb-wiki": (find_imdb_wiki, read_imdb_wiki, "imdb.mat or wiki.mat"),
    "celeba": (find_celeba, read_celeba, "list_attr_celeba.txt"),
    "folders": (find_folders, read_folders, "folders named female and male"),
    "utkface": (find_utkface, read_utkface, "files named [age]_[gender]_[race]_[date].jpg"),
}
"""How to find and read each layout, and what it looks like; the first that is found is taken."""


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of one split, in memory.

    Attributes:
        pixels: uint8 (N, 3, S, S), red, green and blue.
        labels: int64 (N,), indices into `SEXES`.
        photos: N descriptions, in the same order.
        skipped: What is not in the set. All sets of a data set together name each skipped file
            once; what its list skipped before a split was known stands with "train".
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()

    def check(self) -> PhotoSet:
        """Returns itself; asserts that pixels, labels and descriptions fit together."""
        num_photos = len(self.photos)
        assert self.pixels.dtype == torch.uint8, self.pixels.dtype
        assert self.pixels.shape[:2] == (num_photos, 3), self.pixels.shape
        assert self.pixels.shape[2] == self.pixels.shape[3], self.pixels.shape
        assert self.labels.tolist() == [photo.sex for photo in self.photos]
        return self

    def __len__(self) -> int:
        return len(self.photos)

    def __str__(self) -> str:
        found = describe_sexes(photo.sex for photo in self.photos)
        return f"{found}, {self.pixels.shape[-1]} pixels wide; {describe_skipped(self.skipped)}"


def load_photos(
    path: Path, image_size: int, *, seed: int = 0, layout: str | None = None
) -> dict[str, PhotoSet]:
    """Lists, divides and decodes the photos of a data set.

    Args:
        path: The folder of the data set, or its label file.
        image_size: Width and height of the decoded photos, in pixels.
        seed: Chooses the division where the labels name no split.
        layout: A name in `LAYOUTS`, None to find it out.

    Returns:
        "train", "val", "test" and any other split that the labels name.

    Raises:
        ValueError: If the data cannot be used; the message says why and what to do.
    """
    return decode_photos(split_photos(list_photos(path, layout=layout), seed), image_size)


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
    for find, read, _ in wanted.values():
        found = find(path)
        if found is not None:
            return read(found)
    looks = "; ".join(f"{look} (layout '{name}')" for name, (_, _, look) in wanted.items())
    raise ValueError(f"{path} holds no labelled photos: looked for {looks}; found {_sight(path)}")


def _sight(path: Path) -> str:
    """A few names of what is there, for a message."""
    if path.is_file():
        return f"a file named {path.name}"
    names = sorted(one.name for one in path.iterdir())
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "nothing"


def split_photos(photo_list: PhotoList, seed: int) -> PhotoList:
    """Gives a split to every photo, by a hash of its name and the seed where none is named.

    Photos with no split are divided 80 % train, 10 % val, 10 % test. Where no photo at all is
    named for val (or test), the tenth of train that the hash would put there is moved. The split
    of a photo does not depend on which other photos there are.

    Raises:
        ValueError: If train, val, test or a named split does not hold photos of both sexes.
    """
    named = {photo.split for photo in photo_list.photos}
    photos = []
    for photo in photo_list.photos:
        drawn = split_by_hash(photo.path.relative_to(photo_list.root).as_posix(), seed)
        if photo.split is None or (photo.split == "train" and drawn not in named):
            photo = replace(photo, split=drawn)
        photos.append(photo)
    _check_splits(photos)
    return replace(photo_list, photos=tuple(photos))


def _check_splits(photos: list[Photo]) -> None:
    found = Counter((photo.split, photo.sex) for photo in photos)
    for split in sorted({*MAIN_SPLITS, *(photo.split for photo in photos)}, key=split_order):
        if not all(found[split, sex] for sex in range(len(SEXES))):
            inside = describe_sexes(photo.sex for photo in photos if photo.split == split)
            raise ValueError(
                f"split '{split}' holds {inside}, but needs both sexes: add photos, or name "
                "the splits in the column split of labels.csv"
            )


def decode_photos(photo_list: PhotoList, image_size: int) -> dict[str, PhotoSet]:
    """Decodes every photo of a list whose photos all have a split, once, into memory.

    Raises:
        ValueError: If memory is short, more than half of the photos are unusable, or those that
            are left do not show both sexes in every split.
    """
    _check_memory(len(photo_list.photos), image_size)
    splits = sorted({photo.split for photo in photo_list.photos}, key=split_order)
    sets = {}
    for split in splits:
        photos = [photo for photo in photo_list.photos if photo.split == split]
        skipped = photo_list.skipped if split == "train" else ()
        sets[str(split)] = _decode_split(photos, skipped, image_size)
    _check_decoded(sets, len(photo_list.photos))
    return sets


def _decode_split(photos: list[Photo], skipped: tuple[Skipped, ...], image_size: int) -> PhotoSet:
    pixels, errors = read_many([photo.path for photo in photos], image_size)
    unusable = [Skipped(str(photos[index].path), error.reason) for index, error in errors.items()]
    usable = tuple(photo for index, photo in enumerate(photos) if index not in errors)
    labels = torch.tensor([photo.sex for photo in usable], dtype=torch.int64)
    return PhotoSet(torch.from_numpy(pixels), labels, usable, (*skipped, *unusable)).check()


def _check_decoded(sets: dict[str, PhotoSet], num_listed: int) -> None:
    usable = [photo for one in sets.values() for photo in one.photos]
    if 2 * len(usable) < num_listed:
        skipped = [item for one in sets.values() for item in one.skipped]
        raise ValueError(
            f"only {len(usable)} of {num_listed} photos can be used "
            f"({describe_skipped(skipped)}): repair or remove the others"
        )
    _check_splits(usable)


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
