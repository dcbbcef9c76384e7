"""A training run from what the user asked for to its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rondo.cells.named import num_parameters
from rondo.data.skipped import describe_skipped
from rondo.errors import RunError, look_up, num_threads_of
from rondo.models import TransferNetwork
from rondo.models.lecture_rnn1 import FORMS
from rondo.tasks.photo.task import (
    DRAWN,
    MODELS,
    RECIPES,
    UNUSED,
    PhotoSet,
    build_model,
    fingerprint,
    load_data,
    photo_task,
)
from rondo.training.config import RunConfig
from rondo.training.loggers import Logger, TensorBoardEvents
from rondo.training.precision import resolved_precision
from rondo.training.recipe import Recipe
from rondo.training.recipe_changes import changed_recipe
from rondo.training.run_folder import RunFolder, origin_of
from rondo.training.run_paths import check_new_folder, make_run_path, new_run_path
from rondo.training.task import Task
from rondo.training.weights import find_weights, read_weights

IMAGE_SIZE = 128
"""The default side of photos, in pixels."""

DRAWN_IMAGE_SIZE = 64
"""The default side of drawings, in pixels."""

BYTES_BESIDE_WEIGHTS = 64 * 2**20
"""Free space that a run folder may need for its report and records."""

BYTES_PER_PARAMETER = 32
"""Weights, their average and momentum, and the weights that predict, old and new files together."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; None stands for what the recipe or the machine says."""

    data: str = DRAWN
    layout: str | None = None
    model: str = "lecture_rnn1"
    form: str | None = None
    weights: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    image_size: int | None = None
    num_drawn: int = 6000
    seed: int = 0
    learning_rate: float | None = None
    max_grad_norm: float | None = None
    precision: str | None = None
    set: Sequence[str] | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Session:
    """A run that is ready to train."""

    config: RunConfig
    data: dict[str, PhotoSet]
    folder: RunFolder

    @cached_property
    def task(self) -> Task:
        """The task on these photos."""
        return photo_task(self.data, self.config.image_size, self.config.recipe)

    def network(self, *, is_new: bool) -> nn.Module:
        """Returns the network; at its start, where the run is new.

        Raises:
            RunError: If the weights that it is to start from cannot be used.
        """
        network = build_model(self.config.model, self.config.model_arguments)
        if is_new and self.config.weights is not None:
            assert isinstance(network, TransferNetwork)
            network.start_from(read_weights(self.config))
        return network

    def origin(self) -> dict[str, Any]:
        """Returns what stands beside the weights."""
        return origin_of(self.config)

    def logger(self) -> Logger | None:
        """Returns what writes TensorBoard events, where TensorBoard is installed."""
        path = self.folder.tensorboard
        return TensorBoardEvents(path) if TensorBoardEvents.is_there() else None


def make_config(options: Options) -> RunConfig:
    """Returns the settings that the options mean, the fingerprint of the data still missing.

    Raises:
        RunError: If an option cannot be used.
    """
    network = look_up("model", options.model, MODELS)
    is_drawn, size = options.data == DRAWN, options.image_size
    if size is None:
        size = DRAWN_IMAGE_SIZE if is_drawn else IMAGE_SIZE
    recipe_name = options.recipe or ("drawn" if is_drawn else "default")
    recipe = _recipe(recipe_name, options)
    arguments: dict[str, Any] = {
        "image_size": size,
        "num_classes": 2,
        "dropout": recipe.dropout,
    }
    if network.takes_form:
        arguments["form"] = options.form or "sane"
        look_up("form", arguments["form"], dict.fromkeys(FORMS))
    elif options.form is not None:
        raise RunError(f"{options.model} has one form only; leave out --form")
    checkpoint = find_weights(options.model, options.weights)
    if checkpoint is not None:
        arguments["depth"] = checkpoint.depth
    config = RunConfig(
        data=DRAWN if is_drawn else os.path.abspath(options.data),
        layout=options.layout,
        data_fingerprint="",
        num_drawn=options.num_drawn,
        image_size=size,
        model=options.model,
        model_arguments=arguments,
        recipe_name=recipe_name,
        recipe=recipe,
        seed=options.seed,
        num_threads=num_threads_of(options.threads),
        weights=None if checkpoint is None else checkpoint.source,
        weights_fingerprint=None if checkpoint is None else checkpoint.fingerprint,
    )
    config.check()
    return config


def _recipe(name: str, options: Options) -> Recipe:
    """Returns the recipe with the changes that the options and the network ask for."""
    recipe, network = look_up("recipe", name, RECIPES), MODELS[options.model]
    changes: dict[str, Any] = {
        "num_epochs": options.epochs,
        "batch_size": options.batch_size,
        "precision": options.precision,
        "max_grad_norm": options.max_grad_norm,
        "learning_rate": round(recipe.learning_rate * network.rate_factor, 6)
        if options.learning_rate is None
        else options.learning_rate,
        "image_sizes": ((1.0, 1.0),) if network.one_size else None,
    }
    given = {field: value for field, value in changes.items() if value is not None}
    changed = changed_recipe(replace(recipe, **given), options.set or (), UNUSED)
    return replace(changed, precision=resolved_precision(changed.precision))


def begin(options: Options, path: Path | None, say: Callable[[str], None]) -> Session:
    """Returns a new run in its new folder.

    Raises:
        RunError: If an option, the data or the folder cannot be used.
    """
    config = make_config(options)
    check_new_folder(new_run_path("photo") if path is None else path, needed_bytes(config))
    data = read_data(config, say)
    return create(config, data, make_run_path("photo") if path is None else path)


def create(config: RunConfig, data: dict[str, PhotoSet], path: Path) -> Session:
    """Returns a new run on data that were read already; it notes their fingerprint.

    Raises:
        RunError: If the folder cannot be written.
    """
    config, folder = config_of_data(config, data, fingerprint(data)), RunFolder(path)
    folder.create(config)
    return Session(config, data, folder)


def config_of_data(config: RunConfig, data: dict[str, PhotoSet], digest: str) -> RunConfig:
    """Returns the settings with the classes of the data, and their fingerprint."""
    classes = data["train"].classes
    return replace(
        config,
        data_fingerprint=digest,
        classes=classes,
        model_arguments={**config.model_arguments, "num_classes": len(classes)},
    )


def resume(path: Path, data_path: str | None, say: Callable[[str], None]) -> Session:
    """Returns a run that goes on where its folder's saved state is.

    Args:
        path: The run folder.
        data_path: Where the photos are now, if they were moved.
        say: Is given each line for the user.

    Raises:
        RunError: If the folder cannot be used or the photos are not those of the run.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    config.check()
    with folder.held(say):  # before the data are read, which takes long
        folder.check_weights()
    if data_path is not None:
        config = replace(config, data=data_path)
    data = read_data(config, say)
    if fingerprint(data) != config.data_fingerprint:
        raise RunError(
            f"the photos in {config.data} are not those that the run {path} began with; "
            "give the unchanged ones with --data, or begin a new run"
        )
    return Session(config, data, folder)


def read_data(
    config: RunConfig, say: Callable[[str], None], classes: Sequence[str] | None = None
) -> dict[str, PhotoSet]:
    """Returns the photos that the settings name, and tells how many there are.

    Args:
        config: The settings.
        say: Is given each line for the user.
        classes: The classes of a trained network that is to be measured on them.

    Raises:
        RunError: If they cannot be read.
    """
    say(
        f"{'drawing portraits' if config.data == DRAWN else f'reading photos of {config.data}'} ..."
    )
    try:
        data = load_data(
            config.data,
            config.image_size,
            layout=config.layout,
            seed=config.seed if config.data_seed is None else config.data_seed,
            num_drawn=config.num_drawn,
            classes=classes,
        )
    except (ValueError, OSError) as error:
        raise RunError(f"cannot use the data {config.data}: {error}") from error
    counts = ", ".join(f"{name} {len(photos.labels)}" for name, photos in data.items())
    skipped = {item for photos in data.values() for item in photos.skipped}
    say(
        f"{counts} at {config.image_size} px"
        + (f"; {describe_skipped(skipped)}" if skipped else "")
    )
    for note in (note for photos in data.values() for note in photos.notes):
        say(note)
    return data


def needed_bytes(config: RunConfig) -> int:
    """Returns the free space that a run of these settings may need, in bytes."""
    with torch.device("meta"):  # sizes alone, no memory
        model = build_model(config.model, config.model_arguments)
    return BYTES_BESIDE_WEIGHTS + BYTES_PER_PARAMETER * num_parameters(model)
