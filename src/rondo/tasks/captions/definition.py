"""What the task on captions states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A folder of photos with captions.csv (image,caption), or Flickr8k's files, or
            "drawn": two shapes.
        weights: Weights of a trained ResNet-18 or -50 that makes the features of photos, a file or
            owner/name on the Hugging Face hub; none: fixed features.
        split_seed: Chooses what is held out where no splits are named.
    """

    data: str = path_field(DRAWN)
    weights: str | None = path_field(None, may_be_a_name=True)
    split_seed: int = 0


@dataclass(frozen=True)
class Answering:
    """Options of a run that writes captions.

    Args:
        beam_width: Beginnings that beam search keeps; where it is given the next best captions are
            told too.
    """

    beam_width: int | None = None


RECIPES = {
    "drawn": Recipe(
        cell="gru", hidden_size=96, embedding_size=48, batch_size=32, learning_rate=3e-3,
        max_grad_norm=5.0, num_sequences=24_000, check_every=4_000, schedule="cosine",
    ),
    "files": Recipe(
        cell="gru", hidden_size=256, embedding_size=128, batch_size=64, learning_rate=2e-3,
        max_grad_norm=5.0, num_sequences=15 * 4_000, schedule="cosine", dropout=0.5,
    ),
}  # fmt: skip
"""How to train on drawn pictures and on a folder of photos."""

CAPTIONS = Definition(
    name="captions",
    summary="say in words what a picture shows",
    options=Options,
    recipes=RECIPES,
    task="rondo.tasks.captions.task:captions",
    predict=Command("rondo.tasks.captions.answers:Answers", Answering),
    evaluate=Command("rondo.tasks.captions.evaluate:evaluate", Answering),
)
