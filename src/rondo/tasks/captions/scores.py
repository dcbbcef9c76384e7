"""How near captions are to what people wrote: BLEU, by sacrebleu, and what simple answers get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor

from rondo.extras import how_to_install
from rondo.tasks.captions.task import Told
from rondo.tasks.captions.vocabulary import words_of

MOST_ORDER = 4
"""The longest n-grams that are compared."""

NUM_CANDIDATES = 30
"""So many typical captions are tried as the one that fits most."""


@dataclass(frozen=True)
class Bleu:
    """BLEU of captions against those of people, in %.

    Args:
        orders: BLEU-1 to BLEU-4: n-grams up to so many words.
        exact: The share of the captions that are word for word one of people's, in %.
    """

    orders: tuple[float, ...]
    exact: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        names = {f"bleu_{n}": value for n, value in enumerate(self.orders, 1)}
        return {**names, "exact": self.exact}


def bleu(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Bleu:
    """Returns the BLEU of captions: of the whole collection, with brevity penalty.

    Words are compared in lower case and without punctuation. Papineni et al., "BLEU: a method for
    automatic evaluation of machine translation", 2002.

    Args:
        answers: A caption for each picture.
        references: The captions of people for each; their number may differ.

    Raises:
        ModuleNotFoundError: Where sacrebleu is not installed.

    Example:
        >>> found = bleu(["a dog runs"], [["A dog runs .", "A dog is running ."]])
        >>> found.orders[0], found.exact
        (100.0, 100.0)
    """
    plain, given = [_plain(answer) for answer in answers], [_plained(item) for item in references]
    orders = tuple(_bleu_of_order(n, plain, given) for n in range(1, MOST_ORDER + 1))
    same = sum(answer in texts for answer, texts in zip(plain, given, strict=True))
    return Bleu(orders, 100 * same / len(plain))


def most_typical(told: Sequence[Told]) -> str:
    """Returns the caption of training pictures that fits them best if it is said of all.

    Of those whose length is nearly the median and whose pairs of words are the most frequent, the
    one with the highest BLEU-4 against the captions of all these pictures.
    """
    texts = [_plain(text) for item in told for text in item.captions]
    pairs = Counter(pair for text in texts for pair in _pairs(text))
    usual = median(len(text.split()) for text in texts)
    near = sorted({text for text in texts if abs(len(text.split()) - usual) <= 2})
    near.sort(key=lambda text: -sum(pairs[pair] for pair in _pairs(text)) / len(_pairs(text)))
    given = [_plained(item.captions) for item in told]
    return max(
        near[:NUM_CANDIDATES],
        key=lambda text: _bleu_of_order(MOST_ORDER, [text] * len(given), given),
    )


def nearest_captions(told: Sequence[Told], among: Sequence[Told]) -> list[str]:
    """Returns for each picture the first caption of the training picture most like it."""
    known, asked = (
        torch.stack([item.seen.float().flatten() for item in some]) for some in (among, told)
    )
    mean, deviation = known.mean(0), known.std(0).clamp_min(1e-6)
    distances: Tensor = torch.cdist((asked - mean) / deviation, (known - mean) / deviation)
    return [among[row].captions[0] for row in distances.argmin(1).tolist()]


def _pairs(text: str) -> list[tuple[str, str]]:
    return list(pairwise(["", *text.split(), ""]))


def _plain(caption: str) -> str:
    return " ".join(words_of(caption))


def _plained(captions: Sequence[str]) -> list[str]:
    return [_plain(text) for text in captions]


def _bleu_of_order(order: int, plain: Sequence[str], given: Sequence[Sequence[str]]) -> float:
    """BLEU with n-grams up to so many words, of plain captions."""
    most = max(map(len, given))
    streams = [[texts[n] if n < len(texts) else None for texts in given] for n in range(most)]
    metric = sacrebleu_metrics().BLEU(max_ngram_order=order, tokenize="none")
    return round(float(metric.corpus_score(list(plain), streams).score), 10)


def sacrebleu_metrics() -> Any:
    """Returns sacrebleu's module of metrics.

    Raises:
        ModuleNotFoundError: Where sacrebleu is not installed.
    """
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"captions are measured by sacrebleu; {how_to_install('captions')}",
            name="sacrebleu",
        ) from error
    return metrics
