"""What the task on text states of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import OF_CLASSES, OF_PHOTOS, OF_SEQUENCES, Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A folder with labels.csv (file,text), or "drawn": words drawn by the program.
        alphabet: The characters; "" finds them from the labels (drawn words: 0-9a-z).
        known: More characters that the network has outputs for; those of the run that it starts
            from, if it does.
        width: Bring pictures to this width, a multiple of 4; none keeps their proportions.
        length: The most characters of a drawn word.
        fonts: A folder of fonts for drawn words; none takes those found here.
        split_seed: Chooses what is held out where the labels name no split.
        distortion: How strongly pictures are distorted in training, from 0.
    """

    data: str = path_field(DRAWN)
    alphabet: str | None = None
    known: str = ""
    width: int | None = None
    length: int = 8
    fonts: str | None = path_field(None)
    split_seed: int = 0
    distortion: float = 1.0


@dataclass(frozen=True)
class Answering:
    """Options of a run that reads.

    Args:
        decoder: greedy or beam.
        beam_width: Beginnings that beam search keeps.
        lexicon: Answer with the likeliest word of a file, one a line; none: any characters.
        min_confidence: Answer "not sure" where the probability of the answer is lower, 0 to 1.
    """

    decoder: str | None = None
    beam_width: int = 10
    lexicon: str | None = path_field(None)
    min_confidence: float = 0.0


RECIPE = Recipe(
    cell="lstm", hidden_size=128, num_layers=2, channels=16, batch_size=32, learning_rate=2e-3,
    max_grad_norm=10.0, num_sequences=48_000, check_every=4_000, dropout=0.2, schedule="cosine",
)  # fmt: skip

RECIPES = {"drawn": RECIPE, "files": replace(RECIPE, num_epochs=100)}
"""How to train on drawn words, and on the pictures of a folder."""

UNUSED = (*OF_PHOTOS, *OF_SEQUENCES, *OF_CLASSES)
"""The fields of a recipe that are not looked at."""

TEXT = Definition(
    name="text",
    summary="read the words in pictures",
    options=Options,
    recipes=RECIPES,
    unused=UNUSED,
    task="rondo.tasks.text.task:text",
    predict=Command("rondo.tasks.text.answers:Answers", Answering),
    evaluate=Command("rondo.tasks.text.evaluate:evaluate", Answering),
    inherited={"known": "symbols"},
)
