"""The start of a run from the weights of an earlier one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from torch import nn

from rondo.errors import RunError
from rondo.models.crnn import CRNN
from rondo.training.recipe import Recipe
from rondo.training.sequences.folder import SequenceFolder
from rondo.training.task import Task

SHAPES = ("cell", "hidden_size", "num_layers", "channels")
"""What of a recipe decides about the shapes of the weights."""


def earlier_symbols(path: Path, name: str) -> str:
    """Returns the characters that an earlier run of a task has outputs for.

    Raises:
        RunError: If it is no run of the task, or has no weights yet.
    """
    return _earlier(path, name)[1]


def shaped_as(recipe: Recipe, path: Path, name: str) -> Recipe:
    """Returns a recipe with the cell and sizes of an earlier run.

    Raises:
        RunError: If it is no run of the task.
    """
    earlier = _folder_of(path, name).read_config().recipe
    same = {field.name: getattr(earlier, field.name) for field in fields(Recipe)}
    return replace(recipe, **{name: same[name] for name in SHAPES})


def start_from(model: nn.Module, path: str, task: Task) -> None:
    """Gives a new network the weights of an earlier run; outputs go by their characters.

    Raises:
        RunError: If it is no run of the task, or its network has other sizes.
    """
    earlier, symbols = _earlier(Path(path), task.name)
    assert isinstance(model, CRNN)
    assert isinstance(earlier, CRNN)
    assert task.symbols is not None
    outputs = {0: 0}  # the blank
    for number, symbol in enumerate(task.symbols):
        if symbol in symbols:
            outputs[number + 1] = symbols.index(symbol) + 1
    try:
        model.take_weights(earlier, outputs)
    except ValueError as error:
        raise RunError(
            f"cannot start from {path}: {error}; leave out --cell, --hidden-size, --num-layers "
            "and --channels to take those of that run"
        ) from error


def _folder_of(path: Path, name: str) -> SequenceFolder:
    folder = SequenceFolder(path, name)
    task = folder.read_config().task
    if task != name:
        raise RunError(f"cannot start from {path}: it is a run of `rondo train {task}`")
    return folder


def _earlier(path: Path, name: str) -> tuple[nn.Module, str]:
    model, origin = _folder_of(path, name).read_model_and_origin()
    return model, origin["symbols"]
