"""The photo task: name the class of a photo, such as the sex of the person that it shows.

The data are labelled photos of any classes, or the embedded drawings; the model is one of `MODELS`,
the loss is cross-entropy, the metric is accuracy beside the share of the majority class, and a
`Recipe` says how to train.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rondo.data.augment import augment, resize, shrink
from rondo.data.batch import Batch
from rondo.data.order import Order
from rondo.data.seeds import generator_for
from rondo.data.skipped import describe_skipped
from rondo.tasks.photo.classes import SEXES, names_of
from rondo.tasks.photo.definition import RECIPES, UNUSED
from rondo.tasks.photo.drawn import draw_photos
from rondo.tasks.photo.files import load_photos
from rondo.tasks.photo.networks import (
    LECTURE_RESULTS,
    MODELS,
    LectureResult,
    PhotoNetwork,
    build_model,
)
from rondo.tasks.photo.sets import Photos
from rondo.training.definition import DRAWN
from rondo.training.recipe import SIZE_STEP, Recipe
from rondo.training.task import Place, Task, is_likeliest


def load_data(
    source: str,
    image_size: int,
    *,
    layout: str | None,
    seed: int,
    num_drawn: int,
    classes: Sequence[str] | None = None,
) -> Mapping[str, Photos]:
    """Returns the photos of every split ("train", "val", "test" and others).

    Args:
        source: Path of labelled photos, or "drawn" for the embedded drawings.
        image_size: Side to which the photos are scaled.
        layout: How the photos are labelled, or None to find out.
        seed: Seed of the drawings, or of the split where the labels name none.
        num_drawn: Number of training drawings; the other splits get a share of it.
        classes: The classes of a trained network, of which the data may have some alone; None where
            one is to learn those of the data.

    Raises:
        ValueError: If the data cannot be used, or have classes that the network does not know.
    """
    if source != DRAWN:
        return load_photos(Path(source), image_size, seed=seed, layout=layout, classes=classes)
    if classes is not None and tuple(classes) != SEXES:
        raise ValueError(
            f"the drawings show {' and '.join(SEXES)} faces, but the run learnt {names_of(classes)}"
        )
    return draw_photos(
        image_size,
        num_train=num_drawn,
        num_val=max(8, num_drawn // 30),
        num_test=max(8, num_drawn // 12),
        num_cross=max(8, num_drawn // 12),
        seed=seed,
    )


TINY = 1e-38
"""Stands for a probability of 0, whose logarithm is none."""

PREDICTED_TOGETHER = 100
"""Photos that are predicted at a time."""


class PhotoSource:
    """Batches of photos (B, 3, S, S) of uint8 with their labels (B,).

    Args:
        data: The photos of every split.
    """

    def __init__(self, data: Mapping[str, Photos]) -> None:
        self.data = data
        self.order = Order(len(data["train"]))

    def num_train(self) -> int | None:
        """How many training photos there are."""
        return self.order.num_examples

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The photos of a step."""
        photos, rows = self.data["train"], self.order.rows(seed, step, batch_size)
        return Batch(*photos.rows(rows))

    def training_targets(self) -> Tensor:
        """The labels of all training photos."""
        return self.data["train"].labels

    def check_batches(self, _seed: int, _step: int) -> Iterator[Batch]:
        """The photos of val."""
        yield from self.batches("val")

    def test_batches(self) -> Iterator[Batch]:
        """The photos of test."""
        yield from self.batches("test")

    def batches(self, split: str) -> Iterator[Batch]:
        """The photos of a split, in their order."""
        photos = self.data[split]
        for first in range(0, len(photos), PREDICTED_TOGETHER):
            yield Batch(*photos.rows(slice(first, first + PREDICTED_TOGETHER)))


def photo_task(data: Mapping[str, Photos], image_size: int, recipe: Recipe) -> Task:
    """Returns the task on the photos of some splits.

    Args:
        data: The photos of "train", "val" and perhaps others.
        image_size: The side of the photos.
        recipe: How to train on them.
    """
    return Task(
        name="photo",
        source=PhotoSource(data),
        input_size=3,
        output_size=len(data["train"].classes),
        distance="cross entropy",
        recipe=recipe,
        final=True,
        right=is_likeliest,
        unit="nats",
        classes=data["train"].classes,
        keeps_last=True,
        loss=_loss,
        training_loss=_training_loss,
        call=_call,
        answer=_answer,
        change=partial(_changed, image_size),
        counts_training=True,
        baseline=majority_rate(data["val"].labels),
        noun="photos",
        unused=UNUSED,
        is_on_accelerator=True,
        notes=data["train"].notes,
        num_skipped=len({item for photos in data.values() for item in photos.skipped}),
    )


def counts_words(data: Mapping[str, Photos], image_size: int) -> str:
    """Returns how many photos there are in each split, and how many were skipped."""
    counts = ", ".join(f"{name} {len(photos)}" for name, photos in data.items())
    skipped = {item for photos in data.values() for item in photos.skipped}
    words = f"{counts} at {image_size} px"
    return words + (f"; {describe_skipped(skipped)}" if skipped else "")


def majority_rate(labels: Tensor) -> float:
    """Returns the share of the most frequent label."""
    return float(torch.bincount(labels).max()) / len(labels)


def probabilities_of(model: nn.Module, images: Tensor, mirror: float) -> Tensor:
    """Returns the probabilities (B, K) of photos, as a recipe with such a `mirror` predicts."""
    views = [images, shrink(images.flip(3), mirror)] if mirror else [images]
    probabilities = [  # convolutions are faster with the channels last
        model(view.contiguous(memory_format=torch.channels_last)).float().softmax(dim=1)
        for view in views
    ]
    return sum(probabilities[1:], probabilities[0]) / len(views)


def _loss(outputs: Tensor, batch: Batch) -> Tensor:
    return cross_entropy(outputs, batch.targets, reduction="none")


def _training_loss(outputs: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    return cross_entropy(
        outputs, batch.targets, reduction="none", label_smoothing=recipe.label_smoothing
    )


def _call(model: nn.Module, batch: Batch, _state: Any, _recipe: Recipe) -> tuple[Tensor, Any]:
    return model(batch.inputs), None


def _answer(model: nn.Module, batch: Batch, _state: Any, recipe: Recipe) -> tuple[Tensor, Any]:
    """The logarithms of the probabilities, of which the losses are those of logits."""
    probabilities = probabilities_of(model, batch.inputs, recipe.mirror)
    return probabilities.clamp_min(TINY).log(), None


def _changed(image_size: int, batch: Batch, place: Place) -> Batch:
    """Photos in the size of their time, in training with the random changes of the recipe."""
    recipe, size = place.recipe, place.recipe.image_size(image_size, place.done)
    if place.is_training and recipe.augmentation is not None:
        generator = generator_for("augmentation", place.seed, place.step)
        images = augment(batch.inputs, size, recipe.augmentation, generator)
    else:
        images = resize(batch.inputs.float(), size)
    if recipe.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return replace(batch, inputs=images)


def fingerprint(data: Mapping[str, Photos]) -> str:
    """Returns 16 hexadecimal digits that change when any photo, label, class or split does.

    Of drawn portraits it sees the number and the first of each split.
    """
    digest = hashlib.blake2b(digest_size=8)
    classes = next((photos.classes for photos in data.values()), ())
    digest.update("\n".join(classes).encode())
    for name, photos in sorted(data.items()):
        digest.update(name.encode())
        values = photos.evidence()
        if len(photos) > len(values[0]):
            digest.update(str(len(photos)).encode())
        for value in values:
            digest.update(value.contiguous().numpy().data)
    return digest.hexdigest()


__all__ = [
    "DRAWN",
    "LECTURE_RESULTS",
    "MODELS",
    "RECIPES",
    "SEXES",
    "SIZE_STEP",
    "UNUSED",
    "LectureResult",
    "PhotoNetwork",
    "PhotoSource",
    "Recipe",
    "build_model",
    "fingerprint",
    "load_data",
    "majority_rate",
    "photo_task",
    "probabilities_of",
]
