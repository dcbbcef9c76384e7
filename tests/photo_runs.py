"""Small photos, a small network and short runs for the tests of training and what follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondo.data.augment import Augmentation
from rondo.data.skipped import Skipped
from rondo.tasks.photo import build, networks
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.definition import PHOTO, RECIPES
from rondo.tasks.photo.lists import Photo
from rondo.tasks.photo.networks import PhotoNetwork
from rondo.tasks.photo.sets import PhotoSet
from rondo.tasks.photo.task import fingerprint
from rondo.training.config import RunConfig
from rondo.training.recipe import Recipe
from rondo.training.run_folder import RunFolder
from rondo.training.session import Session
from rondo.training.task import Network

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
    data: dict[str, PhotoSet], recipe: Recipe = SHORT, *, source: str = "drawn", **options: Any
) -> RunConfig:
    """The settings of a run of the tiny network, or of another that the options name."""
    settled = {"model": "tiny", "image_size": SIZE, "num_drawn": 34, **options}
    return RunConfig(
        task="photo",
        options=PHOTO.options_from({"data": source, **settled}),
        recipe_name="default",
        recipe=recipe,
        data_fingerprint=fingerprint(data),
        seed=5,
        num_threads=1,
    )


def new_run(path: Path, config: RunConfig) -> RunFolder:
    folder = RunFolder(path, PHOTO)
    folder.create(config)
    return folder


def session_of(folder: RunFolder, data: dict[str, PhotoSet] | None = None) -> Session:
    """A run on some photos, ready to train."""
    config = folder.read_config()
    sets = photo_data() if data is None else data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "load_data", lambda *_, **__: sets)
        task = PHOTO.make_task(config.options)
    return Session(PHOTO, config, task, folder)


def trained_run(
    path: Path,
    config: RunConfig,
    model: nn.Module | None = None,
    data: dict[str, PhotoSet] | None = None,
) -> RunFolder:
    """A run whose weights are those of a network; None: of a new tiny one."""
    folder = new_run(path, config)
    session = session_of(folder, data)
    weights = (TinyNetwork() if model is None else model).state_dict()
    folder.write_weights(weights, session.origin())
    return folder


def add_network(
    monkeypatch: pytest.MonkeyPatch, build_network: Callable[..., nn.Module], name: str = "tiny"
) -> None:
    """Makes a network known to the task on photos."""
    arguments = build.NETWORKS["cnn_1"].arguments
    monkeypatch.setitem(networks.MODELS, name, PhotoNetwork(build_network))
    monkeypatch.setitem(build.NETWORKS, name, Network(build_network, arguments))


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
