"""What a network is trained on at once, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, with what should be answered.

    Args:
        inputs: (B, T, I), or symbols (B, T).
        targets: For the distance: classes (B, T) or (B,), vectors (B, T, O) or (B, O).
        lengths: (B,) the steps of each sequence, or None where all have T.
        allowed: (B, T, O) which outputs are right, where several may be; else None.
        continues: Whether these are the next steps of the rows of the batch before.
        pictures: (B, ...) what each sequence tells of, where it tells of something; else None.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    allowed: Tensor | None = None
    continues: bool = False
    pictures: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device, but for the lengths, which stay on the CPU."""
        moved = {
            name: value.to(device)
            for name in ("inputs", "targets", "allowed", "pictures")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)


class Source(Protocol):
    """Where the sequences of a task come from."""

    def num_train(self) -> int | None:
        """How many training sequences there are; None where every one is new."""
        ...

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The batch of a step, counted from 0: the same for the same arguments."""
        ...

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """What the network is checked on after a step."""
        ...

    def test_batches(self) -> Iterator[Batch]:
        """What it is tested on in the end: the same for every seed, and never trained on."""
        ...
