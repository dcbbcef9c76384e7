"""The photos of a split: their pixels, their labels, and what else is known of them.

Given photos lie in memory, `PhotoSet`. Drawn ones are made when they are first asked for, see
`rondo.tasks.photo.drawn`. Both are `Photos`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rondo.data.skipped import Skipped, describe_skipped
from rondo.tasks.photo.lists import Photo, describe_labels

Rows = slice | Sequence[int]
"""Some photos of a split."""


class Photos(Protocol):
    """The photos of one split."""

    @property
    def pixels(self) -> Tensor:
        """uint8 (N, 3, S, S), red, green and blue, of all."""
        ...

    @property
    def labels(self) -> Tensor:
        """int64 (N,), indices into `classes`, of all."""
        ...

    @property
    def photos(self) -> tuple[Photo, ...]:
        """N descriptions, in the same order."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the data set."""
        ...

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What is not in the set; see `PhotoSet`."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the data set; it stands with "train"."""
        ...

    def __len__(self) -> int:
        """The number of photos."""
        ...

    def rows(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Pixels and labels of some photos."""
        ...

    def evidence(self) -> tuple[Tensor, Tensor]:
        """Pixels and labels that are others where those of any photo are."""
        ...


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of one split, in memory.

    Attributes:
        pixels: uint8 (N, 3, S, S), red, green and blue.
        labels: int64 (N,), indices into `classes`.
        photos: N descriptions, in the same order.
        classes: The classes of the data set.
        skipped: What is not in the set. All sets of a data set together name each skipped file
            once; what its list skipped before a split was known stands with "train".
        notes: What the user should know of the data set; it stands with "train".
    """

    pixels: Tensor
    labels: Tensor
    photos: tuple[Photo, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def check(self) -> PhotoSet:
        """Returns itself; asserts that pixels, labels and descriptions fit together."""
        num_photos = len(self.photos)
        assert self.pixels.dtype == torch.uint8, self.pixels.dtype
        assert self.pixels.shape[:2] == (num_photos, 3), self.pixels.shape
        assert self.pixels.shape[2] == self.pixels.shape[3], self.pixels.shape
        assert self.labels.tolist() == [photo.label for photo in self.photos]
        return self

    def __len__(self) -> int:
        return len(self.photos)

    def __str__(self) -> str:
        found = describe_labels((photo.label for photo in self.photos), self.classes)
        return f"{found}, {self.pixels.shape[-1]} pixels wide; {describe_skipped(self.skipped)}"

    def rows(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Pixels and labels of some photos."""
        return self.pixels[rows], self.labels[rows]

    def evidence(self) -> tuple[Tensor, Tensor]:
        """Those of all."""
        return self.pixels, self.labels
