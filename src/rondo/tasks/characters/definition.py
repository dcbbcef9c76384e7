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
)
