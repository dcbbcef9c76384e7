"""What the task on segmentation states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import OF_CLASSES, OF_PHOTOS, OF_SEQUENCES, Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A folder with list.csv (split,image,label) and classes.csv (id,name), or "drawn":
            street scenes.
        size: Bring pictures to this size, such as 240x180; none: as they are.
        video: Learn from clips; a state goes from frame to frame.
        context: What sees the whole map: sweeps, or convolutions of as many parameters.
        weights: Weights of a trained ResNet-18 or -50 for the front, a file or owner/name on the
            Hugging Face hub; none: random weights.
    """

    data: str = path_field(DRAWN)
    size: str | None = None
    video: bool = False
    context: str = "sweeps"
    weights: str | None = path_field(None, may_be_a_name=True)


@dataclass(frozen=True)
class Answering:
    """Options of a run that names pixels.

    Args:
        output: The folder to write label maps and overlays to.
        min_confidence: Leave pixels without a class whose probability is lower, 0 to 1.
    """

    output: str = "segmented"
    min_confidence: float = 0.0


RECIPES = {
    "drawn": Recipe(
        cell="gru", hidden_size=24, num_layers=1, channels=24, batch_size=16, learning_rate=5e-3,
        max_grad_norm=5.0, num_sequences=4_000, check_every=1_000, schedule="cosine",
    ),
    "files": Recipe(
        cell="gru", hidden_size=100, num_layers=2, channels=50, batch_size=8, learning_rate=2e-3,
        max_grad_norm=5.0, num_sequences=160 * 367, schedule="cosine", dropout=0.2,
        precision="auto",
    ),
}  # fmt: skip
"""How to train on drawn scenes and on a folder of pictures."""

UNUSED = (*OF_PHOTOS, *OF_SEQUENCES, *OF_CLASSES)
"""The fields of a recipe that are not looked at."""

SEGMENTATION = Definition(
    name="segmentation",
    summary="name the class of every pixel of a picture or a video",
    options=Options,
    recipes=RECIPES,
    unused=UNUSED,
    task="rondo.tasks.segmentation.task:segmentation",
    predict=Command("rondo.tasks.segmentation.answers:Answers", Answering),
    evaluate=Command("rondo.tasks.segmentation.evaluate:evaluate"),
)
