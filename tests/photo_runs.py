"""Small photos, a small network and short runs for the tests of training and what follows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondo.data.augment import Augmentation
from rondo.data.skipped import Skipped
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.files import PhotoSet
from rondo.tasks.photo.lists import Photo
from rondo.tasks.photo.task import RECIPES, fingerprint
from rondo.training.config import RunConfig
from rondo.training.recipe import Recipe
from rondo.training.run_folder import RunFolder

SIZE = 32
SHORT = replace(RECIPES["default"], num_epochs=3, batch_size=8, precision="float32")
"""The default recipe with all its parts; epochs of 34 photos end with the steps 5, 9 and 13."""


class TinyNetwork(nn.Module):
    """Batch normalisation, a convolution and dropout: all that makes resuming hard."""

    def __init__(self, image_size: int = SIZE, num_classes: int = 2, **_unused: Any) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.BatchNorm2d(3), nn.Conv2d(3, 4, 8, stride=8), nn.ReLU(), nn.BatchNorm2d(4)
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Conv2d(4, num_classes, 1)

    def evidence_map(self, photos: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(photos / 128)))

    def forward(self, photos: Tensor) -> Tensor:
        return self.evidence_map(photos).mean((2, 3))


def photo_set(split: str, num_photos: int, *, skipped: tuple[Skipped, ...] = ()) -> PhotoSet:
    """Noise that is a little brighter where the label is 1."""
    generator = torch.Generator().manual_seed(len(split) * 1000 + num_photos)
    labels = torch.arange(num_photos) % 3 % 2  # two thirds are 0
    noise = torch.randint(0, 200, (num_photos, 3, SIZE, SIZE), generator=generator)
    photos = tuple(
        Photo(
            Path(f"{split}/{index}.png"),
            int(label),
            split,
            source="abc"[index % 3],
            age=None if index == 0 else 7.0 * (index % 9),
            groups=((("group", "one"),), (("group", "two"),), ())[index % 3],
        )
        for index, label in enumerate(labels)
    )
    pixels = (noise + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return PhotoSet(pixels, labels, photos, SEXES, skipped)


def photo_data() -> dict[str, PhotoSet]:
    """Photos of every split; the training photos do not divide into batches of `SHORT`."""
    return {
        "train": photo_set("train", 34),
        "val": photo_set("val", 9),
        "test": photo_set("test", 12),
        "cross": photo_set("cross", 10),
    }


def class_data(classes: tuple[str, ...]) -> dict[str, PhotoSet]:
    """Photos of any classes in every split, as many of each."""
    data = {}
    for split, each in (("train", 3), ("val", 1), ("test", 2)):
        labels = torch.arange(len(classes)).repeat(each)
        photos = photo_set(split, len(labels))
        described = tuple(
            replace(photo, label=int(label), age=None)
            for photo, label in zip(photos.photos, labels, strict=True)
        )
        data[split] = replace(photos, labels=labels, photos=described, classes=classes)
    return data


def run_config(
    data: dict[str, PhotoSet], recipe: Recipe = SHORT, *, source: str = "drawn"
) -> RunConfig:
    return RunConfig(
        data=source,
        layout=None,
        data_fingerprint=fingerprint(data),
        num_drawn=34,
        image_size=SIZE,
        model="tiny",
        model_arguments={"image_size": SIZE},
        recipe_name="default",
        recipe=recipe,
        seed=5,
        num_threads=1,
        classes=data["train"].classes,
    )


def new_run(path: Path, config: RunConfig) -> RunFolder:
    folder = RunFolder(path)
    folder.create(config)
    return folder


UNCHANGED = Augmentation(
    mirror_share=0,
    rotation_degrees=0,
    log_scale=0,
    log_aspect=0,
    shift=0,
    saturation=(1, 1),
    grey_share=0,
    log_contrast=0,
    log_brightness=0,
    log_colour=0,
    light_slope=0,
    blur_share=0,
    noise=0,
    erase_share=0,
)
"""An augmentation that changes nothing."""
