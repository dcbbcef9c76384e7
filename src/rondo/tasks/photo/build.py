"""From the options of `rondo train photo` to the task: its photos, its network, its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from rondo.errors import RunError, check_from_1, look_up
from rondo.models import Checkpoint, TransferNetwork, load_checkpoint
from rondo.models.lecture_rnn1 import FORMS
from rondo.tasks.photo.definition import RECIPES
from rondo.tasks.photo.networks import MODELS, PhotoNetwork
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import DRAWN, counts_words, fingerprint, load_data, photo_task
from rondo.training.recipe import SIZE_STEP, Recipe
from rondo.training.task import Network, Task

IMAGE_SIZE = 128
"""The default side of photos, in pixels."""

DRAWN_IMAGE_SIZE = 64
"""The default side of drawings, in pixels."""


def photo(
    data: str | None = None,
    *,
    layout: str | None = None,
    model: str = "lecture_rnn1",
    form: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    num_drawn: int = 6000,
    split_seed: int = 0,
    depth: int | None = None,
    weights_fingerprint: str | None = None,
) -> Task:
    """The task on labelled photos, or on drawn portraits.

    Args:
        data: Labelled photos, or None for drawn portraits.
        layout: How the photos are labelled; None finds out.
        model: A name in `rondo.tasks.photo.networks.MODELS`.
        form: Of lecture_rnn1: "sane" or "lecture".
        weights: Weights of a trained ResNet for transfer learning, a file or a name on the hub.
        image_size: The side of the photos in pixels.
        num_drawn: The number of training drawings; the other splits get a share of it.
        split_seed: Chooses the drawings, or what is held out where the labels name no split.
        depth: Of networks that take weights: the depth of their ResNet, if it is known.
        weights_fingerprint: The digest of the weights, if it is known.

    Raises:
        ValueError: Where an option, the photos or the weights cannot be used.
        OSError: Where something cannot be read.
    """
    network = look_up("model", model, MODELS)
    size = image_size or (DRAWN_IMAGE_SIZE if data is None else IMAGE_SIZE)
    _check_size(size)
    check_from_1(number_of_drawn_portraits=num_drawn)
    settled: dict[str, Any] = {"image_size": size}
    settled |= _form(model, network, form) | _weights(model, network, weights, depth)
    kind = "drawn" if data is None else "default"
    recipe = adapted(RECIPES[kind], network)
    sets = _photos(data, size, layout, split_seed, num_drawn)
    begin = None
    if network.takes_weights:
        known = weights_fingerprint or settled.get("weights_fingerprint")
        begin = partial(_start, source=str(weights), fingerprint=known)
    task = photo_task(sets, size, recipe)
    arguments = {"image_size": size, "num_classes": task.output_size}
    arguments |= {name: settled[name] for name in ("form", "depth") if name in settled}
    return replace(
        task,
        model=model,
        recipe_name=kind,
        model_arguments=arguments,
        prepare=begin,
        adapt=partial(adapted, network=network),
        check=partial(_check_batches, model, network, size, num_drawn if data is None else None),
        settled=settled,
        digest=fingerprint(sets),
        notes=(*task.notes, counts_words(sets, size)),
    )


def _photos(
    data: str | None, size: int, layout: str | None, seed: int, num_drawn: int
) -> Mapping[str, Photos]:
    source = DRAWN if data is None else data
    try:
        return load_data(source, size, layout=layout, seed=seed, num_drawn=num_drawn)
    except ValueError as error:
        raise ValueError(f"cannot use the data {source}: {error}") from error


def adapted(recipe: Recipe, network: PhotoNetwork) -> Recipe:
    """Returns a recipe as a network needs it: its rate, and photos of one size where it must."""
    rate = round(recipe.learning_rate * network.rate_factor, 6)
    sizes = ((1.0, 1.0),) if network.one_size else recipe.image_sizes
    return replace(recipe, learning_rate=rate, image_sizes=sizes)


def _check_size(size: int) -> None:
    if size < SIZE_STEP or size % SIZE_STEP:
        raise ValueError(
            f"the image size must be a multiple of {SIZE_STEP}, but is {size}; "
            f"try {max(1, round(size / SIZE_STEP)) * SIZE_STEP}"
        )


def _form(model: str, network: PhotoNetwork, form: str | None) -> dict[str, Any]:
    """The form of a network that has two."""
    if not network.takes_form:
        if form is not None:
            raise ValueError(f"{model} has one form only; leave out --form")
        return {}
    look_up("form", form or "sane", dict.fromkeys(FORMS))
    return {"form": form or "sane"}


def _weights(
    model: str, network: PhotoNetwork, weights: str | None, depth: int | None
) -> dict[str, Any]:
    """The depth and the digest of the weights that a network starts from."""
    if not network.takes_weights:
        if weights is None:
            return {}
        takers = ", ".join(name for name, other in MODELS.items() if other.takes_weights)
        raise ValueError(f"{model} starts from nothing; --weights goes with {takers}")
    if weights is None:
        raise ValueError(
            f"{model} needs weights of a trained ResNet-18 or -50, and no weights were given: "
            "give --weights a file, or owner/name on the Hugging Face hub"
        )
    if depth is not None:  # a run that goes on need not read them
        return {"depth": depth}
    checkpoint = _load(weights)
    return {"depth": checkpoint.depth, "weights_fingerprint": checkpoint.fingerprint}


def _start(network: nn.Module, *, source: str, fingerprint: str | None) -> None:
    """Gives a new network the weights that it starts from."""
    assert isinstance(network, TransferNetwork)
    checkpoint = _load(source)
    if checkpoint.fingerprint != fingerprint:
        raise RunError(
            f"the weights in {source} are not those that the run began with; put the unchanged "
            "ones there, or begin a new run"
        )
    network.start_from(checkpoint)


def _load(source: str) -> Checkpoint:
    try:
        return load_checkpoint(source)
    except ValueError as error:
        raise RunError(f"cannot use the weights: {error}") from error


def _check_batches(
    model: str, network: PhotoNetwork, size: int, num_drawn: int | None, recipe: Recipe
) -> None:
    """Raises `ValueError` where a batch would be too small to be normalised."""
    num_epochs = recipe.num_epochs or 1
    sizes = [recipe.image_size(size, n / num_epochs) for n in range(num_epochs)]
    least = network.least_batch_size(min(sizes))
    counts = {
        "batch size": recipe.examples_at_once,
        "number of drawn portraits": num_drawn or least,
    }
    for name, count in counts.items():
        if count < least:
            raise ValueError(
                f"the {name} must be {least} or more, but is {count}: {model} normalises over the "
                f"batch, and one photo of {min(sizes)} pixels is too few for that"
            )


def _arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    return {**task.model_arguments, "dropout": recipe.dropout}


def _network(build: Callable[..., nn.Module]) -> Network:
    return Network(build, _arguments)


NETWORKS: dict[str, Network] = {name: _network(network.build) for name, network in MODELS.items()}
"""What makes a network of a name, and of what."""
