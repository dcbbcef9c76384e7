"""Label maps: pictures of one channel whose values are the classes of another picture's pixels.

In go the maps of a folder as they are stored, and the photos that they belong to; out come maps
that lie on their photos, and what the user should know of that.

**Turned photos.** A map that carries an EXIF orientation is turned by it. Of one that carries
none, its size says whether it lies on its photo as that is stored, and must be turned with it, or
as it is seen. Where the size is the same either way, a map goes the way of the other maps of the
folder, or, where they tell nothing, is turned with its photo, which is told.

**Masks.** A picture of one bit has the values 0 and 1. Grey pictures that hold 0 and 255 alone,
where the classes are 0 and 1, are read as such masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from rondo.data.pictures import UnfitError, orientation_of, upright
from rondo.data.turns import EXIF_TURNS, turned

MASK_WHITE = 255
"""The value of a mask's second class in a grey picture."""

ADVICE = "save the label map as a PNG of one channel, with the number of a class for every pixel"


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label map as it was read.

    Attributes:
        path: The file.
        ids: Whole numbers (H, W).
        orientation: The EXIF orientation that was stored with it and has been followed; 1 for none.
        bits: Whether it is a picture of one bit.
    """

    path: Path
    ids: np.ndarray
    orientation: int = 1
    bits: bool = False


@dataclass(frozen=True)
class Turned:
    """The photo of a label map: how large it is when upright, and how it was turned to be so.

    Attributes:
        path: The file.
        size: Width and height in pixels, upright.
        orientation: Its EXIF orientation, 1 to 8.
    """

    path: Path
    size: tuple[int, int]
    orientation: int = 1

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height as they are stored."""
        swaps = EXIF_TURNS[self.orientation].swaps
        return self.size[::-1] if swaps else self.size


def to_label_map(image: Image.Image) -> LabelMap:
    """Makes a map, without its path, of an opened picture; it decodes it.

    Raises:
        UnfitError: Where the picture cannot hold classes.
    """
    channels = image.getbands()
    if len(channels) > 1:
        reason = f"must be of one channel, but has {len(channels)} ({image.mode})"
        raise UnfitError(reason, ADVICE)
    if image.mode == "F":
        raise UnfitError("holds fractions, but a label map holds whole numbers", ADVICE)
    if image.format in ("JPEG", "MPO"):
        raise UnfitError("is a JPEG, which changes the values of a label map", ADVICE)
    orientation, bits = orientation_of(image), image.mode == "1"
    ids = np.asarray(upright(image))
    return LabelMap(Path(), ids.astype(np.uint8) if bits else ids, orientation, bits)


def laid_on(
    maps: Sequence[LabelMap], photos: Sequence[Turned]
) -> tuple[list[LabelMap], tuple[str, ...]]:
    """Returns the maps as they lie on their upright photos, and notes for the user.

    Args:
        maps: The label maps of a folder.
        photos: The photo of each.

    Raises:
        ValueError: Where a map is not as large as its photo, or it is unclear how it lies.
    """
    pairs = list(zip(maps, photos, strict=True))
    ways = [_way(label, photo) for label, photo in pairs]
    known = {way for way in ways if way in ("stored", "seen")}
    doubtful = [pair for pair, way in zip(pairs, ways, strict=True) if way == "either"]
    if doubtful and len(known) > 1:
        label, photo = doubtful[0]
        raise ValueError(
            f"it is unclear whether {label.path} lies on {photo.path} as it is stored or as it "
            "is seen (EXIF turns it), since the folder has label maps of both kinds; save the "
            "photo upright, without EXIF"
        )
    turns = {"stored"} if "seen" in known else {"stored", "either"}
    laid = [
        _turned_with(label, photo) if way in turns else label
        for (label, photo), way in zip(pairs, ways, strict=True)
    ]
    return laid, _note(doubtful, "seen" not in known)


def unmasked(maps: Sequence[LabelMap], numbers: Iterable[int]) -> list[LabelMap]:
    """Returns maps where grey masks of 0 and 255 hold 0 and 1, if those are the classes."""
    grey = [label for label in maps if not label.bits]
    values = set().union(*(np.unique(label.ids).tolist() for label in grey))
    if set(numbers) != {0, 1} or MASK_WHITE not in values or not values <= {0, MASK_WHITE}:
        return list(maps)
    return [
        label if label.bits else replace(label, ids=(label.ids > 0).astype(np.uint8))
        for label in maps
    ]


def _way(label: LabelMap, photo: Turned) -> str:
    """How a map lies on its photo: "upright", "stored", "seen", or one of the two, "either"."""
    size = label.ids.shape[::-1]
    fits_seen, fits_stored = size == photo.size, size == photo.stored_size
    if photo.orientation == 1 or label.orientation != 1:
        fits_stored = False
    if not (fits_seen or fits_stored):
        raise ValueError(
            f"{label.path} must be of one channel and as large as {photo.path}, which is "
            f"{_words(photo.size)} pixels{_how(photo.orientation)}, but is "
            f"{_words(size)} pixels{_how(label.orientation)}"
        )
    if photo.orientation == 1 or label.orientation != 1:
        return "upright"
    return "either" if fits_seen and fits_stored else "stored" if fits_stored else "seen"


def _turned_with(label: LabelMap, photo: Turned) -> LabelMap:
    return replace(label, ids=turned(label.ids, EXIF_TURNS[photo.orientation]))


def _note(doubtful: Sequence[tuple[LabelMap, Turned]], are_turned: bool) -> tuple[str, ...]:
    if not doubtful:
        return ()
    label, photo = doubtful[0]
    how = "are turned as EXIF turns their photos" if are_turned else "lie on their photos as seen"
    return (
        f"{len(doubtful)} label maps {how}, which their sizes cannot show, such as {label.path} "
        f"on {photo.path}; save photos upright, without EXIF, to be sure",
    )


def _how(orientation: int) -> str:
    return "" if orientation == 1 else f" when turned upright (EXIF orientation {orientation})"


def _words(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
