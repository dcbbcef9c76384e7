"""Beam search over a network for a whole batch beside that of one item: `plain_decoding`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import plain_decoding as plain
from rondo.models.beam_search import Found, beam_search
from rondo.models.likeliest import likeliest
from rondo.models.multimodal_rnn import MultimodalRNN

# ---- the greatest scores ----


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("size", "width"), [(1, 1), (5, 1), (7, 3), (40, 8), (6, 6), (4, 9)])
def test_of_equal_scores_the_first_are_taken(size: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 3, (6, size), generator=generator).double()
    scores[scores == -2] = -math.inf
    expected = scores.sort(dim=1, descending=True, stable=True)
    values, places = likeliest(scores, width)
    assert torch.equal(values, expected.values[:, :width])
    assert torch.equal(places, expected.indices[:, :width])


# ---- sequences of a network ----


class Chains:
    """Networks whose next symbol depends on the last two, by a table for each item.

    Args:
        tables: (B, K, K, K).
    """

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables
        self.num_rows: list[int] = []

    def __call__(self, symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
        first = torch.arange(len(self.tables)), torch.zeros_like(symbols)
        items, before = first if state is None else state
        self.num_rows.append(len(symbols))
        return self.tables[items, before, symbols], (items, symbols)


def tables_of(num_items: int, num_symbols: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(num_items, *[num_symbols] * 3, generator=generator)


def alone(tables: Tensor, **options: Any) -> list[list[Found]]:
    """What is found item by item."""
    return [plain.beam_search(Chains(table[None]), **options) for table in tables]


def check_found(found: list[list[Found]], expected: list[list[Found]], error: float = 1e-5) -> None:
    """The same sequences in the same order, with the same scores but for rounding."""
    for item, wanted in zip(found, expected, strict=True):
        assert [one.symbols for one in item] == [one.symbols for one in wanted]
        for one, other in zip(item, wanted, strict=True):
            assert one.log_probability == pytest.approx(other.log_probability, abs=error)
            assert one.score == pytest.approx(other.score, abs=error)


@pytest.mark.parametrize("width", [1, 2, 5, 40])
@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("never", [(), (2, 4)])
def test_items_are_searched_together_as_one_by_one(
    width: int, power: float, never: tuple[int, ...]
) -> None:
    tables = tables_of(9, 6)
    tables[0, :, :, 0] += 8.0  # ends at once
    tables[1, :, :, 0] -= 8.0  # goes on to the last symbol
    options = {"end": 0, "width": width, "length_power": power, "never": never, "most_symbols": 7}
    check_found(beam_search(Chains(tables), 9, **options), alone(tables, **options))
    check_found(beam_search(Chains(tables[:1]), 1, **options), alone(tables[:1], **options))


@pytest.mark.parametrize("width", [1, 3, 10])
def test_of_equal_continuations_the_first_are_kept(width: int) -> None:
    tables = torch.zeros(3, 4, 4, 4)
    options = {"end": 0, "width": width, "most_symbols": 4}
    check_found(beam_search(Chains(tables), 3, **options), alone(tables, **options))


def test_items_that_have_ended_take_no_further_steps() -> None:
    tables = torch.full((3, 4, 4, 4), -20.0)
    tables[:2, 0, 0, 0] = 20.0  # items 0 and 1 end at once, item 2 goes on
    tables[2, :, :, 0] = -40.0
    chains = Chains(tables)
    found = beam_search(chains, 3, end=0, width=1, most_symbols=5)
    assert [len(item[0].symbols) for item in found] == [0, 0, 5]
    assert chains.num_rows == [3, 1, 1, 1, 1, 1]
    chains = Chains(tables[:2])
    beam_search(chains, 2, end=0, width=1, most_symbols=5)
    assert chains.num_rows == [2]


def test_an_item_that_cannot_end_has_no_sequence() -> None:
    tables = tables_of(2, 4)
    tables[0, :, :, 0] = -math.inf
    found = beam_search(Chains(tables), 2, end=0, width=3, most_symbols=4)
    assert found[0] == []
    check_found(found[1:], alone(tables[1:], end=0, width=3, most_symbols=4))
    assert beam_search(Chains(tables[:0]), 0, end=0) == []


@pytest.mark.parametrize(
    ("value", "told"), [(math.nan, "nan to nan"), (math.inf, "-?[0-9.]+ to inf")]
)
def test_a_network_without_probabilities_is_refused(value: float, told: str) -> None:
    tables = tables_of(3, 4)
    tables[1, 0, 1:] = value if value != math.inf else tables[1, 0, 1:]
    tables[1, 0, 1:, 2] = value
    message = rf"below inf, not all of them -inf, got {told} for item 1 after 1 symbols; look for"
    with pytest.raises(ValueError, match=message):
        beam_search(Chains(tables), 3, end=0, width=4)


@pytest.mark.parametrize(("shape", "cell"), [((7,), "gru"), ((3, 64, 64), "lstm")])
def test_captions_of_pictures_together_are_those_of_each(shape: tuple[int, ...], cell: str) -> None:
    torch.manual_seed(0)
    model = MultimodalRNN(30, shape, cell=cell, hidden_size=8, embedding_size=6).eval()
    for weight in model.parameters():
        weight.data *= 2
    pictures = torch.randn(6, *shape)
    options = {"end": 0, "width": 4, "most_symbols": 8, "never": (1,)}
    expected = []
    for picture in pictures:

        def step(symbols: Tensor, state: Any, seen: Tensor = picture[None]) -> tuple[Tensor, Any]:
            seen = seen.expand(len(symbols), *shape)
            logits, after = model(symbols[:, None], state, pictures=seen)
            return logits[:, -1], after

        expected.append(plain.beam_search(step, **options))
    with torch.no_grad():
        of_pictures = model.seen(pictures)

    def together(symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
        before, seen = (None, of_pictures) if state is None else state
        logits, after = model.next_words(symbols[:, None], before, seen=seen)
        return logits[:, -1], (after, seen)

    check_found(beam_search(together, 6, **options), expected, error=1e-4)  # of float32
    assert len({item[0].symbols for item in expected}) > 1
