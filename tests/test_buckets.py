"""Ragged sequences in batches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from rondo.training import LengthBuckets, pad_batch


def share_of_padding(lengths: Sequence[int]) -> float:
    return 1 - sum(lengths) / (len(lengths) * max(lengths)) if max(lengths) else 0.0


@given(
    lengths=st.lists(st.integers(0, 300), max_size=80),
    batch_size=st.integers(1, 9),
    max_padding=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
def test_every_sequence_once_and_little_padding(
    lengths: list[int], batch_size: int, max_padding: float, epoch: int, shuffle: bool
) -> None:
    buckets = LengthBuckets(lengths, batch_size, max_padding=max_padding, shuffle=shuffle)
    buckets.set_epoch(epoch)
    batches = list(buckets)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(buckets) == len(batches)
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    of_batches = [[lengths[row] for row in batch] for batch in batches]
    assert all(share_of_padding(batch) <= max_padding + 1e-12 for batch in of_batches)
    padded = sum(len(batch) * max(batch) for batch in of_batches)
    assert buckets.padding_share == pytest.approx(1 - sum(lengths) / padded if padded else 0)


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    lengths = torch.randint(1, 50, (200,))

    def batches(seed: int, epoch: int) -> list[list[int]]:
        torch.manual_seed(seed + epoch)  # what else was drawn does not matter
        buckets = LengthBuckets(lengths, 8, seed=seed)
        buckets.set_epoch(epoch)
        return list(buckets)

    assert batches(0, 0) == batches(0, 0)
    assert batches(0, 0) != batches(0, 1) != batches(1, 1)


def test_both_the_batches_and_their_rows_are_shuffled() -> None:
    buckets = LengthBuckets([10] * 32 + [20] * 32, 8)
    batches = list(buckets)
    longest = [batch[0] >= 32 for batch in batches]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)
    assert all(batch != sorted(batch) for batch in batches)


def test_without_shuffling_the_longest_come_first() -> None:
    buckets = LengthBuckets([1, 100, 90, 2, 50], 2, shuffle=False)
    assert list(buckets) == [[1, 2], [4], [3], [0]]


def test_no_sequences_make_no_batch() -> None:
    buckets = LengthBuckets([], 4)
    assert (list(buckets), len(buckets), buckets.padding_share) == ([], 0, 0.0)


def test_feeds_a_loader_of_torch() -> None:
    data = [(torch.full((n, 2), float(n)), torch.arange(n)) for n in (3, 9, 2, 9, 10)]
    buckets = LengthBuckets([len(x) for x, _ in data], 2)
    collate = partial(pad_batch, batch_first=False)
    seen = []
    for x, targets, lengths in DataLoader(data, batch_sampler=buckets, collate_fn=collate):
        assert x.shape == (int(lengths.max()), len(lengths), 2)
        assert targets.shape == x.shape[:2]
        for row, length in enumerate(lengths.tolist()):
            assert (x[:length, row] == length).all()
            assert (x[length:, row] == 0).all()
            assert torch.equal(targets[:length, row], torch.arange(length))
        seen += lengths.tolist()
    assert sorted(seen) == [2, 3, 9, 9, 10]


def test_pads_sequences_alone_and_with_a_number() -> None:
    x, lengths = pad_batch([torch.ones(0, 3), torch.ones(2, 3).double()[:1].float()])
    assert x.tolist() == [[[0, 0, 0]], [[1, 1, 1]]]
    assert lengths.tolist() == [0, 1]
    x, y, weight, lengths = pad_batch(
        [(torch.ones(2), 1, 0.5), (torch.ones(1), torch.tensor(3), 1.0)]
    )
    assert x.tolist() == [[1, 1], [1, 0]]
    assert (y.tolist(), weight.tolist(), lengths.tolist()) == ([1, 3], [0.5, 1.0], [2, 1])


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ([3, -1], {}, "at least 0 for each sequence, got [3, -1]"),
        ([[3]], {}, "one whole number of at least 0 for each sequence, got [[3]]"),
        ([3], {"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ([3], {"max_padding": 1}, "max_padding must be at least 0 and less than 1, got 1"),
    ],
)
def test_refuses_wrong_buckets(lengths: list[int], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LengthBuckets(lengths, **{"batch_size": 2, **options})


def test_refuses_samples_that_make_no_batch() -> None:
    with pytest.raises(ValueError, match="at least one sample, got none"):
        pad_batch([])
    with pytest.raises(ValueError, match="part 1 of a sample has 4 steps, its sequence has 3"):
        pad_batch([(torch.ones(3, 2), torch.ones(4))])
    with pytest.raises(TypeError, match=r"must be a sequence \(T, ...\), .* got list"):
        pad_batch([[1, 2]])
    with pytest.raises(TypeError, match="got a number"):
        pad_batch([torch.tensor(1.0)])
