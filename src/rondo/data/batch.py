"""What a network is trained on at once, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

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
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in values.items()
            if isinstance(value, Tensor) and name != "lengths"
        }
        return replace(self, **moved)

    def rows(self, first: int, last: int) -> Batch:
        """The sequences from one to before another, as they lie: none is cut or padded anew.

        Example:
            >>> import torch
            >>> from rondo.data.batch import Batch
            >>> batch = Batch(torch.zeros(5, 7, 3), torch.arange(5), torch.tensor([7, 1, 2, 3, 4]))
            >>> part = batch.rows(3, 5)
            >>> part.inputs.shape, part.targets, part.lengths
            (torch.Size([2, 7, 3]), tensor([3, 4]), tensor([3, 4]))
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        cut: dict[str, Any] = {
            name: value[first:last] for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **cut)


@runtime_checkable
class HasTargets(Protocol):
    """A source that knows the targets of all its training sequences."""

    def training_targets(self) -> Tensor:
        """The targets of all training examples, or of all their steps, one after another."""
        ...


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
