"""Embedded Reber strings: predict the next symbol of strings of a small grammar with memory.

A string is B, then T or P, an inner Reber string, the same T or P again, E. An inner string follows
the arrows of `ARROWS` from node 0 to the end, each of the two arrows of a node as likely:

    0 B 1 · 1 T 2 · 1 P 3 · 2 S 2 · 2 X 4 · 3 T 3 · 3 V 5 · 4 X 3 · 4 S 6 · 5 P 4 · 5 V 6 · 6 E end

At every step the network predicts the next symbol. Only by keeping the second symbol over the whole
inner string can the last but one be predicted.

Hochreiter & Schmidhuber, "Long short-term memory", 1997, experiment 1, with 256 training strings,
256 for checks and 256 for the test. A string is answered rightly where at every step each symbol
that may come next has a larger output than each that may not. Solved: all strings of a check are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.lazy import Lazy
from rondo.data.seeds import generator_for
from rondo.data.sources import TEST_SEED, Collection, Example, one_hot
from rondo.tasks.memory.definitions import REBER, REBER_STRINGS
from rondo.tasks.shows import show_symbols
from rondo.training.task import Task

SYMBOLS = "BTPSXVE"
"""The symbols, in the order of inputs and outputs."""

ARROWS: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
"""From each node of the inner grammar, the symbols that may come and the nodes they lead to."""

END = len(ARROWS)
"""The node at which an inner string has ended."""

NUM_STRINGS = REBER_STRINGS
"""Strings in each split."""


def reber(seed_of_strings: int = 0) -> Task:
    """The embedded Reber grammar; the seed draws the training strings and those of the checks.

    Example:
        >>> from rondo.tasks.memory.reber import reber
        >>> batch = reber().source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape[2], batch.allowed.shape[2]
        (7, 7)
    """
    train, val = (_split(name, seed_of_strings) for name in ("train", "val"))
    return Task(
        name="reber",
        source=Collection(train, val, _split("test", TEST_SEED)),
        input_size=len(SYMBOLS),
        output_size=len(SYMBOLS),
        distance="cross_entropy",
        recipe=REBER.recipes["default"],
        right=_is_allowed,
        goal=1.0,
        show=show_symbols(SYMBOLS, SYMBOLS),
    )


def _split(split: str, seed: int) -> Sequence[Example]:
    """The strings of a split, each with what may come next at every step."""

    def plan() -> list[tuple[str, list[str]]]:
        generator = generator_for(f"reber {split}", seed)
        return [draw_string(generator) for _ in range(NUM_STRINGS)]

    return Lazy(NUM_STRINGS, plan, lambda string: example_of(*string))


def draw_string(generator: torch.Generator) -> tuple[str, list[str]]:
    """Returns a string, and for every symbol but the last all symbols that may follow it."""
    outer = "TP"[_choice(2, generator)]
    string, followers, node = "B" + outer, ["TP", "B"], 0
    while node != END:
        arrows = ARROWS[node]
        symbol = list(arrows)[_choice(len(arrows), generator)]
        node = arrows[symbol]
        string += symbol
        followers.append(outer if node == END else "".join(ARROWS[node]))
    return string + outer + "E", [*followers, "E"]


def example_of(string: str, followers: list[str]) -> Example:
    """Returns a string as vectors, the symbols that come next and those that may."""
    symbols = torch.tensor([SYMBOLS.index(symbol) for symbol in string])
    allowed = torch.tensor([[symbol in may for symbol in SYMBOLS] for may in followers])
    return Example(one_hot(symbols[:-1], len(SYMBOLS)), symbols[1:], allowed)


def _choice(num: int, generator: torch.Generator) -> int:
    return int(torch.randint(num, (), generator=generator))


def _is_allowed(outputs: Tensor, batch: Batch) -> Tensor:
    """Whether each symbol that may come has a larger output than each that may not."""
    assert batch.allowed is not None
    assert batch.lengths is not None
    least_allowed = outputs.masked_fill(~batch.allowed, torch.inf).amin(-1)
    most_forbidden = outputs.masked_fill(batch.allowed, -torch.inf).amax(-1)
    padding = torch.arange(outputs.shape[1]) >= batch.lengths[:, None]
    return ((least_allowed > most_forbidden) | padding.to(outputs.device)).all(-1)
