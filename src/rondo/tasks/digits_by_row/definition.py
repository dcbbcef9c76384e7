"""What the task on digits by row states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A folder of MNIST's files.
    """

    data: str = path_field()


RECIPE = Recipe(
    cell="gru", hidden_size=64, batch_size=64, learning_rate=3e-3, num_sequences=120_000,
    patience=5,
)  # fmt: skip

DIGITS_BY_ROW = Definition(
    name="digits-by-row",
    summary="name a digit whose image is read row by row",
    options=Options,
    recipes={"default": RECIPE},
    task="rondo.tasks.digits_by_row.task:digits_by_row",
    predict=Command("rondo.tasks.digits_by_row.answers:Answers"),
)
