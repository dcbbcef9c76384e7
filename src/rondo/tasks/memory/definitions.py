"""What the tasks that ask for memory state of themselves."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import Command, Definition
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Steps:
    """Options of a task whose sequences are drawn.

    Args:
        length: Least number of steps of a sequence.
    """

    length: int = 100


@dataclass(frozen=True)
class Pause:
    """Options of the copy problem.

    Args:
        length: Steps of the pause.
    """

    length: int = 20


@dataclass(frozen=True)
class Bits:
    """Options of the parity problem.

    Args:
        length: Least number of bits of a sequence.
    """

    length: int = 20


@dataclass(frozen=True)
class Strings:
    """Options of the embedded Reber grammar.

    Args:
        seed_of_strings: Draws the training strings and those of the checks.
    """

    seed_of_strings: int = 0


PREDICT = Command("rondo.tasks.memory.answers:Answers")
"""How a run answers sequences of a file."""

USUAL = Recipe()
"""The recipe of tasks on numbers and marks."""

REBER_STRINGS = 256
"""Strings in each split of the Reber grammar."""

ADDING = Definition(
    name="adding",
    summary="add two marked numbers of a long sequence",
    options=Steps,
    recipes={"default": USUAL},
    task="rondo.tasks.memory.adding:adding",
    predict=PREDICT,
)
MULTIPLICATION = Definition(
    name="multiplication",
    summary="multiply two marked numbers of a long sequence",
    options=Steps,
    recipes={"default": USUAL},
    task="rondo.tasks.memory.adding:multiplication",
    predict=PREDICT,
)
TEMPORAL_ORDER_6A = Definition(
    name="temporal-order-6a",
    summary="tell the order of two marks far from each other",
    options=Steps,
    recipes={"default": USUAL},
    task="rondo.tasks.memory.temporal_order:temporal_order_6a",
    predict=PREDICT,
)
TEMPORAL_ORDER_6B = Definition(
    name="temporal-order-6b",
    summary="tell the order of three marks far from each other",
    options=Steps,
    recipes={"default": USUAL},
    task="rondo.tasks.memory.temporal_order:temporal_order_6b",
    predict=PREDICT,
)
REBER = Definition(
    name="reber",
    summary="predict the symbols of embedded Reber strings",
    options=Strings,
    recipes={"default": Recipe(num_sequences=40_000, check_every=REBER_STRINGS, batch_size=8)},
    task="rondo.tasks.memory.reber:reber",
    predict=PREDICT,
)
COPY = Definition(
    name="copy",
    summary="say ten symbols again after a pause",
    options=Pause,
    recipes={"default": Recipe(cell="gru", hidden_size=64, num_sequences=100_000)},
    task="rondo.tasks.memory.copying:copying",
    predict=PREDICT,
)
PARITY = Definition(
    name="parity",
    summary="say after every bit whether the ones so far are odd",
    options=Bits,
    recipes={"default": Recipe(hidden_size=16, num_sequences=100_000, learning_rate=1e-2)},
    task="rondo.tasks.memory.parity:parity",
    predict=PREDICT,
)
