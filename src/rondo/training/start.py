"""The start of a run from weights that were trained before: of a run, a file or a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondo.errors import RunError
from rondo.models.checkpoint import HUB_NAME, local_file
from rondo.training.definition import Definition
from rondo.training.recipe import Recipe
from rondo.training.run_folder import RunFolder

SHAPES = ("cell", "hidden_size", "num_layers", "embedding_size", "channels")
"""What of a recipe decides about the shapes of the weights."""


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Args:
        source: The run folder, the file or the name on the hub.
        weights: The tensors, by name.
        origin: What stood beside them; empty for a file of another program.
        recipe: The recipe of the run, where it is one.
    """

    source: str
    weights: Mapping[str, Tensor]
    origin: Mapping[str, Any]
    recipe: Recipe | None = None

    def options(self, inherited: Mapping[str, str]) -> dict[str, Any]:
        """Returns the options that a new run takes from these weights."""
        found = {name: self.origin.get(key) for name, key in inherited.items()}
        return {name: value for name, value in found.items() if value is not None}

    def shaped(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with the cell and sizes of the run that these weights are of."""
        if self.recipe is None:
            return recipe
        same = {item.name: getattr(self.recipe, item.name) for item in fields(Recipe)}
        return replace(recipe, **{name: same[name] for name in SHAPES})

    @property
    def labels(self) -> Sequence[str] | None:
        """What the outputs stand for, where they have names."""
        found = (self.origin.get(name) for name in ("symbols", "words", "classes"))
        return next((labels for labels in found if labels), None)

    @torch.no_grad()
    def give(self, network: nn.Module, labels: Sequence[str] | None) -> None:
        """Gives a new network these weights; outputs go by the names of what they stand for.

        Rows of an output, or of an embedding, whose names were not known stay as they are.

        Args:
            network: The network.
            labels: What its outputs stand for.

        Raises:
            RunError: If a weight is missing or has another shape.
        """
        known = self.labels
        by_label = known is not None and labels is not None and list(known) != list(labels)
        rows = _layers_of_labels(network, labels) if by_label and labels is not None else ()
        for name, value in network.state_dict().items():
            theirs = self.weights.get(name)
            if theirs is None or theirs.shape[1:] != value.shape[1:]:
                raise self._refusal(name, value, theirs)
            if by_label and name.rpartition(".")[0] in rows:
                assert known is not None
                assert labels is not None
                _give_rows(value, theirs, list(labels), list(known))
            elif theirs.shape == value.shape:
                value.copy_(theirs)
            else:
                raise self._refusal(name, value, theirs)

    def _refusal(self, name: str, value: Tensor, theirs: Tensor | None) -> RunError:
        there = "missing" if theirs is None else str(tuple(theirs.shape))
        return RunError(
            f"cannot start from {self.source}: {name} must be {tuple(value.shape)}, but is {there} "
            "there; leave out --cell, --hidden-size, --num-layers and --channels to take those of "
            "that run"
        )


def _give_rows(value: Tensor, theirs: Tensor, labels: list[str], known: list[str]) -> None:
    """Gives a tensor the rows of the labels that both know, and those before them (a blank)."""
    here, there = len(value) - len(labels), len(theirs) - len(known)
    for number in range(min(here, there)):
        value[number] = theirs[number]
    for number, label in enumerate(labels):
        if label in known:
            value[here + number] = theirs[there + known.index(label)]


def _layers_of_labels(network: nn.Module, labels: Sequence[str]) -> tuple[str, ...]:
    """The names of the layers with a row for each label: embeddings, and the one that answers."""
    modules = list(network.named_modules())
    embeddings = [
        name
        for name, layer in modules
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == len(labels)
    ]
    answering = [
        name
        for name, layer in modules
        if isinstance(layer, (nn.Linear, nn.Conv2d))
        and len(layer.weight) - len(labels) in (0, 1)  # the blank of CTC comes before
    ]
    return (*embeddings, *answering[-1:])


def find_start(source: str, definition: Definition) -> Start:
    """Returns the weights of a run folder, a file of safetensors, or a name on the hub.

    Raises:
        RunError: If they cannot be read, or are of another task.
    """
    path = Path(source)
    if (path / "config.json").exists() or path.is_dir():
        return _of_run(path, definition)
    if not path.exists() and not HUB_NAME.fullmatch(source):
        raise RunError(
            f"cannot start from {source}: there is no such run folder or .safetensors file, and it "
            "is no name on the Hugging Face hub, owner/name"
        )
    try:
        file = local_file(source)
    except ValueError as error:
        raise RunError(f"cannot start from {source}: {error}") from error
    name = source if HUB_NAME.fullmatch(source) and not path.exists() else os.path.abspath(source)
    return _of_file(name, file, definition)


def _of_run(path: Path, definition: Definition) -> Start:
    from rondo.training.run_paths import task_of

    task = task_of(path)
    if task is not None and task != definition.name:
        raise RunError(f"cannot start from {path}: it is a run of `rondo train {task}`")
    folder = RunFolder(path, definition)
    config = folder.read_config()
    model, origin = folder.read_model_and_origin()
    return Start(os.path.abspath(path), model.state_dict(), origin, config.recipe)


def _of_file(source: str, file: Path, definition: Definition) -> Start:
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        raise RunError(
            f"cannot start from {source}: it must be a .safetensors file of a network of "
            f"`rondo train {definition.name}`, or a run folder"
        )
    try:
        with safe_open(file, "pt") as opened:
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            origin = json.loads((opened.metadata() or {}).get("rondo", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"cannot start from {source}: {error}") from error
    task = origin.get("task", definition.name)
    if task != definition.name:
        raise RunError(f"cannot start from {source}: its weights are of `rondo train {task}`")
    return Start(source, weights, origin)
