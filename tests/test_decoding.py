"""Decoding of whole batches beside that of one item at a time: `plain_decoding`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import plain_decoding as plain
from rondo.models import ctc
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


# ---- CTC ----

KINDS = ("any", "few values", "all equal", "some impossible")
SIZES = [(1, 2, 3), (5, 2, 3), (12, 3, 4), (30, 3, 8), (30, 2, 5), (20, 5, 1), (25, 20, 8), (6, 4, 900)]
"""Steps, symbols and the width of the beam, which may be above the number of symbols, or texts."""


def logits_of(kind: str, num_rows: int, num_steps: int, num_symbols: int) -> Tensor:
    generator = torch.Generator().manual_seed(num_steps + num_symbols)
    logits = 3 * torch.randn(num_rows, num_steps, num_symbols + 1, generator=generator)
    if kind == "few values":
        return logits.round()
    if kind == "all equal":
        return torch.zeros_like(logits)
    if kind == "some impossible":
        logits[torch.rand(logits.shape, generator=generator) < 0.4] = -math.inf
        logits[..., 1][logits.amax(-1) == -math.inf] = 0.0
    return logits


def check_same(found: list[Any], expected: list[Any]) -> None:
    """The same texts in the same order, with the same logarithms but for rounding."""
    for row, wanted in zip(found, expected, strict=True):
        assert [text for text, _ in row] == [text for text, _ in wanted]
        assert [log for _, log in row] == pytest.approx([log for _, log in wanted], rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_steps", "num_symbols", "width"), SIZES)
def test_a_batch_is_read_as_row_by_row(
    num_steps: int, num_symbols: int, width: int, kind: str
) -> None:
    logits = logits_of(kind, 5, num_steps, num_symbols)
    steps = torch.tensor([num_steps, 0, max(1, num_steps // 2), num_steps, num_steps - 1])
    rows = [row[:count] for row, count in zip(logits, steps, strict=True)]
    expected = [plain.ctc_beam_search(row, width) for row in rows]
    check_same(ctc.beam_search(logits, steps, width=width), expected)
    assert ctc.greedy(logits, steps) == [plain.greedy(row) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_read_alike_in_every_batch(kind: str) -> None:
    logits = logits_of(kind, 7, 20, 4)
    together = ctc.beam_search(logits, width=6)
    assert together == [ctc.beam_search(row[None], width=6)[0] for row in logits]
    assert together == ctc.beam_search(logits.transpose(0, 1).contiguous().transpose(0, 1), width=6)


def test_more_rows_than_are_searched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, steps = logits_of("any", 5, 9, 3), torch.tensor([9, 2, 0, 5, 7])
    whole = ctc.beam_search(logits, steps, width=3)
    monkeypatch.setattr(ctc, "MOST_CANDIDATES", 2 * 3 * 4)
    assert ctc.beam_search(logits, steps, width=3) == whole


def test_nothing_to_read() -> None:
    assert ctc.greedy(torch.zeros(0, 4, 3)) == ctc.beam_search(torch.zeros(0, 4, 3)) == []
    assert ctc.greedy(torch.zeros(2, 0, 3)) == [(), ()]
    assert ctc.beam_search(torch.zeros(2, 0, 3)) == [[((), 0.0)]] * 2


def test_blanks_alone_read_nothing() -> None:
    logits = torch.full((1, 30, 4), -math.inf)
    logits[..., ctc.BLANK] = 0.0
    assert ctc.greedy(logits) == [()]
    assert ctc.beam_search(logits) == [[((), 0.0)]]


@pytest.mark.parametrize(
    ("path", "text"), [((1, 1, 1), (1,)), ((1, 0, 1, 1), (1, 1)), ((2, 2, 0, 0, 2, 1), (2, 2, 1))]
)
def test_repeats(path: tuple[int, ...], text: tuple[int, ...]) -> None:
    certain = torch.full((1, len(path), 3), -math.inf)
    certain[0, range(len(path)), list(path)] = 0.0
    assert ctc.beam_search(certain) == [[(text, 0.0)]]
    assert ctc.greedy(certain) == [text]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_where_one_path_has_nearly_all(seed: int) -> None:
    logits = torch.randn(4, 30, 6, generator=torch.Generator().manual_seed(seed))
    paths = torch.randint(0, 6, (4, 30), generator=torch.Generator().manual_seed(seed))
    logits.scatter_add_(2, paths[:, :, None], torch.full((4, 30, 1), 30.0))
    found = ctc.beam_search(logits, width=1)
    assert [row[0][0] for row in found] == ctc.greedy(logits)


def test_a_beam_of_one_adds_paths_where_greedy_does_not() -> None:
    logits = torch.tensor([[[0.4, 0.6], [0.55, 0.45], [0.4, 0.6]]]).log()
    assert ctc.greedy(logits) == [(1, 1)]  # the path a - a
    assert [text for text, _ in ctc.beam_search(logits, width=1)[0]] == [(1,)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_steps_without_probabilities_are_refused(value: float) -> None:
    logits = torch.zeros(3, 4, 3)
    logits[1, 2, 1] = value
    with pytest.raises(ValueError, match=rf"not all of them -inf, got .* to {value:g} at step 2 of"):
        ctc.beam_search(logits)
    logits[1, 2] = -math.inf
    with pytest.raises(ValueError, match="got -inf to -inf at step 2 of row 1; look for what made"):
        ctc.beam_search(logits)
    found = ctc.beam_search(logits, torch.tensor([4, 2, 4]))  # beyond the steps of its row
    assert found[1] == ctc.beam_search(torch.zeros(1, 2, 3))[0]


def test_nan_counts_as_the_likeliest_on_the_likeliest_path() -> None:
    logits = torch.tensor([[[0.0, 1.0, math.nan], [5.0, 1.0, 1.0]]])
    assert ctc.greedy(logits) == [(2,)]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (torch.tensor([4]), r"steps must be \(B,\) with the B = 2 of the logits, got \(1,\)"),
        (torch.tensor([4, 5]), "steps must be from 0 to the T = 4 of the logits, got 4 to 5"),
        (torch.tensor([-1, 3]), "steps must be from 0 to the T = 4 of the logits, got -1 to 3"),
    ],
)
def test_wrong_numbers_of_steps_are_refused(steps: Tensor, message: str) -> None:
    for search in (ctc.greedy, ctc.beam_search):
        with pytest.raises(ValueError, match=message):
            search(torch.zeros(2, 4, 3), steps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_of_other_numbers(dtype: torch.dtype) -> None:
    logits = logits_of("any", 3, 8, 3).to(dtype).requires_grad_()
    expected = [plain.ctc_beam_search(row, 4) for row in logits.detach()]
    check_same(ctc.beam_search(logits, width=4), expected)
    assert ctc.greedy(logits) == [plain.greedy(row) for row in logits]


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


def check_found(
    found: list[list[Found]], expected: list[list[Found]], error: float = 1e-5
) -> None:
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
