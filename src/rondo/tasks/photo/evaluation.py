"""How good predictions are, from probabilities and labels: pure functions.

Every accuracy comes with its number of photos and a 95 % interval, and beside it stands the share
of the majority class: what one would get by always saying the most frequent label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from rondo.measures.calibration import Calibration, calibration, temper
from rondo.measures.classes import (
    ClassScore,
    MacroAverage,
    Mistake,
    class_scores,
    confusion_of,
    macro_average,
    most_confused,
    top_accuracy,
)
from rondo.measures.intervals import Share, wilson
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import PREDICTED_TOGETHER, majority_rate, probabilities_of

Value = TypeVar("Value")


@dataclass(frozen=True)
class Evaluation:
    """What predictions on one split are worth.

    Args:
        accuracy: Share of photos whose most probable class is the label.
        top_5: Share of photos whose label is among the five most probable classes; None for five
            classes or fewer.
        majority_rate: Share of the most frequent label.
        temperature: What divided the logits; it moves no answer.
        calibration: How far the probabilities can be believed.
        before: The same without the temperature.
        macro: Means over the classes.
        scores: The figures of each class.
        mistakes: The classes that are confused most often.
        confusion: Numbers of photos, one row for each label and one column for each prediction;
            empty for very many classes.
        by_source: Accuracy for each source of photos.
        by_age: Accuracy for each decade of age.
        by_groups: By what the photos are grouped, accuracy for each group that the labels name.
    """

    accuracy: Share
    top_5: Share | None
    majority_rate: float
    temperature: float
    calibration: Calibration
    before: Calibration
    macro: MacroAverage
    scores: tuple[ClassScore, ...]
    mistakes: tuple[Mistake, ...]
    confusion: tuple[tuple[int, ...], ...]
    by_source: dict[str, Share]
    by_age: dict[str, Share]
    by_groups: dict[str, dict[str, Share]]

    def parts(self) -> dict[str, dict[str, Share]]:
        """Returns the accuracy by label, source, age and group, by what they are called."""
        by_label = {score.name: wilson(score.num_right, score.support) for score in self.scores}
        return {
            "label": by_label,
            "source": self.by_source,
            "age": self.by_age,
            **self.by_groups,
        }


def evaluate(probabilities: Tensor, photo_set: Photos, temperature: float = 1.0) -> Evaluation:
    """Returns what predictions are worth on the photos of one split.

    Args:
        probabilities: What the network predicts (N, K), before the temperature.
        photo_set: The photos.
        temperature: What divides the logits.
    """
    probabilities, labels = probabilities.double().cpu(), photo_set.labels
    classes, photos = photo_set.classes, photo_set.photos
    predicted = probabilities.argmax(dim=1)
    correct = predicted == labels
    scores = class_scores(predicted, labels, classes)
    return Evaluation(
        accuracy=wilson(int(correct.sum()), len(labels)),
        top_5=top_accuracy(probabilities, labels),
        majority_rate=majority_rate(labels),
        temperature=temperature,
        calibration=calibration(temper(probabilities, temperature), labels),
        before=calibration(probabilities, labels),
        macro=macro_average(scores),
        scores=scores,
        mistakes=most_confused(predicted, labels, classes),
        confusion=confusion_of(predicted, labels, len(classes)),
        by_source=accuracy_by([photo.source or None for photo in photos], correct),
        by_age=accuracy_by([_decade(photo.age) for photo in photos], correct),
        by_groups=_by_groups(photo_set, correct),
    )


def _by_groups(photo_set: Photos, correct: Tensor) -> dict[str, dict[str, Share]]:
    groups = [dict(photo.groups) for photo in photo_set.photos]
    names = sorted({name for found in groups for name in found})
    return {name: accuracy_by([found.get(name) for found in groups], correct) for name in names}


def unseen(splits: Mapping[str, Value]) -> dict[str, Value]:
    """Returns what belongs to the splits that neither weights nor temperature were fitted to."""
    return {name: value for name, value in splits.items() if name not in ("train", "val")}


def accuracy_by(keys: list[str | None], correct: Tensor) -> dict[str, Share]:
    """Returns the accuracy for each key, in the order of the keys; None keys are left out."""
    counts: dict[str, tuple[int, int]] = {}
    for key, right in zip(keys, correct.tolist(), strict=True):
        if key is not None:
            num_correct, num_photos = counts.get(key, (0, 0))
            counts[key] = num_correct + right, num_photos + 1
    ordered = sorted(counts, key=lambda key: (_leading_number(key), key))
    return {key: wilson(*counts[key]) for key in ordered}


def predict(
    model: nn.Module,
    pixels: Tensor,
    *,
    mirror: float,
    precision: str,
) -> Tensor:
    """Returns the probabilities (N, K) of photos.

    Args:
        model: A classifier of pixels 0..255; it computes in evaluation mode.
        pixels: The photos (N, 3, S, S), of any type of number.
        mirror: Size of the mirror image, in widths of the photo, whose probabilities are averaged
            with those of the photo; 0 for the photo alone.
        precision: "float32" or "bfloat16".
    """
    was_training = model.training
    model.eval()
    batches = []
    try:
        for batch in pixels.split(PREDICTED_TOGETHER):
            batches.append(_probabilities(model, batch, mirror=mirror, precision=precision))
    finally:
        model.train(was_training)
    return torch.cat(batches)


@torch.no_grad()
def _probabilities(model: nn.Module, pixels: Tensor, *, mirror: float, precision: str) -> Tensor:
    """Returns the probabilities (N, K) of one batch, on the CPU."""
    images = pixels.to(next(model.parameters()).device).float()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return probabilities_of(model, images, mirror).cpu()


def _decade(age: float | None) -> str | None:
    if age is None:
        return None
    first = int(age) // 10 * 10
    return f"{first}-{first + 9}"


def _leading_number(key: str) -> int:
    digits = key.split("-")[0]
    return int(digits) if digits.isdigit() else 0
