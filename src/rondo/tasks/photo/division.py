"""Which split each photo is in, where the labels name none, and what a split must hold.

In goes a `PhotoList`, out comes the same with a split for every photo. Photos of the classes
`SEXES` are divided by a hash of their names alone, so that the split of a photo does not depend on
the others. Those of any other classes are divided class by class, in the order of that hash, so
that every split has its share of every class.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rondo.data.skipped import count_of
from rondo.data.splits import MAIN_SPLITS, split_by_hash, split_order
from rondo.tasks.photo.classes import NUM_NAMED, SEXES, names_of
from rondo.tasks.photo.lists import Photo, PhotoList, describe_labels

LEAST_PHOTOS = 3
"""A class needs so many, one for each of the main splits, where the labels name no split."""

FEW_PHOTOS = 10
"""A note names the classes that have fewer photos in train."""


def split_photos(photo_list: PhotoList, seed: int, *, is_new: bool = True) -> PhotoList:
    """Gives a split to every photo.

    Photos with no split are divided 80 % train, 10 % val, 10 % test. Where no photo at all is
    named for val (or test), a tenth of train is moved.

    Args:
        photo_list: The photos.
        seed: Chooses the division.
        is_new: Whether a network is to learn these classes, rather than to be measured on them.

    Raises:
        ValueError: If a split does not hold what it must; see `check_splits`.
    """
    if photo_list.classes == SEXES:
        photos = _by_hash(photo_list, seed)
    else:
        if is_new:
            _check_numbers(photo_list)
        photos = _by_class(photo_list, seed)
    check_splits(photos, photo_list.classes, is_new=is_new)
    return replace(photo_list, photos=tuple(photos))


def check_splits(photos: Iterable[Photo], classes: Sequence[str], *, is_new: bool = True) -> None:
    """Checks that there is something to learn, and to measure, in every split.

    Raises:
        ValueError: If one of the main splits is empty, a split does not hold photos of both sexes,
            or, of other classes, one is not in train. What is only measured needs no train.
    """
    found = Counter((photo.split, photo.label) for photo in photos)
    splits = sorted({*MAIN_SPLITS, *(split for split, _ in found)}, key=split_order)
    if tuple(classes) == SEXES:
        for split in splits:
            _check_sexes(split, found)
    elif is_new:
        for split in splits:
            if not any(found[split, label] for label in range(len(classes))):
                raise ValueError(
                    f"split '{split}' holds no photo: add photos, or name other splits in the "
                    "labels"
                )
        _check_train(found, classes)


def notes_of_splits(photos: Iterable[Photo], classes: Sequence[str]) -> tuple[str, ...]:
    """Returns what the user should know of classes with few photos, or none, in a split."""
    found = Counter((photo.split, photo.label) for photo in photos)
    few = {
        name: found["train", label]
        for label, name in enumerate(classes)
        if 0 < found["train", label] < FEW_PHOTOS
    }
    notes = []
    if few:
        notes.append(
            f"{_classes_have(few)} fewer than {FEW_PHOTOS} photos in train, which is little to "
            f"learn from: {_numbers_of(few)}"
        )
    for split in ("val", "test"):
        without = {name: 0 for label, name in enumerate(classes) if not found[split, label]}
        if without:
            notes.append(
                f"{_classes_have(without)} no photo in {split}, so nothing is measured of them "
                f"there: {names_of(without)}"
            )
    return tuple(notes)


def _by_hash(photo_list: PhotoList, seed: int) -> list[Photo]:
    named = {photo.split for photo in photo_list.photos}
    photos = []
    for photo in photo_list.photos:
        drawn = split_by_hash(_name(photo_list, photo), seed)
        if photo.split is None or (photo.split == "train" and drawn not in named):
            photo = replace(photo, split=drawn)
        photos.append(photo)
    return photos


def _by_class(photo_list: PhotoList, seed: int) -> list[Photo]:
    """Divides the photos of no split, and those of train where other splits are missing."""
    photos = list(photo_list.photos)
    rows: dict[int, list[int]] = {}
    for row, photo in enumerate(photos):
        rows.setdefault(photo.label, []).append(row)
    named = {photo.split for photo in photos}
    missing = [split for split in ("test", "val") if split not in named]
    for of_class in rows.values():
        ordered = sorted(of_class, key=_place(photo_list, seed))
        undivided, in_train = (
            [row for row in ordered if photos[row].split == split] for split in (None, "train")
        )
        _deal(photos, undivided, ("test", "val"), len(undivided))
        _deal(photos, in_train[1:], missing, len(in_train))
    return photos


def _place(photo_list: PhotoList, seed: int) -> Callable[[int], bytes]:
    """The place of a photo among those of its class, by its row."""

    def place(row: int) -> bytes:
        name = _name(photo_list, photo_list.photos[row])
        return hashlib.blake2b(f"{seed}:".encode() + os.fsencode(name), digest_size=8).digest()

    return place


def _deal(photos: list[Photo], rows: Sequence[int], splits: Sequence[str], num_photos: int) -> None:
    """Gives a tenth of so many, and at least one, to each of the splits; the rest to train."""
    tenth = max(1, round(num_photos / 10))
    for place, row in enumerate(rows):
        number = place // tenth
        split = splits[number] if number < len(splits) else "train"
        photos[row] = replace(photos[row], split=split)


def _name(photo_list: PhotoList, photo: Photo) -> str:
    return photo.path.relative_to(photo_list.root).as_posix()


def _check_numbers(photo_list: PhotoList) -> None:
    """Raises `ValueError` where there is one class, or too few photos to divide those of one."""
    classes, photos = photo_list.classes, photo_list.photos
    if len(classes) < 2:
        raise ValueError(
            f"there is one class only, '{classes[0]}' with {count_of(len(photos), 'photo')}: a "
            "network learns to tell two classes or more apart"
        )
    found, undivided = (
        Counter(photo.label for photo in photos if not undivided or photo.split is None)
        for undivided in (False, True)
    )
    few = {
        name: found[label]
        for label, name in enumerate(classes)
        if found[label] == undivided[label] < LEAST_PHOTOS
    }
    if few:
        raise ValueError(
            f"{_classes_have(few)} too few photos: {_numbers_of(few)}; each class needs "
            f"{LEAST_PHOTOS} or more, one each for train, val and test: add photos, remove the "
            "class, or name the splits in the labels"
        )


def _check_sexes(split: str | None, found: Counter[tuple[str | None, int]]) -> None:
    if not all(found[split, sex] for sex in range(len(SEXES))):
        labels = [sex for sex in range(len(SEXES)) for _ in range(found[split, sex])]
        raise ValueError(
            f"split '{split}' holds {describe_labels(labels, SEXES)}, but needs both sexes: add "
            "photos, or name the splits in the column split of labels.csv"
        )


def _check_train(found: Counter[tuple[str | None, int]], classes: Sequence[str]) -> None:
    absent = {
        name: sum(count for (_, other), count in found.items() if other == label)
        for label, name in enumerate(classes)
        if not found["train", label]
    }
    if absent:
        raise ValueError(
            f"{_classes_have(absent)} no photo in train, where a network learns, but others in "
            f"other splits: {_numbers_of(absent)}; add photos to train, or remove the class"
        )


def _classes_have(names: dict[str, int]) -> str:
    return "1 class has" if len(names) == 1 else f"{len(names)} classes have"


def _numbers_of(numbers: dict[str, int]) -> str:
    """For example "'cat' 1 photo, 'dog' 2 photos and 7 more"."""
    shown = list(numbers.items())[:NUM_NAMED]
    words = ", ".join(f"{names_of([name])} {count_of(count, 'photo')}" for name, count in shown)
    return words + (f" and {len(numbers) - len(shown)} more" if len(numbers) > len(shown) else "")
