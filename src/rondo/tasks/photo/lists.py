"""Lists of labelled photos: which file shows whom, which split it is in, and what was left out.

A `PhotoList` is what a reader of `face_layouts` returns and what `faces.load_photos` decodes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rondo.data.label_tables import fault_of
from rondo.data.skipped import Skipped, count_of, describe_skipped
from rondo.data.splits import split_order

SEXES = ("female", "male")
"""The class order everywhere: label 0 is female, label 1 is male."""

SEX_WORDS = {"female": 0, "f": 0, "woman": 0, "women": 0, "male": 1, "m": 1, "man": 1, "men": 1}
"""What label files and folders may call the classes, in lower case."""


@dataclass(frozen=True)
class Photo:
    """One labelled photo.

    Attributes:
        path: The file.
        sex: Index into `SEXES`.
        split: "train", "val", "test" or any other name; None where the labels name none.
        source: Where the photo comes from, such as "utkface".
        age: In years, None where unknown.
        group: The population group as the labels word it, None where unknown.
    """

    path: Path
    sex: int
    split: str | None
    source: str
    age: float | None = None
    group: str | None = None


@dataclass(frozen=True)
class PhotoList:
    """The photos that a data set lists, under the name of its layout.

    `root` is the folder of the data set: names relative to it stay the same where it is moved.
    """

    layout: str
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()
    root: Path = Path()

    def check(self) -> PhotoList:
        """Returns itself if there is something to learn from: photos of both sexes.

        Raises:
            ValueError: If a sex has no photo; the message tells what was skipped and why.
        """
        found = Counter(photo.sex for photo in self.photos)
        absent = [word for label, word in enumerate(SEXES) if not found[label]]
        if absent:
            raise ValueError(
                f"no usable photo of {' and none of '.join(absent)} among "
                f"{count_of(len(self.photos), 'photo')} of layout '{self.layout}'; "
                f"{describe_skipped(self.skipped)}; both sexes are needed: check the labels"
            )
        return self

    def __str__(self) -> str:
        lines = [f"{count_of(len(self.photos), 'photo')}, layout '{self.layout}'"]
        splits = Counter(photo.split for photo in self.photos)
        for split in sorted(splits, key=split_order):
            inside = [photo.sex for photo in self.photos if photo.split == split]
            lines.append(f"  {split or 'no split named'}: {describe_sexes(inside)}")
        lines += [f"  {line}" for line in _plan_of_splits(splits)]
        return "\n".join([*lines, f"  {describe_skipped(self.skipped)}"])


class ListBuilder:
    """Collects the photos of one data set, and what is skipped, into a `PhotoList`."""

    def __init__(self, layout: str, root: Path):
        self.layout, self.root = layout, root
        self._photos: dict[str, Photo] = {}
        self._skipped: list[Skipped] = []

    def add(
        self,
        name: str,
        sex: int,
        split: str | None,
        source: str,
        age: float | None = None,
        group: str | None = None,
    ) -> None:
        """Takes the photo `name`, a path relative to the root, or skips it and says why."""
        fault, normal = fault_of(self.root, name, self._photos), os.path.normpath(name)
        if fault is not None:
            self.skip(name, fault)
        else:
            path = self.root / normal
            self._photos[normal] = Photo(path, sex, split, source, age, group)

    def skip(self, name: str, reason: str) -> None:
        """Notes that something is not used."""
        self._skipped.append(Skipped(name, reason))

    def finish(self) -> PhotoList:
        """Returns the list, checked."""
        photos, skipped = tuple(self._photos.values()), tuple(self._skipped)
        return PhotoList(self.layout, photos, skipped, self.root).check()


def describe_sexes(labels: Iterable[int]) -> str:
    """For example "10 photos (4 female, 6 male)"."""
    found = Counter(labels)
    words = ", ".join(f"{found[label]} {word}" for label, word in enumerate(SEXES))
    return f"{count_of(found.total(), 'photo')} ({words})"


def _plan_of_splits(named: Counter[str | None]) -> list[str]:
    """What `faces.split_photos` will do about splits that no photo names."""
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
