"""Captions as numbers of words, and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

END = 0
"""The symbol before the first word of a caption and after its last."""

UNKNOWN = 1
"""The symbol of a word that is too rare, or was never seen."""

NUM_SPECIAL = 2
"""Symbols that are no words."""

UNKNOWN_WORD = "<unknown>"
"""How that symbol is written."""

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words_of(caption: str) -> list[str]:
    """Returns the words of a caption in lower case, without punctuation.

    Example:
        >>> words_of("A dog's well-known trick , again .")
        ['a', "dog's", 'well-known', 'trick', 'again']
    """
    return WORD.findall(caption.lower())


@dataclass(frozen=True)
class Vocabulary:
    """The words that a network has symbols for, from number 2 on.

    Example:
        >>> vocabulary = Vocabulary.of(["A dog runs .", "A dog sits ."], least_count=2)
        >>> vocabulary.words, vocabulary.encoded("A dog flies .").tolist()
        (('a', 'dog'), [2, 3, 1])
        >>> vocabulary.decoded([2, 3, 1])
        'a dog <unknown>'
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, captions: Iterable[str], least_count: int = 1) -> Vocabulary:
        """The words that occur so often in captions or oftener, the most frequent first."""
        counts = Counter(word for caption in captions for word in words_of(caption))
        kept = sorted((-count, word) for word, count in counts.items() if count >= least_count)
        return cls(tuple(word for _, word in kept))

    def __len__(self) -> int:
        return NUM_SPECIAL + len(self.words)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The symbol of each word."""
        return {word: number for number, word in enumerate(self.words, NUM_SPECIAL)}

    def encoded(self, caption: str) -> Tensor:
        """Returns the symbols of the words of a caption."""
        return torch.tensor([self.numbers.get(word, UNKNOWN) for word in words_of(caption)])

    def decoded(self, symbols: Sequence[int]) -> str:
        """Returns the words that symbols stand for."""
        return " ".join(
            UNKNOWN_WORD if symbol == UNKNOWN else self.words[symbol - NUM_SPECIAL]
            for symbol in symbols
        )
