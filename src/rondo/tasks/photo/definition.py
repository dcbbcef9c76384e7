"""What the task on photos states of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rondo.data.augmentation import Augmentation
from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import OF_CELLS, OF_SEQUENCES, Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: Photos, or "drawn": portraits drawn by the program.
        layout: How the photos are labelled: csv, imdb-wiki, celeba, folders, utkface or
            classes; none: what is found.
        model: The network: fcnn_1 to fcnn_3, cnn_1, cnn_2, resnet_18, resnet_50, tl_1 to tl_3,
            lecture_rnn1, sweep_net.
        form: Of lecture_rnn1: sane, or lecture: exactly as printed; none: sane.
        weights: For tl_1, tl_2 and tl_3, which need it: weights of a trained ResNet-18 or -50, a
            file or owner/name on the Hugging Face hub.
        image_size: Side of the photos, a multiple of 32; none: 128, and 64 for drawings.
        num_drawn: Training drawings.
        split_seed: Chooses the drawings, or what is held out where the labels name no split.
        depth: Of tl_1 to tl_3: the depth of their ResNet; none: that of the weights.
        weights_fingerprint: Their digest; none: it is found.
    """

    data: str = path_field(DRAWN)
    layout: str | None = None
    model: str = "lecture_rnn1"
    form: str | None = None
    weights: str | None = path_field(None, may_be_a_name=True)
    image_size: int | None = None
    num_drawn: int = 6000
    split_seed: int = 0
    depth: int | None = None
    weights_fingerprint: str | None = None


@dataclass(frozen=True)
class Answering:
    """Options of a run that classifies photos.

    Args:
        min_confidence: Answer "not sure" where the probability of the answer is lower, 0 to 1.
    """

    min_confidence: float = 0.0


@dataclass(frozen=True)
class Evaluating:
    """Options of the evaluation.

    Args:
        min_confidence: Also tell how many photos are answered with at least this probability, and
            how many of those rightly; none does not.
        robustness: Also tell the accuracy under blur, noise, darkness, crops, shifts and JPEG, on
            up to 300 photos of each split but val (minutes).
    """

    min_confidence: float | None = None
    robustness: bool = False


# The lecture, slide "training": plain stochastic gradient descent with momentum.
_LECTURE = Recipe(
    num_epochs=6,
    batch_size=128,
    learning_rate=0.01,
    optimizer="sgd",
    weight_decay=5e-4,
    max_grad_norm=None,
    channels_last=True,
)

_DEFAULT = replace(
    _LECTURE,
    num_epochs=40,
    batch_size=64,
    learning_rate=0.03,
    schedule="one_cycle",
    nesterov=True,
    decay_matrices_only=True,
    dropout=0.2,
    label_smoothing=0.1,
    max_grad_norm=2.0,
    averaging_decay=0.998,
    augmentation=Augmentation(),
    mirror=0.88,
    image_sizes=((0.25, 0.5), (0.3, 0.75), (0.45, 1.0)),
    precision="auto",
)

RECIPES: dict[str, Recipe] = {
    "default": _DEFAULT,
    # Drawings differ in pose, light and colour as it is, and there are as many as one likes.
    "drawn": replace(
        _DEFAULT,
        num_epochs=6,
        dropout=0.0,
        augmentation=None,
        mirror=1.0,
        image_sizes=((1.0, 1.0),),
    ),
    # One budget for all networks of a table: few epochs, all at the full size.
    "table": replace(
        _DEFAULT,
        num_epochs=10,
        dropout=0.0,
        averaging_decay=0.99,
        mirror=1.0,
        image_sizes=((1.0, 1.0),),
    ),
    # Letters, digits, arrows: what is mirrored is something else.
    "unmirrored": replace(_DEFAULT, augmentation=Augmentation(mirror_share=0.0), mirror=0.0),
    "lecture": _LECTURE,
}
"""The ways to train on photos, by name."""

UNUSED = (*OF_CELLS, *OF_SEQUENCES, "num_sequences", "check_every")
"""The fields of a recipe that are not looked at; the budget is in epochs."""

PHOTO = Definition(
    name="photo",
    summary="name the class of a photo, such as a person's sex from the face",
    options=Options,
    recipes=RECIPES,
    task="rondo.tasks.photo.build:photo",
    networks="rondo.tasks.photo.build:NETWORKS",
    unused=UNUSED,
    predict=Command("rondo.tasks.photo.answers:Predictor", Answering),
    evaluate=Command("rondo.tasks.photo.evaluate:evaluate", Evaluating),
    finish="rondo.tasks.photo.finish:finish",
    sweep="rondo.tasks.photo.table:write",
    extra="photo",
)
