"""Ragged sequences in batches: like lengths together, padded, for a `DataLoader` of torch's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler

from rondo.cells.cell import check_share, check_size
from rondo.data.seeds import generator_for


class LengthBuckets(Sampler[list[int]]):
    """Batches of sequences of like lengths, in an order of their own in each epoch.

    A bucket takes the longest sequence that is left, of L steps, and all of at least
    (1 - `max_padding`) L. In each epoch every bucket is shuffled and cut into batches, and all
    batches are shuffled. So every sequence is in exactly one batch, at most `max_padding` of the
    steps of any batch are padding, and the batches depend on the seed and the epoch alone. The last
    batch of a bucket may be small.

    Args:
        lengths: The steps of each sequence of the data set, in its order.
        batch_size: The sequences of a batch, at most.
        max_padding: The largest share of padding in a batch, 0 (equal lengths alone) or more and
            less than 1. A smaller one makes more buckets, so more small batches.
        seed: What the shuffling depends on, beside the epoch.
        shuffle: Whether to shuffle; if not, the longest come first, always the same.

    Raises:
        ValueError: Where a length is negative or an option out of its range.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader
        >>> from rondo.training import LengthBuckets, pad_batch
        >>> data = [torch.randn(length, 3) for length in (9, 2, 10, 2, 8)]
        >>> buckets = LengthBuckets([len(x) for x in data], batch_size=2)
        >>> loader = DataLoader(data, batch_sampler=buckets, collate_fn=pad_batch)
        >>> for epoch in range(2):
        ...     buckets.set_epoch(epoch)
        ...     for x, lengths in loader:  # x (B, T, 3)
        ...         pass
        >>> list(LengthBuckets([9, 2, 10, 2, 8], batch_size=2, shuffle=False))
        [[2, 0], [4], [1, 3]]
    """

    def __init__(
        self,
        lengths: Sequence[int] | Tensor,
        batch_size: int,
        *,
        max_padding: float = 0.2,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        check_size("batch_size", batch_size)
        check_share("max_padding", max_padding)
        self.lengths = torch.as_tensor(lengths, dtype=torch.int64)
        if self.lengths.ndim != 1 or (self.lengths < 0).any():
            raise ValueError(
                "lengths must be one whole number of at least 0 for each sequence, got "
                f"{self.lengths.tolist()}"
            )
        self.batch_size = batch_size
        self.max_padding = max_padding
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self._buckets = self._made_buckets()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, from 0, the next batches are of; without it each has the same order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(bucket) // self.batch_size) for bucket in self._buckets)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            yield batch.tolist()

    @property
    def padding_share(self) -> float:
        """The share of padding in the batches of this epoch, of all their steps."""
        batches = [self.lengths[batch] for batch in self._batches()]
        num_padded = sum(len(batch) * int(batch.max()) for batch in batches)
        return 1 - int(self.lengths.sum()) / num_padded if num_padded else 0.0

    def _made_buckets(self) -> list[Tensor]:
        """The sequences of each bucket, the longest first."""
        in_order, order = self.lengths.sort(descending=True, stable=True)
        starts, least = [], float("inf")
        for place, length in enumerate(in_order.tolist()):
            if length < least:
                starts.append(place)
                least = (1 - self.max_padding) * length
        return list(order.tensor_split(starts))[1:]

    def _batches(self) -> list[Tensor]:
        if not self.shuffle:
            return [batch for bucket in self._buckets for batch in bucket.split(self.batch_size)]
        generator = generator_for("buckets", self.seed, self.epoch)
        batches: list[Tensor] = []
        for bucket in self._buckets:
            order = torch.randperm(len(bucket), generator=generator)
            batches += bucket[order].split(self.batch_size)
        order = torch.randperm(len(batches), generator=generator)
        return [batches[place] for place in order.tolist()]


def pad_batch(samples: Sequence[Any], *, batch_first: bool = True) -> tuple[Tensor, ...]:
    """Make one batch of ragged samples: sequences padded with zeros, then their lengths.

    Args:
        samples: Sequences (T, ...), or tuples of a sequence and what belongs to it: another
            sequence of as many steps, such as targets, or one number, such as a class.
        batch_first: Whether to give (B, T, ...), rather than (T, B, ...).

    Returns:
        The sequences (B, T, ...), what belongs to them, padded (B, T, ...) or (B,), and the lengths
        (B,).

    Raises:
        ValueError: Where there is no sample, or a sample's sequences differ in their steps.
        TypeError: Where a sample is none of these.

    Example:
        >>> import torch
        >>> from rondo.training import pad_batch
        >>> x, labels, lengths = pad_batch([(torch.ones(2, 3), 0), (torch.ones(4, 3), 1)])
        >>> x.shape, labels, lengths
        (torch.Size([2, 4, 3]), tensor([0, 1]), tensor([2, 4]))
    """
    if not samples:
        raise ValueError("a batch needs at least one sample, got none")
    parts = [sample if isinstance(sample, tuple) else (sample,) for sample in samples]
    lengths = [_length(sample[0]) for sample in parts]
    batch = []
    for number, values in enumerate(zip(*parts, strict=True)):
        tensors = [torch.as_tensor(value) for value in values]
        if tensors[0].ndim == 0:
            batch.append(torch.stack(tensors))
            continue
        _check_steps(number, tensors, lengths)
        batch.append(pad_sequence(tensors, batch_first=batch_first))
    return (*batch, torch.tensor(lengths))


def _length(sequence: Any) -> int:
    if not isinstance(sequence, Tensor) or sequence.ndim == 0:
        got = "a number" if isinstance(sequence, Tensor) else type(sequence).__name__
        raise TypeError(
            f"a sample must be a sequence (T, ...), or a tuple that begins with one, got {got}"
        )
    return len(sequence)


def _check_steps(number: int, tensors: list[Tensor], lengths: list[int]) -> None:
    for tensor, length in zip(tensors, lengths, strict=True):
        if len(tensor) != length:
            raise ValueError(
                f"part {number} of a sample has {len(tensor)} steps, its sequence has {length}; "
                "where they are not step by step the same, pad them with a collate of your own"
            )
