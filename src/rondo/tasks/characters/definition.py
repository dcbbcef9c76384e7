"""What the task on characters states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A file of text in UTF-8.
    """

    data: str = path_field()


@dataclass(frozen=True)
class Sampling:
    """Options of a run that writes text.

    Args:
        temperature: Below 1 likely characters are likelier; at 0 the likeliest is taken.
        length: The number of characters.
        start: What the text goes on from.
        seed: Seed of the draws.
    """

    temperature: float = 0.8
    length: int = 500
    start: str = ""
    seed: int = 0


RECIPE = Recipe(
    cell="lstm", hidden_size=128, embedding_size=64, batch_size=50, learning_rate=3e-3,
    num_sequences=100_000, patience=3, dropout=0.1,
)  # fmt: skip
"""Windows count as sequences here."""

CHARACTERS = Definition(
    name="characters",
    summary="predict the next character of a text",
    options=Options,
    recipes={"default": RECIPE},
    task="rondo.tasks.characters.task:characters",
    predict=Command("rondo.tasks.characters.answers:Answers"),
    sample=Command("rondo.tasks.characters.answers:sample_run", Sampling),
)
