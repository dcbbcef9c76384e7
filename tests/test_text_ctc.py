"""CTC: the loss and every way of decoding beside all paths written out."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from plain_decoding import Symbols, merged
from rondo.models.ctc import (
    beam_search,
    best_of,
    ctc_distances,
    greedy,
    log_probabilities,
    padded,
    steps_needed,
)


def all_texts(logits: Tensor) -> dict[Symbols, float]:
    """The probability of every text, summed over all paths (T, K + 1)."""
    probabilities = logits.double().softmax(-1)
    found: dict[Symbols, float] = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        share = math.prod(float(probabilities[t, k]) for t, k in enumerate(path))
        found[merged(path)] = found.get(merged(path), 0.0) + share
    return found


def random_logits(*sizes: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ()),
        ((0, 0), ()),
        ((1, 1, 1), (1,)),
        ((1, 0, 1), (1, 1)),
        ((0, 1, 1, 2, 0, 2, 2, 1), (1, 2, 2, 1)),
    ],
)
def test_a_path_reads(path: Symbols, text: Symbols) -> None:
    assert merged(path) == text
    assert greedy(torch.eye(3)[list(path)][None]) == [text]


@pytest.mark.parametrize(
    ("text", "steps"), [((), 0), ((1,), 1), ((1, 2), 2), ((1, 1), 3), ((2, 2, 2, 1), 6)]
)
def test_the_steps_that_a_text_needs(text: Symbols, steps: int) -> None:
    assert steps_needed(text) == steps
    logits = torch.zeros(1, steps + 1, 3)
    targets = torch.tensor(text, dtype=torch.long)[None]
    enough, too_few = (
        float(ctc_distances(logits[:, :count], targets)) if count > 0 else math.inf
        for count in (max(steps, 1), steps - 1)
    )
    assert enough < math.inf
    assert steps < 2 or too_few == math.inf


def test_the_loss_is_that_of_all_paths() -> None:
    logits, steps = random_logits(3, 5, 3), torch.tensor([5, 3, 4])
    targets = torch.tensor([[1, 2, 1], [2, 0, 0], [1, 1, 0]])
    found = ctc_distances(logits, targets, steps)
    texts = [(1, 2, 1), (2,), (1, 1)]
    expected = [
        -math.log(all_texts(row[:count])[text])
        for row, count, text in zip(logits, steps.tolist(), texts, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_an_empty_text_is_all_blanks() -> None:
    logits = random_logits(1, 4, 3)
    expected = -float(logits[0].log_softmax(-1)[:, 0].sum())
    assert float(ctc_distances(logits, torch.zeros(1, 2).long())) == pytest.approx(expected)


def test_what_lies_beyond_the_steps_does_not_matter() -> None:
    logits, targets, steps = random_logits(2, 6, 4), torch.tensor([[1, 3], [2, 0]]), [4, 2]
    other = logits.clone()
    for row, count in enumerate(steps):
        other[row, count:] = 7.0 * row
    wanted = ctc_distances(logits, targets, torch.tensor(steps))
    assert torch.equal(ctc_distances(other, targets, torch.tensor(steps)), wanted)
    assert greedy(other, torch.tensor(steps)) == greedy(logits, torch.tensor(steps))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("num_steps", "num_classes"), [(1, 2), (4, 2), (5, 3), (4, 4)])
def test_a_wide_beam_finds_every_text_with_its_probability(
    num_steps: int, num_classes: int, seed: int
) -> None:
    logits = random_logits(num_steps, num_classes, seed=seed)
    expected = all_texts(logits)
    (found,) = beam_search(logits[None], width=1000)
    assert {symbols: math.exp(log) for symbols, log in found} == pytest.approx(expected)
    assert found[0][0] == max(expected, key=lambda text: expected[text])
    logs = [log for _, log in found]
    assert logs == sorted(logs, reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_a_narrow_beam_never_promises_more_than_there_is(seed: int) -> None:
    logits = random_logits(5, 4, seed=seed)
    expected = all_texts(logits)
    (found,) = beam_search(logits[None], width=3)
    assert len(found) == 3
    assert all(math.exp(log) <= expected[symbols] * (1 + 1e-9) for symbols, log in found)


def test_the_likeliest_path_may_read_another_text_than_the_likeliest() -> None:
    logits = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    assert greedy(logits) == [()]
    assert beam_search(logits, width=2)[0][0] == ((1,), pytest.approx(math.log(0.64)))


@pytest.mark.parametrize("seed", range(4))
def test_the_best_word_of_a_lexicon(seed: int) -> None:
    logits = random_logits(5, 4, seed=seed)
    lexicon = [(1, 2), (3,), (2, 2, 1), (1, 1, 1, 1), (1, 3, 2), ()]
    expected = all_texts(logits)
    shares = [expected.get(word, 0.0) for word in lexicon]
    index, log = best_of(logits, lexicon)
    assert index == shares.index(max(shares))
    assert math.exp(log) == pytest.approx(max(shares))
    logs = log_probabilities(logits, lexicon)
    assert logs.exp().tolist() == pytest.approx(shares, abs=1e-7)


def test_words_that_are_all_too_long_have_no_best() -> None:
    assert best_of(torch.zeros(3, 2), [(1, 1, 1)]) == (-1, -math.inf)
    assert best_of(torch.zeros(3, 2), []) == (-1, -math.inf)


def test_a_lexicon_of_more_words_than_are_scored_together(monkeypatch: pytest.MonkeyPatch) -> None:
    words = list(itertools.product((1, 2, 3), repeat=2))
    logits = random_logits(4, 4)
    whole = log_probabilities(logits, words)
    monkeypatch.setattr("rondo.models.ctc.SCORED_TOGETHER", 4)
    torch.testing.assert_close(log_probabilities(logits, words), whole)


def test_texts_are_padded_to_the_longest() -> None:
    assert padded([]).shape == (0, 0)
    assert padded([(), ()]).shape == (2, 0)
    logits, texts = random_logits(3, 5, 3), [(2, 1), (), (1,)]
    alone = torch.cat(
        [log_probabilities(row, [text]) for row, text in zip(logits, texts, strict=True)]
    )
    torch.testing.assert_close(-ctc_distances(logits, padded(texts)), alone)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            torch.tensor([1, 2]),
            r"targets must be \(B, L\) with the B = 1 .*, got \(2,\)",
        ),
        (torch.tensor([[3]]), "targets must be numbers from 1 to 2, .* got 3 to 3"),
        (torch.tensor([[-1]]), "targets must be numbers from 1 to 2, .* got -1 to -1"),
        (torch.tensor([[0, 1]]), "zeros, the blank, after the end of a text only"),
        (torch.tensor([[1, 0, 2]]), "zeros, the blank, after the end of a text only"),
    ],
)
def test_wrong_targets_are_refused(targets: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ctc_distances(torch.zeros(1, 4, 3), targets)


def test_wrong_logits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits must be \(B, T, K \+ 1\) .* got \(4, 3\)"):
        greedy(torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"logits must be \(B, T, K \+ 1\) .* got \(2, 4, 1\)"):
        beam_search(torch.zeros(2, 4, 1))
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        beam_search(torch.zeros(1, 4, 3), width=0)
