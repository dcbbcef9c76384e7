"""A run on sequences from what the user asked for to what it gave."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from rondo.cells.named import NAMED_CELLS, named_cell, num_parameters
from rondo.errors import RunError, num_threads_of, suggestion
from rondo.training.engine import Engine
from rondo.training.precision import resolved_precision
from rondo.training.recipe import Recipe
from rondo.training.recipe_changes import changed_recipe
from rondo.training.run_paths import check_new_folder, make_run_path, new_run_path
from rondo.training.sequences.config import SequenceConfig, build_task, needs_data
from rondo.training.sequences.folder import SequenceFolder
from rondo.training.sequences.networks import build_network, network_arguments
from rondo.training.sequences.start import earlier_symbols, shaped_as, start_from
from rondo.training.task import Task


@dataclass(frozen=True)
class Options:
    """What the user asked for; None stands for what the task or the machine says."""

    data: str | None = None
    length: int | None = None
    transpose: int | None = None
    alphabet: str | None = None
    width: int | None = None
    fonts: str | None = None
    split_seed: int | None = None
    distortion: float | None = None
    bidirectional: bool | None = None
    size: str | None = None
    video: bool | None = None
    context: str | None = None
    weights: str | None = None
    kind: str | None = None
    target: str | None = None
    inputs: str | None = None
    id: str | None = None
    time: str | None = None
    known: str | None = None
    horizon: int | None = None
    season: int | None = None
    quantiles: str | None = None
    cell: str | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    embedding_size: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    num_sequences: int | None = None
    epochs: int | None = None
    patience: int | None = None
    optimizer: str | None = None
    max_grad_norm: float | None = None
    dropout: float | None = None
    weight_noise: float | None = None
    channels: int | None = None
    precision: str | None = None
    start_from: str | None = None
    set: Sequence[str] | None = None
    seed: int = 0
    threads: int | None = None


PATHS = ("data", "fonts")
"""The options of a task that are paths; they are kept as absolute ones."""

TASK_OPTIONS = (
    *("length", "transpose", "alphabet", "width", "split_seed", "distortion", "bidirectional"),
    *("size", "video", "context", "weights"),
    *("kind", "target", "inputs", "id", "time", "known", "horizon", "season", "quantiles"),
    *PATHS,
)
"""The options that a task takes itself; which of them, its function says."""


SOME_HAVE = ("embedding_size", "channels")
"""The fields of a recipe that are for some networks alone: None where a task's network has none."""


@dataclass(frozen=True)
class Session:
    """A run that is ready to train."""

    config: SequenceConfig
    task: Task
    folder: SequenceFolder

    def network(self, *, is_new: bool) -> nn.Module:
        """Returns the network; at its start, where the run is new.

        Raises:
            RunError: If the run that it is to start from cannot be used.
        """
        network = new_network(self.config, self.task)
        if is_new and self.config.start_from is not None:
            start_from(network, self.config.start_from, self.task)
        return network

    def origin(self) -> dict[str, Any]:
        """Returns what stands beside the weights."""
        config, task = self.config, self.task
        return {
            "task": config.task,
            "model": task.model,
            "arguments": network_arguments(task, config.recipe),
            "version": config.versions["rondo"],
            "symbols": task.symbols,
            "words": task.words,
            "classes": task.classes or task.pixel_classes,
        }


def begin(name: str, options: Options, path: Path | None, say: Callable[[str], None]) -> Session:
    """Returns a new run of a task in its new folder.

    Raises:
        RunError: If an option, the data or the folder cannot be used.
    """
    config, task = make_config(name, options)
    check_new_folder(new_run_path(name) if path is None else path)
    folder = SequenceFolder(make_run_path(name) if path is None else path, name)
    folder.create(config, say)
    say(description(config, task))
    return Session(config, task, folder)


def resume(name: str, path: Path, data: str | None, say: Callable[[str], None]) -> Session:
    """Returns a run that goes on where its folder's saved state is.

    Args:
        name: The task.
        path: The run folder.
        data: Where the data are now, if they were moved.
        say: Is given each line for the user.

    Raises:
        RunError: If the folder cannot be used or the data are not those of the run.
    """
    folder = SequenceFolder(path, name)
    config = folder.read_config()
    if config.task != name:
        raise RunError(f"{path} is a run of `rondo train {config.task}`, and not of {name}")
    config.check()
    with folder.held(say):  # before the data are read, which may take long
        folder.check_weights()
    if data is not None:
        moved = {**config.task_arguments, "data": os.path.abspath(data)}
        config = replace(config, task_arguments=moved)
    task = build_task(name, config.task_arguments)
    if fingerprint(task, config.task_arguments) != config.data_fingerprint:
        found = config.task_arguments.get("data", "that are drawn here")
        raise RunError(
            f"the data {found} are not those that the run {path} began "
            "with; give the unchanged ones with --data, or begin a new run"
        )
    say(description(config, task))
    return Session(config, task, folder)


def new_engine(config: SequenceConfig, task: Task) -> Engine:
    """Returns the loop of a task at its start."""
    return Engine(config, task, partial(new_network, config, task))


def new_network(config: SequenceConfig, task: Task) -> nn.Module:
    """Returns the network of a task, with the figures that it takes from the training examples."""
    network = build_network(task.model, network_arguments(task, config.recipe))
    if task.prepare is not None:
        task.prepare(network)
    return network


def make_config(name: str, options: Options) -> tuple[SequenceConfig, Task]:
    """Returns the settings that the options mean, and the task with its data.

    Raises:
        RunError: If an option or the data cannot be used.
    """
    arguments: dict[str, Any] = {
        key: value for key in TASK_OPTIONS if (value := getattr(options, key)) is not None
    }
    arguments |= {key: os.path.abspath(arguments[key]) for key in PATHS if key in arguments}
    if os.path.exists(arguments.get("weights", "")):  # else a name on the hub
        arguments["weights"] = os.path.abspath(arguments["weights"])
    if "data" not in arguments and needs_data(name):
        raise RunError(f"{name} needs data: give --data PATH")
    start = None if options.start_from is None else Path(options.start_from)
    if start is not None:
        arguments["known"] = earlier_symbols(start, name)
    task = build_task(name, arguments)
    if start is not None:
        task = replace(task, recipe=shaped_as(task.recipe, start, name))
    config = SequenceConfig(
        task=name,
        task_arguments=arguments,
        data_fingerprint=fingerprint(task, arguments),
        recipe=make_recipe(task, options),
        start_from=None if start is None else os.path.abspath(start),
        seed=options.seed,
        num_threads=num_threads_of(options.threads),
    )
    config.check()
    return config, task


def make_recipe(task: Task, options: Options) -> Recipe:
    """Returns the task's recipe with what the options change.

    Raises:
        RunError: If there is no such cell, or epochs are asked for where there are none.
    """
    names = {field.name for field in fields(Recipe)} & {field.name for field in fields(Options)}
    changes = {key: value for key in names if (value := getattr(options, key)) is not None}
    if options.cell is not None:
        changes["cell"] = cell_name(options.cell)
    num_train = task.source.num_train()
    if num_train is not None:
        changes["check_every"] = num_train
        if options.epochs is not None:
            changes["num_sequences"] = options.epochs * num_train
    absent = [name for name in SOME_HAVE if getattr(task.recipe, name) is None]
    unused = (*task.unused, *absent)
    recipe = changed_recipe(replace(task.recipe, **changes), options.set or (), unused)
    if num_train is None and (options.epochs is not None or recipe.num_epochs is not None):
        raise RunError(
            f"{task.name} draws a new sequence every time and has no epochs; give --sequences"
        )
    return replace(recipe, precision=resolved_precision(recipe.precision))


def cell_name(word: str) -> str:
    """Returns the name of the cell that a word means.

    Raises:
        RunError: If there is none.
    """
    try:
        return named_cell(word)
    except KeyError:
        raise RunError(
            f"there is no cell {word!r}; {suggestion(word.lower(), NAMED_CELLS)}"
        ) from None


def fingerprint(task: Task, arguments: dict[str, Any]) -> str | None:
    """Returns 16 hexadecimal digits that change when the data do; None where there are none."""
    if task.digest is not None:
        return task.digest
    if "data" not in arguments:
        return None
    path = Path(arguments["data"])
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def description(config: SequenceConfig, task: Task) -> str:
    """Returns for example `adding: lstm, 32 units, 4513 parameters; 200000 sequences`."""
    recipe = config.recipe
    size = num_parameters(build_network(task.model, network_arguments(task, recipe)))
    layers = f"{recipe.num_layers} layers of " if recipe.num_layers > 1 else ""
    notes = "".join(f"{note}\n" for note in task.notes)
    return (
        f"{notes}{config.task}: {recipe.cell}, {layers}{recipe.hidden_size} units, "
        f"{size} parameters; "
        f"{recipe.num_sequences} sequences at most, and to the end of the last batch"
    )
