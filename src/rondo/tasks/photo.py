"""The photo task: predict a person's sex from a photo in which one face fills the picture.

The data are labelled photos or the embedded drawings, the model is one of `MODELS`, the loss is
cross-entropy, the metric is accuracy beside the share of the majority class, and a `Recipe` says
how to train.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from rondo.data.augment import Augmentation
from rondo.tasks.drawn import draw_photos
from rondo.tasks.faces import SEXES, PhotoSet, load_photos
from rondo.tasks.photo_networks import (
    LECTURE_RESULTS,
    MODELS,
    LectureResult,
    PhotoNetwork,
    build_model,
)

SIZE_STEP = 32
"""Photos are scaled to multiples of this side, because most networks halve it five times."""

DRAWN = "drawn"
"""The word that stands for the embedded drawings where the path of photos is asked for."""


@dataclass(frozen=True)
class Recipe:
    """How to train on photos: everything but the data, the model, the seed and the machine.

    Args:
        num_epochs: Passes over the training photos.
        batch_size: Photos in one step.
        learning_rate: The rate of a constant schedule, the highest of a one-cycle schedule.
        schedule: "constant" or "one_cycle".
        warm_up_share: Share of the steps in which a one-cycle rate rises.
        momentum: Momentum of stochastic gradient descent.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Decay of the weights.
        decay_matrices_only: Whether biases and normalisation are spared from decay.
        dropout: Share of the last map's channels (of a fully connected network: of the last hidden
            layer's units) that are set to zero in training.
        label_smoothing: Share of the target that is spread over both classes.
        max_grad_norm: Norm to which gradients are clipped, or None.
        averaging_decay: Decay of the moving average of the weights that predicts, or None.
        augmentation: Random changes to training photos, or None.
        mirror: Size of the mirror image, in widths of the photo: a prediction is the mean over
            both. Below 1 its borders are repeated around it; 0 is for the photo alone.
        image_sizes: Pairs (share of the epochs, factor on the image size), in order; a size is
            rounded to a multiple of `SIZE_STEP`.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where the machine has it.
        channels_last: Whether images lie in memory with the colour channel innermost.
    """

    num_epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "constant"
    warm_up_share: float = 0.2
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    decay_matrices_only: bool = False
    dropout: float = 0.0
    label_smoothing: float = 0.0
    max_grad_norm: float | None = None
    averaging_decay: float | None = None
    augmentation: Augmentation | None = None
    mirror: float = 0.0
    image_sizes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    precision: str = "float32"
    channels_last: bool = False

    def image_size(self, full_size: int, epoch: int, num_epochs: int) -> int:
        """Returns the side of the training photos in an epoch, counted from 0."""
        end = 0.0
        for share, factor in self.image_sizes:
            end += share * num_epochs
            if epoch < end - 1e-9:
                return max(SIZE_STEP, int(factor * full_size / SIZE_STEP + 0.5) * SIZE_STEP)
        return full_size


_DEFAULT = Recipe(
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
    channels_last=True,
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
    # The lecture, slide "training": plain stochastic gradient descent with momentum.
    "lecture": Recipe(num_epochs=6, batch_size=128, learning_rate=0.01, channels_last=True),
}
"""The ways to train on photos, by name."""


def load_data(
    source: str, image_size: int, *, layout: str | None, seed: int, num_drawn: int
) -> dict[str, PhotoSet]:
    """Returns the photos of every split ("train", "val", "test" and others).

    Args:
        source: Path of labelled photos, or "drawn" for the embedded drawings.
        image_size: Side to which the photos are scaled.
        layout: How the photos are labelled, or None to find out.
        seed: Seed of the drawings, or of the split where the labels name none.
        num_drawn: Number of training drawings; the other splits get a share of it.
    """
    if source != DRAWN:
        return load_photos(Path(source), image_size, seed=seed, layout=layout)
    return draw_photos(
        image_size,
        num_train=num_drawn,
        num_val=max(8, num_drawn // 30),
        num_test=max(8, num_drawn // 12),
        num_cross=max(8, num_drawn // 12),
        seed=seed,
    )


def fingerprint(data: dict[str, PhotoSet]) -> str:
    """Returns 16 hexadecimal digits that change when any photo, label or split does."""
    digest = hashlib.blake2b(digest_size=8)
    for name, photo_set in sorted(data.items()):
        digest.update(name.encode())
        digest.update(photo_set.pixels.contiguous().numpy().data)
        digest.update(photo_set.labels.contiguous().numpy().data)
    return digest.hexdigest()


__all__ = [
    "DRAWN",
    "LECTURE_RESULTS",
    "MODELS",
    "RECIPES",
    "SEXES",
    "SIZE_STEP",
    "LectureResult",
    "PhotoNetwork",
    "Recipe",
    "build_model",
    "fingerprint",
    "load_data",
]
