"""The training photos as batches that depend on the seed, the epoch and the batch number alone.

A run that was interrupted in the middle of an epoch can therefore go on with the batches that are
left, and sees the same numbers as one that was not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rondo.tasks.photo import PhotoSet
from rondo.tasks.seeds import generator_for


class EpochBatches:
    """The batches of one epoch, from one of them on; the last, incomplete one is left out.

    Args:
        photos: The training photos.
        batch_size: Photos in a batch.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        first_batch: Number of the first batch wanted, from 0.
    """

    def __init__(
        self, photos: PhotoSet, batch_size: int, seed: int, epoch: int, first_batch: int = 0
    ) -> None:
        self.photos = photos
        self.batch_size = batch_size
        self.epoch = epoch
        self.first_batch = first_batch
        self.order = torch.randperm(
            len(photos.labels), generator=generator_for("order", seed, epoch)
        )

    def __len__(self) -> int:
        return num_batches(len(self.order), self.batch_size) - self.first_batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in range(self.first_batch, self.first_batch + len(self)):
            rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield self.photos.pixels[rows], self.photos.labels[rows]


def num_batches(num_photos: int, batch_size: int) -> int:
    """Returns the number of complete batches, or 1 where the photos do not fill one."""
    return max(1, num_photos // batch_size)
