"""Lists of labelled photos: which file is of which class and split, and what was left out.

A `PhotoList` is what a reader of `layouts` returns and what `files.load_photos` decodes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rondo.data.label_tables import fault_of
from rondo.data.skipped import Skipped, count_of, describe_skipped
from rondo.data.splits import split_order
from rondo.tasks.photo.classes import SEXES, classes_of, names_of

MOST_GROUPS = 50
"""A column of more different values does not group the photos."""

MOST_COUNTED = 6
"""Of more classes a text does not tell the photos of each."""

TWICE = "the file is named a second time, with another label (the first counts)"
"""Why a row is not used that contradicts one before it."""


@dataclass(frozen=True)
class Photo:
    """One labelled photo.

    Attributes:
        path: The file.
        label: Index into the classes of its data set.
        split: "train", "val", "test" or any other name; None where the labels name none.
        source: Where the photo comes from, such as "utkface".
        age: In years, None where unknown.
        groups: Pairs of what the photos are grouped by and the group of this one, such as
            ("camera", "phone"); sorted.
    """

    path: Path
    label: int
    split: str | None
    source: str
    age: float | None = None
    groups: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PhotoList:
    """The photos that a data set lists, under the name of its layout.

    Attributes:
        layout: The name of the layout.
        photos: The photos.
        classes: What their labels mean.
        skipped: What is not used, and why.
        root: The folder of the data set: names relative to it stay the same where it is moved.
        notes: What the user should know of the labels.
    """

    layout: str
    photos: tuple[Photo, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    root: Path = Path()
    notes: tuple[str, ...] = ()

    def check(self) -> PhotoList:
        """Returns itself if there is something to learn from: photos of every class.

        Raises:
            ValueError: If there is none; the message tells what was skipped and why.
        """
        found = Counter(photo.label for photo in self.photos)
        absent = [word for label, word in enumerate(self.classes) if not found[label]]
        if not found or absent:
            what = f" of {' and none of '.join(absent)}" if absent else ""
            needed = "both sexes are needed: " if self.classes == SEXES else ""
            raise ValueError(
                f"no usable photo{what} among {count_of(len(self.photos), 'photo')} of layout "
                f"'{self.layout}'; {describe_skipped(self.skipped)}; {needed}check the labels"
            )
        return self

    def in_classes(self, classes: Sequence[str]) -> PhotoList:
        """Returns the list with its labels as indices into other classes, among which its own are.

        Raises:
            ValueError: If one of its classes is none of them.
        """
        unknown = [name for name in self.classes if name not in classes]
        if unknown:
            raise ValueError(
                f"the data have the classes {names_of(self.classes)}, but the run learnt "
                f"{names_of(classes)}: it knows no {names_of(unknown)}"
            )
        numbers = [list(classes).index(name) for name in self.classes]
        photos = tuple(replace(photo, label=numbers[photo.label]) for photo in self.photos)
        return replace(self, photos=photos, classes=tuple(classes))

    def __str__(self) -> str:
        lines = [f"{count_of(len(self.photos), 'photo')}, layout '{self.layout}'"]
        splits = Counter(photo.split for photo in self.photos)
        for split in sorted(splits, key=split_order):
            inside = [photo.label for photo in self.photos if photo.split == split]
            lines.append(f"  {split or 'no split named'}: {describe_labels(inside, self.classes)}")
        lines += [f"  {line}" for line in _plan_of_splits(splits)]
        return "\n".join([*lines, f"  {describe_skipped(self.skipped)}"])


class ListBuilder:
    """Collects the photos of one data set, and what is skipped, into a `PhotoList`.

    Args:
        layout: The name of the layout.
        root: The folder of the data set.
        classes: The classes, or None where they are those that the labels name.
    """

    def __init__(self, layout: str, root: Path, classes: tuple[str, ...] | None = None):
        self.layout, self.root, self.classes = layout, root, classes
        self._photos: dict[str, tuple[Photo, str]] = {}
        self._skipped: list[Skipped] = []

    def add(
        self,
        name: str,
        word: str,
        split: str | None,
        source: str,
        age: float | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the photo `name`, a path relative to the root, or skips it and says why.

        Args:
            name: The path.
            word: What the labels call its class.
            split: Its split, if the labels name one.
            source: Where it comes from.
            age: The age of who is shown.
            groups: Its groups, by what they group.
        """
        normal = os.path.normpath(name)
        fault = fault_of(self.root, name, self._photos)
        if normal in self._photos and self._photos[normal][1] != word:
            fault = TWICE
        if fault is not None:
            self.skip(name, fault)
        else:
            pairs = tuple(sorted((groups or {}).items()))
            photo = Photo(self.root / normal, 0, split, source, age, pairs)
            self._photos[normal] = photo, word

    def skip(self, name: str, reason: str) -> None:
        """Notes that something is not used."""
        self._skipped.append(Skipped(name, reason))

    def finish(self) -> PhotoList:
        """Returns the list, checked.

        Raises:
            ValueError: If there is nothing to learn from, or two classes are written nearly alike.
        """
        classes, numbers = classes_of(word for _, word in self._photos.values())
        classes = classes if self.classes is None else self.classes
        photos = [replace(photo, label=numbers[word]) for photo, word in self._photos.values()]
        photos, notes = _grouped(photos)
        skipped = tuple(self._skipped)
        return PhotoList(self.layout, tuple(photos), classes, skipped, self.root, notes).check()


def _grouped(photos: list[Photo]) -> tuple[list[Photo], tuple[str, ...]]:
    """Returns photos without the columns that hold too many values for groups, and notes."""
    values: dict[str, set[str]] = {}
    for photo in photos:
        for column, value in photo.groups:
            values.setdefault(column, set()).add(value)
    too_many = {column for column, found in values.items() if len(found) > MOST_GROUPS}
    if not too_many:
        return photos, ()
    notes = tuple(
        f"the column {column} has {len(values[column])} values, and more than {MOST_GROUPS} do not "
        "group the photos"
        for column in sorted(too_many)
    )
    kept = [
        replace(photo, groups=tuple(pair for pair in photo.groups if pair[0] not in too_many))
        for photo in photos
    ]
    return kept, notes


def describe_labels(labels: Iterable[int], classes: Sequence[str]) -> str:
    """For example "10 photos (4 female, 6 male)"."""
    found = Counter(labels)
    if len(classes) > MOST_COUNTED:
        most, least = (f(found[number] for number in range(len(classes))) for f in (max, min))
        return (
            f"{count_of(found.total(), 'photo')} of {len(classes)} classes, {least} to {most} each"
        )
    words = ", ".join(f"{found[label]} {word}" for label, word in enumerate(classes))
    return f"{count_of(found.total(), 'photo')} ({words})"


def _plan_of_splits(named: Counter[str | None]) -> list[str]:
    """What `division.split_photos` will do about splits that no photo names."""
    lines = []
    if named[None]:
        lines.append(
            "photos with no split named are divided by a hash of their names: "
            "80 % train, 10 % val, 10 % test"
        )
    if named["train"]:
        lines += [
            f"{split}: not named by the labels, a tenth of train is taken by the same hash"
            for split in ("val", "test")
            if not named[split]
        ]
    return lines
