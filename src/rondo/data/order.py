"""Which examples each step sees: a function of the seed and the step alone.

A run that was interrupted can therefore go on with the steps that are left, and sees the same
examples as one that was not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rondo.data.seeds import generator_for

NUM_KEPT = 2
"""Epochs whose order is kept in memory: a step may lie in two of them."""


class Order:
    """New orders of the examples, one for each epoch, laid end to end and cut into steps.

    Step t takes the places t B to (t + 1) B - 1 for batches of B, or of all examples where these
    are fewer. So every step has as many, and after n steps each example was seen as often as any
    other, or once more.

    Args:
        num_examples: How many examples there are.

    Example:
        >>> from rondo.data.order import Order
        >>> order = Order(5)
        >>> sorted([*order.rows(seed=0, step=0, batch_size=3), *order.rows(0, 1, 3)][:5])
        [0, 1, 2, 3, 4]
    """

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples
        self._kept: dict[tuple[int, int], list[int]] = {}

    def rows(self, seed: int, step: int, batch_size: int) -> list[int]:
        """Returns the numbers of the examples of a step, counted from 0."""
        size = min(batch_size, self.num_examples)
        rows: list[int] = []
        while len(rows) < size:
            epoch, place = divmod(step * size + len(rows), self.num_examples)
            rows += self._of_epoch(seed, epoch)[place : place + size - len(rows)]
        return rows

    def _of_epoch(self, seed: int, epoch: int) -> list[int]:
        if (seed, epoch) not in self._kept:
            while len(self._kept) >= NUM_KEPT:
                del self._kept[next(iter(self._kept))]
            generator = generator_for("order", seed, epoch)
            self._kept[seed, epoch] = torch.randperm(
                self.num_examples, generator=generator
            ).tolist()
        return self._kept[seed, epoch]


def spaced(num_photos: int, most: int) -> Tensor:
    """Returns the rows of so many photos at most, evenly spaced from the first on."""
    return (torch.arange(min(num_photos, most)) * num_photos) // max(1, min(num_photos, most))
