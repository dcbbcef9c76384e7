"""What the task on music states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A .mat file of piano rolls.
        transpose: Move training pieces by up to so many semitones.
    """

    data: str = path_field()
    transpose: int = 0


RECIPE = Recipe(
    cell="gru",
    hidden_size=48,
    batch_size=8,
    learning_rate=3e-3,
    num_sequences=200 * 229,
    check_every=229,
    patience=15,
)
"""With the sizes of Chung et al.: about 20,000 parameters in the recurrent layer."""

MUSIC = Definition(
    name="music",
    summary="predict the next step of piano rolls",
    options=Options,
    recipes={"default": RECIPE},
    task="rondo.tasks.music.task:music",
    predict=Command("rondo.tasks.music.answers:Answers"),
)
