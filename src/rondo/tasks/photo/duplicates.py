"""Pictures that a data set holds more than once: with differing labels, or in two splits.

In go the decoded photos of all splits, out come notes for the user. Nothing is left out: which of
two labels is right only the user can say. Known limit: two files of one picture that differ in a
single pixel, such as a copy in another format, count as two pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from rondo.tasks.photo.lists import Photo

NUM_SHOWN = 3
"""Groups of equal pictures that a note names."""


def notes_of_duplicates(
    splits: Mapping[str, tuple[Tensor, Sequence[Photo]]], classes: Sequence[str]
) -> tuple[str, ...]:
    """Returns what there is to say of pictures that are there more than once.

    Args:
        splits: The pixels and descriptions of the photos of each split.
        classes: What the labels mean.
    """
    groups = [group for group in _equal(splits) if len(group) > 1]
    contradicting = [group for group in groups if len({photo.label for photo in group}) > 1]
    leaked = [
        group
        for group in groups
        if len(splits_of := {photo.split for photo in group}) > 1 and "train" in splits_of
    ]
    notes = []
    if contradicting:
        notes.append(
            f"{_pictures_are(contradicting)} there more than once with differing labels, and one "
            f"of these is wrong: {_shown(contradicting, classes)}"
        )
    if leaked:
        notes.append(
            f"{_pictures_are(leaked)} both in train and in another split, which makes that look "
            f"better than it is: {_shown(leaked, None)}"
        )
    return tuple(notes)


def _equal(splits: Mapping[str, tuple[Tensor, Sequence[Photo]]]) -> Iterable[list[Photo]]:
    groups: dict[bytes, list[Photo]] = {}
    for pixels, photos in splits.values():
        for picture, photo in zip(pixels.numpy(), photos, strict=True):
            digest = hashlib.blake2b(picture.data, digest_size=16).digest()
            groups.setdefault(digest, []).append(photo)
    return groups.values()


def _pictures_are(groups: Sequence[list[Photo]]) -> str:
    return "1 picture is" if len(groups) == 1 else f"{len(groups)} pictures are"


def _shown(groups: Sequence[list[Photo]], classes: Sequence[str] | None) -> str:
    """For example "a.png (cat) = b.png (dog)"; with splits where no classes are given."""
    shown = [
        " = ".join(
            f"{photo.path.name} ({photo.split if classes is None else classes[photo.label]})"
            for photo in group[:NUM_SHOWN]
        )
        for group in groups[:NUM_SHOWN]
    ]
    more = len(groups) - len(shown)
    return "; ".join(shown) + (f" and {more} more" if more else "")
