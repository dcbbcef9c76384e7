"""How good predictions are, from probabilities and labels: pure functions.

Every accuracy comes with its number of photos and a 95 % interval, and beside it stands the share
of the majority class: what one would get by always saying the more frequent label.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.tasks.augmentation import resize
from rondo.tasks.photo import PhotoSet

NORMAL_QUANTILE = 1.959963984540054
"""Half width of a two-sided 95 % interval of the normal distribution."""

NUM_BINS = 10
"""Bins of predicted probability in the reliability plot and the calibration error."""

BATCH_SIZE = 100
"""Photos that are predicted at a time."""


@dataclass(frozen=True)
class Share:
    """A share of photos with its 95 % Wilson interval; the number may be a mean over runs."""

    num_correct: float
    num_photos: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """Photos with a similar predicted probability of the second class."""

    num_photos: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Evaluation:
    """What predictions on one split are worth.

    Args:
        accuracy: Share of photos whose more probable class is the label.
        majority_rate: Share of the more frequent label.
        loss: Mean negative log likelihood of the labels, in nats.
        calibration_error: Mean distance of predicted from observed shares over the bins.
        confusion: Numbers of photos, one row for each label and one column for each prediction.
        bins: The reliability of the probabilities.
        by_source: Accuracy for each source of photos.
        by_age: Accuracy for each decade of age.
        by_group: Accuracy for each group that the labels name.
    """

    accuracy: Share
    majority_rate: float
    loss: float
    calibration_error: float
    confusion: tuple[tuple[int, int], tuple[int, int]]
    bins: tuple[Bin, ...]
    by_source: dict[str, Share]
    by_age: dict[str, Share]
    by_group: dict[str, Share]

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers as dictionaries and lists, for JSON."""
        return asdict(self)


def wilson(num_correct: float, num_photos: int) -> Share:
    """Returns a share with its 95 % interval after Wilson (1927); 0 photos give 0 to 1."""
    if num_photos == 0:
        return Share(0, 0, math.nan, 0.0, 1.0)
    value, z2 = num_correct / num_photos, NORMAL_QUANTILE**2
    centre = (value + z2 / (2 * num_photos)) / (1 + z2 / num_photos)
    spread = value * (1 - value) / num_photos + z2 / (4 * num_photos**2)
    half = NORMAL_QUANTILE * math.sqrt(spread) / (1 + z2 / num_photos)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Share(num_correct, num_photos, value, min(low, value), max(high, value))


def evaluate(probabilities: Tensor, photo_set: PhotoSet) -> Evaluation:
    """Returns what the probabilities (N, 2) are worth on the photos of one split."""
    probabilities, labels = probabilities.double().cpu(), photo_set.labels
    predicted = probabilities.argmax(dim=1)
    correct = predicted == labels
    bins = reliability(probabilities[:, 1], labels)
    of_label = probabilities.gather(1, labels.unsqueeze(1)).clamp_min(1e-12)
    counts = torch.bincount(labels * 2 + predicted, minlength=4).tolist()
    photos = photo_set.photos
    return Evaluation(
        accuracy=wilson(int(correct.sum()), len(labels)),
        majority_rate=majority_rate(labels),
        loss=float(-of_label.log().mean()),
        calibration_error=calibration_error(bins),
        confusion=((counts[0], counts[1]), (counts[2], counts[3])),
        bins=bins,
        by_source=accuracy_by([photo.source or None for photo in photos], correct),
        by_age=accuracy_by([_decade(photo.age) for photo in photos], correct),
        by_group=accuracy_by([photo.group or None for photo in photos], correct),
    )


def majority_rate(labels: Tensor) -> float:
    """Returns the share of the more frequent label."""
    return float(torch.bincount(labels, minlength=2).max()) / len(labels)


def accuracy_by(keys: list[str | None], correct: Tensor) -> dict[str, Share]:
    """Returns the accuracy for each key, in the order of the keys; None keys are left out."""
    counts: dict[str, tuple[int, int]] = {}
    for key, right in zip(keys, correct.tolist(), strict=True):
        if key is not None:
            num_correct, num_photos = counts.get(key, (0, 0))
            counts[key] = num_correct + right, num_photos + 1
    ordered = sorted(counts, key=lambda key: (_leading_number(key), key))
    return {key: wilson(*counts[key]) for key in ordered}


def reliability(probability: Tensor, labels: Tensor) -> tuple[Bin, ...]:
    """Returns, for tenths of the predicted probability, the observed share; empty ones left out."""
    tenth = (probability * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    return tuple(
        Bin(
            int((tenth == index).sum()),
            float(probability[tenth == index].mean()),
            float(labels[tenth == index].double().mean()),
        )
        for index in range(NUM_BINS)
        if (tenth == index).any()
    )


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Returns the expected calibration error for two classes (Naeini et al., 2015)."""
    total = sum(item.num_photos for item in bins)
    return sum(item.num_photos * abs(item.predicted - item.observed) for item in bins) / total


def predict(
    model: nn.Module,
    pixels: Tensor,
    *,
    mirror: bool,
    precision: str,
    image_size: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Tensor | None:
    """Returns the probabilities (N, 2) of photos, or None where it was asked to stop meanwhile.

    Args:
        model: A classifier of pixels 0..255; it computes in evaluation mode.
        pixels: The photos (N, 3, S, S), of any type of number.
        mirror: Whether to take the mean over each photo and its mirror image.
        precision: "float32" or "bfloat16".
        image_size: Side to which the photos are scaled, or None to leave them as they are.
        should_stop: Is asked after each batch.
    """
    was_training = model.training
    model.eval()
    batches = []
    try:
        for batch in pixels.split(BATCH_SIZE):
            batch = batch if image_size is None else resize(batch, image_size)
            batches.append(_probabilities(model, batch, mirror=mirror, precision=precision))
            if should_stop():
                return None
    finally:
        model.train(was_training)
    return torch.cat(batches)


@torch.no_grad()
def _probabilities(model: nn.Module, pixels: Tensor, *, mirror: bool, precision: str) -> Tensor:
    """Returns the probabilities (N, 2) of one batch, on the CPU."""
    images = pixels.to(next(model.parameters()).device).float()
    views = (images, images.flip(3)) if mirror else (images,)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        probabilities = [model(view).float().softmax(dim=1) for view in views]
    return (sum(probabilities[1:], probabilities[0]) / len(views)).cpu()


def _decade(age: float | None) -> str | None:
    if age is None:
        return None
    first = int(age) // 10 * 10
    return f"{first}-{first + 9}"


def _leading_number(key: str) -> int:
    digits = key.split("-")[0]
    return int(digits) if digits.isdigit() else 0
