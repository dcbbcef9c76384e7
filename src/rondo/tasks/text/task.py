"""Text: read the word in a picture, without cutting it into characters.

The network sees the picture as a sequence of columns and is trained with the CTC loss on pairs of
a picture and its text: nobody says where a character stands. The data are a folder with
`labels.csv` (`word_pictures`), or words that the program draws: then every training word is new.
Training pictures are distorted anew each time. The alphabet is that of the labels, of whatever
script; characters that occur in val or test alone have an output too, which nothing trains.

Shi, Bai & Yao, "An end-to-end trainable neural network for image-based sequence recognition",
2015. There is no criterion of success: the weights with the smallest loss in a check are kept.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.seeds import generator_for
from rondo.data.skipped import named_skipped
from rondo.data.sources import TEST_SEED, Collection, Example, Generated, together
from rondo.models.crnn import num_steps
from rondo.models.ctc import Symbols, ctc_distances, greedy
from rondo.tasks.text.definition import RECIPES, UNUSED
from rondo.tasks.text.distort import Distortion, distorted
from rondo.tasks.text.drawn import Typesetter
from rondo.tasks.text.show import show_word
from rondo.tasks.text.words import Word, WordSets, alphabet_of, check_width, composed, load_words
from rondo.training.task import Task

DRAWN_ALPHABET = string.digits + string.ascii_lowercase
"""The characters of drawn words, if not told: those of the paper's lexicons."""

LEAST_LENGTH, MOST_LENGTH = 3, 8
"""Characters of a drawn word, if not told."""

NUM_CHECKED, NUM_TESTED = 300, 1000
"""Drawn words in a check and in the test."""


def text(
    data: str | None = None,
    *,
    alphabet: str | None = None,
    known: str = "",
    width: int | None = None,
    length: int = MOST_LENGTH,
    fonts: str | None = None,
    split_seed: int = 0,
    distortion: float = 1.0,
) -> Task:
    """The task on the pictures of a folder, or on drawn words.

    Args:
        data: A folder with `labels.csv`, or None for drawn words.
        alphabet: The characters; None finds them from the labels.
        known: More characters that the network shall have outputs for, such as those of the run
            that it starts from.
        width: The width of all pictures in pixels, or None to keep their proportions.
        length: The most characters of a drawn word.
        fonts: A folder of fonts for drawn words, or None for those of the machine.
        split_seed: Chooses the held-out pictures where the labels name no split.
        distortion: How strongly training pictures are distorted: 1 as usual, 0 not at all.

    Raises:
        ValueError: Where the folder, the alphabet or a number cannot be used.
    """
    if distortion < 0:
        raise ValueError(f"the distortion must be 0 or more, but is {distortion}")
    alphabet = None if alphabet is None else composed(alphabet)
    _check_alphabet(alphabet)
    if data is None:
        return _drawn(alphabet or DRAWN_ALPHABET, known, width, length, fonts, distortion)
    sets = load_words(Path(data), seed=split_seed, width=width, alphabet=alphabet)
    every = [word for words in sets.splits.values() for word in words]
    symbols = alphabet_of([alphabet or alphabet_of(word.text for word in every), known])
    train, val, test = (
        [example_of(word, symbols) for word in sets.splits[name]]
        for name in ("train", "val", "test")
    )
    augment = partial(_distorted, strength=scaled(distortion)) if distortion else None
    notes = (f"{sets}; {len(symbols)} characters: {symbols}", *named_skipped(sets.skipped))
    task = _task(Collection(train, val, test, augment), symbols, "files", digest_of(every), notes)
    return replace(task, num_skipped=len(sets.skipped))


def text_words(
    data: str | None = None,
    *,
    alphabet: str | None = None,
    width: int | None = None,
    length: int = MOST_LENGTH,
    fonts: str | None = None,
    split_seed: int = 0,
    distortion: float = 1.0,
    **_others: str,
) -> WordSets:
    """Returns the words that the task with these arguments is checked and tested on, as pictures.

    Texts may have any characters, also such as the network has no outputs for. Of drawn words
    there is the test alone.
    """
    if data is not None:
        return load_words(Path(data), seed=split_seed, width=width)
    setter = _typesetter(alphabet or DRAWN_ALPHABET, fonts)
    generator = generator_for("test", TEST_SEED)
    words = _draw_words(NUM_TESTED, generator, setter, width, length, distortion)
    return WordSets({"test": words})


def shown_words(number: int, alphabet: str, length: int, fonts: str | None) -> list[Word]:
    """Returns drawn words to try, which no training, check or test draws."""
    setter, generator = _typesetter(alphabet, fonts), generator_for("shown words")
    return _draw_words(number, generator, setter, None, length, 1.0)


def encoded(text: str, symbols: str) -> Symbols:
    """Returns a text as numbers of symbols, from 1 on; all must be known."""
    return tuple(symbols.index(character) + 1 for character in text)


def decoded(numbers: Sequence[int], symbols: str) -> str:
    """Returns the text that numbers from 1 on stand for."""
    return "".join(symbols[number - 1] for number in numbers)


def example_of(word: Word, symbols: str) -> Example:
    """Returns a word as the network learns from it."""
    return Example(word.columns, torch.tensor(encoded(word.text, symbols)))


def digest_of(words: Iterable[Word]) -> str:
    """Returns 16 hexadecimal digits that change when a picture, a text or the order does."""
    digest = hashlib.blake2b(digest_size=8)
    for word in words:
        digest.update(f"{word.name}\0{word.text}\0".encode())
        digest.update(word.columns.numpy().tobytes())
    return digest.hexdigest()


def scaled(factor: float) -> Distortion:
    """Returns distortions so many times as strong as usual; shares are at most 1."""
    usual = Distortion()
    values = {field.name: factor * getattr(usual, field.name) for field in fields(usual)}
    return Distortion(
        **{name: min(value, 1.0) if "share" in name else value for name, value in values.items()}
    )


def _drawn(
    alphabet: str,
    known: str,
    width: int | None,
    length: int,
    fonts: str | None,
    distortion: float,
) -> Task:
    if length < 1:
        raise ValueError(f"the length must be 1 or more, but is {length}")
    check_width(width)
    if width is not None and 2 * length - 1 > int(num_steps(torch.tensor(width))):
        raise ValueError(
            f"words of {length} characters, which may all be the same, need a width of "
            f"{8 * length} pixels or more, but it is {width}"
        )
    setter = _typesetter(alphabet, fonts)
    symbols = alphabet_of([alphabet, known])

    def draw(batch_size: int, generator: torch.Generator) -> Batch:
        words = _draw_words(batch_size, generator, setter, width, length, distortion)
        return together([example_of(word, symbols) for word in words])

    notes = (f"drawing words of {alphabet} in {len(setter.fonts)} fonts",)
    source = Generated(draw, NUM_CHECKED, NUM_TESTED)
    return _task(source, symbols, "drawn", setter.digest, notes)


def _draw_words(
    number: int,
    generator: torch.Generator,
    setter: Typesetter,
    width: int | None,
    length: int,
    distortion: float,
) -> list[Word]:
    """Draws words one after another: the first ones do not depend on how many follow."""
    words, strength = [], scaled(distortion)
    for count in range(number):
        seed = int(torch.randint(2**62, (1,), generator=generator))
        rng = np.random.default_rng(seed)
        written = setter.any_word(rng, min(LEAST_LENGTH, length), length)
        columns = torch.from_numpy(setter.draw(written, rng, width))
        if distortion:
            columns = distorted(columns, strength, generator_for("distortion", seed))
        words.append(Word(f"drawn/{count:06d}", written, columns))
    return words


def _typesetter(alphabet: str, fonts: str | None) -> Typesetter:
    return Typesetter(composed(alphabet), None if fonts is None else Path(fonts))


def _task(
    source: Collection | Generated,
    symbols: str,
    recipe_name: str,
    digest: str,
    notes: tuple[str, ...],
) -> Task:
    return Task(
        name="text",
        source=source,
        input_size=1,
        output_size=len(symbols) + 1,
        distance="ctc",
        recipe=RECIPES[recipe_name],
        recipe_name=recipe_name,
        right=_is_right,
        unit="nats a word",
        symbols=symbols,
        model="crnn",
        loss=_losses,
        unused=UNUSED,
        digest=digest,
        show=show_word(symbols),
        notes=notes,
    )


def _losses(outputs: Tensor, batch: Batch) -> Tensor:
    assert batch.lengths is not None
    return ctc_distances(outputs, batch.targets, num_steps(batch.lengths))


def _is_right(outputs: Tensor, batch: Batch) -> Tensor:
    assert batch.lengths is not None
    found = greedy(outputs, num_steps(batch.lengths))
    wanted = [tuple(number for number in row if number) for row in batch.targets.tolist()]
    return torch.tensor([a == b for a, b in zip(found, wanted, strict=True)])


def _distorted(example: Example, generator: torch.Generator, *, strength: Distortion) -> Example:
    return replace(example, inputs=distorted(example.inputs, strength, generator))


def _check_alphabet(alphabet: str | None) -> None:
    if alphabet is None:
        return
    twice = sorted({one for one in alphabet if alphabet.count(one) > 1})
    if not alphabet or twice:
        fault = f"has {twice[0]!r} twice" if twice else "is empty"
        raise ValueError(f"the alphabet must have characters, each once, but {fault}")
