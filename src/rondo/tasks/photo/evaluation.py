"""How good predictions are, from probabilities and labels: pure functions.

Every accuracy comes with its number of photos and a 95 % interval, and beside it stands the share
of the majority class: what one would get by always saying the more frequent label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rondo.measures.calibration import Calibration, calibration, temper
from rondo.measures.intervals import Share, wilson
from rondo.tasks.photo.task import (
    PREDICTED_TOGETHER,
    SEXES,
    PhotoSet,
    majority_rate,
    probabilities_of,
)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Evaluation:
    """What predictions on one split are worth.

    Args:
        accuracy: Share of photos whose more probable class is the label.
        majority_rate: Share of the more frequent label.
        temperature: What divided the logits; it moves no answer.
        calibration: How far the probabilities can be believed.
        before: The same without the temperature.
        confusion: Numbers of photos, one row for each label and one column for each prediction.
        by_source: Accuracy for each source of photos.
        by_age: Accuracy for each decade of age.
        by_group: Accuracy for each group that the labels name.
    """

    accuracy: Share
    majority_rate: float
    temperature: float
    calibration: Calibration
    before: Calibration
    confusion: tuple[tuple[int, int], tuple[int, int]]
    by_source: dict[str, Share]
    by_age: dict[str, Share]
    by_group: dict[str, Share]

    def parts(self) -> dict[str, dict[str, Share]]:
        """Returns the accuracy by label, source, age and group, by what they are called."""
        by_label = {
            sex: wilson(counts[label], sum(counts))
            for label, (sex, counts) in enumerate(zip(SEXES, self.confusion, strict=True))
        }
        by_others = {"source": self.by_source, "age": self.by_age, "group": self.by_group}
        return {"label": by_label, **by_others}

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers as dictionaries and lists, for JSON."""
        return asdict(self)


def evaluate(probabilities: Tensor, photo_set: PhotoSet, temperature: float = 1.0) -> Evaluation:
    """Returns what predictions are worth on the photos of one split.

    Args:
        probabilities: What the network predicts (N, 2), before the temperature.
        photo_set: The photos.
        temperature: What divides the logits.
    """
    probabilities, labels = probabilities.double().cpu(), photo_set.labels
    predicted = probabilities.argmax(dim=1)
    correct = predicted == labels
    counts = torch.bincount(labels * 2 + predicted, minlength=4).tolist()
    photos = photo_set.photos
    return Evaluation(
        accuracy=wilson(int(correct.sum()), len(labels)),
        majority_rate=majority_rate(labels),
        temperature=temperature,
        calibration=calibration(temper(probabilities, temperature), labels),
        before=calibration(probabilities, labels),
        confusion=((counts[0], counts[1]), (counts[2], counts[3])),
        by_source=accuracy_by([photo.source or None for photo in photos], correct),
        by_age=accuracy_by([_decade(photo.age) for photo in photos], correct),
        by_group=accuracy_by([photo.group or None for photo in photos], correct),
    )


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
    """Returns the probabilities (N, 2) of photos.

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
    """Returns the probabilities (N, 2) of one batch, on the CPU."""
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
