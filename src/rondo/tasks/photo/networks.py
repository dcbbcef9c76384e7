"""The networks that can be trained on photos, by name, and what the lecture says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from rondo import models


@dataclass(frozen=True)
class PhotoNetwork:
    """A network, and what must be known of it to train it.

    Args:
        build: Makes one of (image_size, num_classes, dropout) and of what it takes beside.
        takes_form: Whether it has the forms "sane" and "lecture".
        takes_weights: Whether it starts from the weights of a trained ResNet, and is made of its
            depth.
        one_size: Whether all its photos must have one size.
        reduction: How much smaller than the photo the smallest map is that it normalises over the
            batch; None where it normalises vectors.
        rate_factor: Its learning rate over the recipe's.
    """

    build: Callable[..., nn.Module]
    takes_form: bool = False
    takes_weights: bool = False
    one_size: bool = False
    reduction: int | None = 32
    rate_factor: float = 1.0

    def least_batch_size(self, image_size: int) -> int:
        """Returns 2 where batch normalisation would see one value of each channel in a photo."""
        return 2 if self.reduction is None or image_size // self.reduction <= 1 else 1


@dataclass(frozen=True)
class LectureResult:
    """What the lecture's table says of a network: accuracy in %, training time in seconds."""

    accuracy: float
    seconds: float


MODELS: dict[str, PhotoNetwork] = {
    "fcnn_1": PhotoNetwork(models.fcnn_1, one_size=True, reduction=None),
    "fcnn_2": PhotoNetwork(models.fcnn_2, one_size=True, reduction=None),
    "fcnn_3": PhotoNetwork(models.fcnn_3, one_size=True, reduction=None),
    "cnn_1": PhotoNetwork(models.cnn_1, reduction=8),
    "cnn_2": PhotoNetwork(models.cnn_2, reduction=16),
    "resnet_18": PhotoNetwork(models.resnet_18),
    "resnet_50": PhotoNetwork(models.resnet_50),
    "tl_1": PhotoNetwork(models.tl_1, takes_weights=True),
    "tl_2": PhotoNetwork(models.tl_2, takes_weights=True, rate_factor=1 / 3),
    "tl_3": PhotoNetwork(models.tl_3, takes_weights=True, rate_factor=1 / 3),
    "lecture_rnn1": PhotoNetwork(models.lecture_rnn1, takes_form=True),
    "sweep_net": PhotoNetwork(models.sweep_net),
}
"""The networks that can be trained on photos, by name: the eleven of the lecture's table, and ours.

Weights that were trained elsewhere are trained further at a third of the rate.
"""

LECTURE_RESULTS = {
    "fcnn_1": LectureResult(71.2, 932),
    "fcnn_2": LectureResult(73.5, 977),
    "fcnn_3": LectureResult(77.7, 1013),
    "cnn_1": LectureResult(79.3, 1582),
    "cnn_2": LectureResult(83.5, 2030),
    "resnet_18": LectureResult(81.3, 15127),
    "resnet_50": LectureResult(80.9, 11849),
    "tl_1": LectureResult(85.6, 119975),
    "tl_2": LectureResult(85.3, 119989),
    "tl_3": LectureResult(86.3, 39282),
    "lecture_rnn1": LectureResult(81.9, 29571),
}
"""The table at the end of the lecture: accuracy on photos that it does not name, training time on
a Tesla K40s with Intel neon. It gives the epochs of three: 90 of ResNet-18 and of the recurrent
network, 30 of ResNet-50."""


def build_model(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Returns a new network of `MODELS`, its weights drawn from torch's global generator."""
    return MODELS[name].build(**arguments)
