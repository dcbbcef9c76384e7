"""Characters: predict the next character of a text.

Any text in UTF-8: its first 90 % train, the next 5 % validate, the last 5 % test; each part is
first cut into as many streams of equal length as a batch has rows. A step trains on the next 100
characters of every stream, and the state is carried from one step to the next: truncated
backpropagation through time. The symbols are the characters of the training part that occur twice
or more there; all others are one symbol. What is reported is the mean over all characters of
-log2 p, in bits a character.

Graves, "Generating sequences with recurrent neural networks", 2013; Karpathy et al., "Visualizing
and understanding recurrent networks", 2015. There is no criterion of success: less is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.files import file_fault
from rondo.tasks.characters.definition import RECIPE
from rondo.training.task import BITS, Show, Shown, Task

UNKNOWN = "\ufffd"
"""The symbol of all characters that training did not see often enough."""

WINDOW_SIZE = 100
"""Steps between two updates, and how far the gradient goes back."""

NUM_STREAMS = 50
"""Streams into which a part for checks or tests is cut."""

LEAST_CHARACTERS = 1000
"""The shortest text that can be split."""


@dataclass(frozen=True)
class Text:
    """The streams of a text.

    Args:
        train: The symbols for training (N,).
        val: The symbols for validation.
        test: The symbols of the test.
    """

    train: Tensor
    val: Tensor
    test: Tensor

    def num_train(self) -> int | None:
        """The windows of an epoch."""
        return max(1, len(self.train) // WINDOW_SIZE)

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The next window of every stream; after the last one all begin anew."""
        streams = streams_of(self.train, batch_size)
        return window_of(streams, step % num_windows(streams))

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """The part for validation."""
        yield from _windows(self.val)

    def test_batches(self) -> Iterator[Batch]:
        """The part for the test."""
        yield from _windows(self.test)


def characters(data: str) -> Task:
    """The task on a text.

    Args:
        data: A file of text in UTF-8.

    Raises:
        ValueError: Where it is no text, or too short.
        OSError: Where it cannot be read.
    """
    parts = read_parts(Path(data))
    symbols = symbols_of(parts[0])
    return Task(
        name="characters",
        source=Text(*(encoded(part, symbols) for part in parts)),
        input_size=len(symbols),
        output_size=len(symbols),
        distance="cross_entropy",
        recipe=RECIPE,
        unit="bits a character",
        nats_per_unit=BITS,
        symbols=symbols,
        show=_shower(symbols),
    )


def _shower(symbols: str) -> Show:
    """How a window of a text looks: the text, and the likeliest character after each."""

    def show(outputs: Tensor, batch: Batch, row: int) -> Shown:
        wanted = "".join(symbols[number] for number in batch.targets[row].tolist())
        found = "".join(symbols[number] for number in outputs[row].argmax(-1).tolist())
        return Shown(wanted, found, "the likeliest character after each")

    return show


def read_parts(path: Path) -> tuple[str, str, str]:
    """Returns the text for training, for validation and for the test.

    Raises:
        ValueError: Where it is no text, or too short.
        OSError: Where it cannot be read.
    """
    fault = file_fault(path)
    if fault is not None:
        raise ValueError(f"{path}: {fault}; characters need a file of text")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(
            f"{path} must have {LEAST_CHARACTERS} characters or more, but has {len(text)}"
        )
    if len(set(text)) == 1:
        raise ValueError(
            f"{path} holds {text[0]!r} and no other character: there is nothing to learn"
        )
    first, second = 90 * len(text) // 100, 95 * len(text) // 100
    return text[:first], text[first:second], text[second:]


def symbols_of(text: str) -> str:
    """Returns the symbols: the unknown one, then all characters that occur twice or more."""
    counts = Counter(text)
    return UNKNOWN + "".join(sorted(c for c, n in counts.items() if n > 1 and c != UNKNOWN))


def encoded(text: str, symbols: str) -> Tensor:
    """Returns the numbers of the symbols of a text (N,)."""
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    return torch.tensor([numbers.get(character, 0) for character in text])


def streams_of(symbols: Tensor, wanted: int) -> Tensor:
    """Returns pieces of a text side by side (B, L + 1), the last symbol of each for the target.

    There are fewer than wanted where each would be shorter than a window.
    """
    num_rows = max(1, min(wanted, (len(symbols) - 1) // WINDOW_SIZE))
    size = (len(symbols) - 1) // num_rows
    return symbols.as_strided((num_rows, size + 1), (size, 1))


def num_windows(streams: Tensor) -> int:
    """Returns the number of windows of streams; the last may be shorter."""
    return -(-(streams.shape[1] - 1) // WINDOW_SIZE)


def window_of(streams: Tensor, number: int) -> Batch:
    """Returns the steps of a window, counted from 0."""
    window = streams[:, number * WINDOW_SIZE : (number + 1) * WINDOW_SIZE + 1]
    return Batch(window[:, :-1], window[:, 1:], continues=number > 0)


def _windows(symbols: Tensor) -> Iterator[Batch]:
    streams = streams_of(symbols, NUM_STREAMS)
    for number in range(num_windows(streams)):
        yield window_of(streams, number)
