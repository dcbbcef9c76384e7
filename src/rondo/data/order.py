"""The training photos as batches that depend on the seed, the epoch and the batch number alone.

A run that was interrupted in the middle of an epoch can therefore go on with the batches that are
left, and sees the same numbers as one that was not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rondo.data.seeds import generator_for


class EpochBatches:
    """The batches of one epoch, from one of them on; the last, incomplete one is left out.

    Args:
        pixels: The training photos.
        labels: Their classes.
        batch_size: Photos in a batch.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
        first_batch: Number of the first batch wanted, from 0.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int,
        epoch: int,
        first_batch: int = 0,
    ) -> None:
        self.pixels, self.labels = pixels, labels
        self.batch_size = batch_size
        self.epoch = epoch
        self.first_batch = first_batch
        self.order = torch.randperm(len(labels), generator=generator_for("order", seed, epoch))

    def __len__(self) -> int:
        return num_batches(len(self.order), self.batch_size) - self.first_batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in range(self.first_batch, self.first_batch + len(self)):
            rows = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield self.pixels[rows], self.labels[rows]


def num_batches(num_photos: int, batch_size: int) -> int:
    """Returns the number of complete batches, or 1 where the photos do not fill one."""
    return max(1, num_photos // batch_size)


def spaced(num_photos: int, most: int) -> Tensor:
    """Returns the rows of so many photos at most, evenly spaced from the first on."""
    return (torch.arange(min(num_photos, most)) * num_photos) // max(1, min(num_photos, most))
