"""How the sequences of each task are written in files, and how its answers are told.

In goes a line of a file, or the rows of a table, out comes an example with its right answer; in go
the outputs of a network, out comes an answer in the same words. What does not belong to the task is
a `ValueError` that says what must stand there.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.seeds import generator_for
from rondo.data.sources import Example, Generated, one_hot
from rondo.errors import look_up
from rondo.tasks.memory import copying, reber, temporal_order
from rondo.tasks.memory.adding import PRODUCT, SUM, Combination
from rondo.training.task import Task

NUM_DRAWN = 8
"""So many sequences are drawn where the word drawn stands."""

START, OUTER = -2, -1
"""The nodes of the embedded grammar before the inner ones."""

Told = str | float
"""An answer: symbols, a class, or a number."""


class Form(ABC):
    """How the sequences of a task are written and its answers are told."""

    example_of_file: str
    """What a file of sequences holds, for messages."""

    @abstractmethod
    def parse(self, given: Any) -> Example:
        """Returns the example that a line, or rows, mean; `ValueError` where they mean none."""

    @abstractmethod
    def shown(self, example: Example) -> str:
        """Returns the sequence of an example as it is written, or what it is in short."""

    @abstractmethod
    def right(self, example: Example) -> Told:
        """Returns the right answer."""

    @abstractmethod
    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """Returns the answer of a network, and its probability where there is one.

        Args:
            outputs: (O,) of a task with one answer, else (T, O).
            example: What was asked.
        """

    def draw(self, task: Task) -> list[Example]:
        """Returns some new examples of a task, the same at every call."""
        assert isinstance(task.source, Generated)
        batch = task.source.draw(NUM_DRAWN, generator_for("shown sequences"))
        return [_row(batch, row, is_final=task.final) for row in range(NUM_DRAWN)]


@dataclass(frozen=True)
class Pairs(Form):
    """Pairs of a value and a marker, with one number as the answer.

    Args:
        combination: What is answered.
    """

    combination: Combination
    example_of_file = "rows value,marker"

    def parse(self, given: Any) -> Example:
        """Is for rows of a value and a marker."""
        try:
            pairs = torch.tensor([[float(item) for item in row] for row in given])
        except (TypeError, ValueError):
            raise ValueError("each row must hold two numbers, value,marker") from None
        if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 3:
            raise ValueError("a sequence must have three rows or more of two numbers, value,marker")
        self._check(pairs)
        return Example(pairs, self._combined(pairs))

    def _check(self, pairs: Tensor) -> None:
        values, markers, lowest = pairs[:, 0], pairs[:, 1], self.combination.lowest
        outside = ~((values >= lowest) & (values <= 1))
        if bool(outside.any()):
            row = int(outside.nonzero()[0])
            raise ValueError(
                f"row {row + 1}: the value must be from {lowest:g} to 1, but is {values[row]:g}"
            )
        inner = markers[1:-1]
        is_known = bool(((inner == 0) | (inner == 1)).all())
        is_ended = bool((markers[[0, -1]] == -1).all())
        if not (is_known and is_ended and int(inner.sum()) in (1, 2)):
            raise ValueError(
                "the marker must be -1 in the first and the last row, 1 in two others (in one, "
                "where the first row is the other marked one), and else 0"
            )

    def _combined(self, pairs: Tensor) -> Tensor:
        marked = pairs[pairs[:, 1] == 1, 0]
        first = torch.tensor(self.combination.unseen) if len(marked) == 1 else marked[1]
        return self.combination.combine(marked[0], first)[None]

    def shown(self, example: Example) -> str:
        """The number of rows and the marked values."""
        marked = example.inputs[example.inputs[:, 1] == 1, 0].tolist()
        return f"{len(example.inputs)} rows, marked {' and '.join(f'{v:.4f}' for v in marked)}"

    def right(self, example: Example) -> Told:
        """The number."""
        return float(example.targets)

    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """The number; a number has no probability."""
        return float(outputs), None


@dataclass(frozen=True)
class Orders(Form):
    """Symbols with the class of their marks as the answer.

    Args:
        num_marks: How many symbols are X or Y.
    """

    num_marks: int
    example_of_file = "a sequence such as EaXb...B a line"

    def parse(self, given: Any) -> Example:
        """Is for a sequence of letters; blanks and commas are left out."""
        text = _joined(given)
        middle = text[1:-1]
        if text[:1] != "E" or text[-1:] != "B" or len(text) < 2 or set(middle) - set("XYabcd"):
            raise ValueError(
                "a sequence must begin with E, end with B, and hold X, Y, a, b, c, d between, but "
                f"is {_short(text)}"
            )
        marks = [symbol for symbol in middle if symbol in "XY"]
        if len(marks) != self.num_marks:
            raise ValueError(
                f"a sequence must hold X or Y {self.num_marks} times, but holds them {len(marks)} "
                "times"
            )
        number = int("".join(str("XY".index(mark)) for mark in marks), 2)
        return Example(_vectors(text, temporal_order.SYMBOLS), torch.tensor(number))

    def shown(self, example: Example) -> str:
        """The symbols."""
        return _symbols(example.inputs, temporal_order.SYMBOLS)

    def right(self, example: Example) -> Told:
        """The letter of the class."""
        return temporal_order.CLASSES[self.num_marks][int(example.targets)]

    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """The letter of the likeliest class, and its probability."""
        probability, number = outputs.double().softmax(-1).max(-1)
        return temporal_order.CLASSES[self.num_marks][int(number)], float(probability)


@dataclass(frozen=True)
class Bits(Form):
    """Bits, with the parity of those so far after each."""

    example_of_file = "bits such as 0110 a line"

    def parse(self, given: Any) -> Example:
        """Is for bits; blanks and commas are left out."""
        text = _joined(given)
        if not text or set(text) - set("01"):
            raise ValueError(f"a sequence must hold the bits 0 and 1 alone, but is {_short(text)}")
        bits = torch.tensor([int(bit) for bit in text])
        return Example(bits[:, None].float(), bits.cumsum(0) % 2)

    def shown(self, example: Example) -> str:
        """The bits."""
        return "".join(str(int(bit)) for bit in example.inputs[:, 0])

    def right(self, example: Example) -> Told:
        """After every bit 1 where the ones so far are odd."""
        return "".join(map(str, example.targets.tolist()))

    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """The same of the network, and the probability that all of it is so."""
        chances, parities = outputs.double().softmax(-1).max(-1)
        return "".join(map(str, parities.tolist())), float(chances.prod())


@dataclass(frozen=True)
class Copies(Form):
    """Ten symbols, to be said again after a pause.

    Args:
        length: The steps of the pause.
    """

    length: int
    example_of_file = "ten symbols such as 3 1 8 2 2 5 7 6 4 1 a line"

    def parse(self, given: Any) -> Example:
        """Is for ten symbols; the pause, the sign and the last blanks are added."""
        text = _joined(given)
        if len(text) != copying.NUM_COPIED or set(text) - set("12345678"):
            raise ValueError(
                f"a sequence must be {copying.NUM_COPIED} symbols from 1 to 8; the pause and the "
                f"sign are added; but it is {_short(text)}"
            )
        batch = copying.with_pause(torch.tensor([[int(one) for one in text]]), self.length)
        return Example(batch.inputs[0], batch.targets[0])

    def shown(self, example: Example) -> str:
        """The ten symbols."""
        return self._said(example.inputs[: copying.NUM_COPIED].argmax(-1))

    def right(self, example: Example) -> Told:
        """The same ten symbols."""
        return self._said(example.targets[-copying.NUM_COPIED :])

    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """What the network says in the last ten steps, and the probability that it is all of it."""
        chances, symbols = outputs[-copying.NUM_COPIED :].double().softmax(-1).max(-1)
        return self._said(symbols), float(chances.prod())

    def _said(self, symbols: Tensor) -> str:
        """Symbols as text; a blank is an underscore."""
        return "".join(str(one) if one else "_" for one in symbols.tolist())


@dataclass(frozen=True)
class Strings(Form):
    """Embedded Reber strings, or their beginnings, with what comes next after every symbol."""

    example_of_file = "a string such as BTBTXSETE a line"

    def parse(self, given: Any) -> Example:
        """Is for a string of the grammar, or the beginning of one."""
        text = _joined(given)
        followers = followers_of(text)
        asked = text[:-1] if followers[-1] == "" else text
        followers = followers[: len(asked)]
        allowed = torch.tensor([[symbol in may for symbol in reber.SYMBOLS] for may in followers])
        targets = torch.tensor([reber.SYMBOLS.index(may[0]) for may in followers])
        return Example(_vectors(asked, reber.SYMBOLS), targets, allowed)

    def shown(self, example: Example) -> str:
        """The string, without the E that ends it."""
        return _symbols(example.inputs, reber.SYMBOLS)

    def right(self, example: Example) -> Told:
        """After every symbol the one that comes next; where it may be one of two, in brackets."""
        assert example.allowed is not None
        every = (
            "".join(symbol for symbol, may in zip(reber.SYMBOLS, row, strict=True) if may)
            for row in example.allowed.tolist()
        )
        return "".join(may if len(may) == 1 else f"[{may}]" for may in every)

    def answer(self, outputs: Tensor, example: Example) -> tuple[Told, float | None]:
        """After every symbol the likeliest next one, and the probability of the last of them."""
        chances, symbols = outputs.double().softmax(-1).max(-1)
        return "".join(reber.SYMBOLS[one] for one in symbols.tolist()), float(chances[-1])

    def draw(self, task: Task) -> list[Example]:
        """Returns some new strings."""
        generator = generator_for("shown sequences")
        return [reber.example_of(*reber.draw_string(generator)) for _ in range(NUM_DRAWN)]


def followers_of(text: str) -> list[str]:
    """Returns, for each symbol of a beginning of an embedded Reber string, what may follow it.

    After the E that ends the string nothing may.

    Raises:
        ValueError: Where it is no such beginning.

    Example:
        >>> from rondo.tasks.memory.forms import followers_of
        >>> followers_of("BTBTXSETE")
        ['TP', 'B', 'TP', 'SX', 'XS', 'E', 'T', 'E', '']
    """
    if not text:
        raise ValueError("a string must begin with B")
    arrows, node, followers = _arrows(text[1:2]), START, []
    for place, symbol in enumerate(text):
        if symbol not in arrows[node]:
            may = " or ".join(arrows[node]) or "nothing"
            before = f"after {_short(text[:place])}" if place else "first"
            raise ValueError(f"symbol {place + 1} is {symbol!r}, but {before} must come {may}")
        node = arrows[node][symbol]
        followers.append("".join(arrows[node]))
    return followers


def _arrows(outer: str) -> dict[int, dict[str, int]]:
    """From each node of the embedded grammar, the symbols that may come and where they lead."""
    inner, end = dict(enumerate(reber.ARROWS)), reber.END
    return {
        START: {"B": OUTER},
        OUTER: {"T": 0, "P": 0},
        **inner,
        end: {outer: end + 1},
        end + 1: {"E": end + 2},
        end + 2: {},
    }


def form_of(name: str, options: Any) -> Form:
    """Returns how the sequences of a task are written.

    Args:
        name: The name of the task.
        options: Its options.
    """
    forms = {
        "adding": lambda: Pairs(SUM),
        "multiplication": lambda: Pairs(PRODUCT),
        "temporal-order-6a": lambda: Orders(2),
        "temporal-order-6b": lambda: Orders(3),
        "reber": Strings,
        "copy": lambda: Copies(options.length),
        "parity": Bits,
    }
    return look_up("task of memory", name, forms)()


def _row(batch: Batch, row: int, *, is_final: bool) -> Example:
    """A row of a batch without its padding."""
    length = batch.inputs.shape[1] if batch.lengths is None else int(batch.lengths[row])
    targets = batch.targets[row] if is_final else batch.targets[row, :length]
    return Example(batch.inputs[row, :length], targets)


def _joined(line: str) -> str:
    return re.sub(r"[\s,;]+", "", line)


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:30]}...")


def _vectors(text: str, symbols: str) -> Tensor:
    return one_hot(torch.tensor([symbols.index(symbol) for symbol in text]), len(symbols))


def _symbols(vectors: Tensor, symbols: str) -> str:
    return "".join(symbols[number] for number in vectors.argmax(-1).tolist())
