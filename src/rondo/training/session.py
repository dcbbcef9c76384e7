"""A run of any task, from what the user asked for to a folder that is ready to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from rondo.errors import RunError
from rondo.training.config import RunConfig, config_from_json
from rondo.training.definition import Definition
from rondo.training.device import device_of
from rondo.training.network import (
    BYTES_BESIDE_WEIGHTS,
    arguments_of,
    description,
    needed_bytes,
    new_network,
)
from rondo.training.ranks import ALONE, Ranks, check_ranks
from rondo.training.request import Request, data_words, fingerprint, make_config, tell_reading
from rondo.training.run_folder import RunFolder
from rondo.training.run_paths import check_new_folder, make_run_path, new_run_path
from rondo.training.start import Start, find_start
from rondo.training.task import Task


@dataclass(frozen=True)
class Session:
    """A run that is ready to train."""

    definition: Definition
    config: RunConfig
    task: Task
    folder: RunFolder
    start: Start | None = None

    def network(self, *, is_new: bool) -> nn.Module:
        """Returns the network; at its start, where the run is new.

        Raises:
            RunError: If the weights that it is to start from cannot be used.
        """
        network = new_network(self.definition, self.task, self.config.recipe, is_new=is_new)
        if is_new and self.start is not None:
            self.start.give(network, labels_of(self.task))
        return network

    def origin(self) -> dict[str, Any]:
        """Returns what stands beside the weights."""
        config, task = self.config, self.task
        return {
            "task": config.task,
            "model": task.model,
            "arguments": arguments_of(self.definition, task, config.recipe),
            "version": config.versions["rondo"],
            "symbols": task.symbols,
            "words": task.words,
            "classes": task.classes or task.pixel_classes,
        }


def begin(
    definition: Definition,
    request: Request,
    path: Path | None,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> Session:
    """Returns a new run of a task in its new folder.

    Args:
        definition: What the task states of itself.
        request: What the user asked for.
        path: The folder to make; None: `runs/TASK-DATE-N`.
        say: Is given each line for the user.
        ranks: The processes that will train it together.

    Raises:
        RunError: If an option, the data or the folder cannot be used.
    """
    name = definition.name
    check_new_folder(new_run_path(name) if path is None else path, BYTES_BESIDE_WEIGHTS)
    config, task, start = make_config(definition, request, say)
    check_ranks(ranks, config.recipe.num_shards, device_of(task, config.device))
    least = needed_bytes(definition, task, config.recipe)
    check_new_folder(new_run_path(name) if path is None else path, least)
    folder = RunFolder(make_run_path(name) if path is None else path, definition)
    folder.create(config, say)
    say(description(definition, config, task))
    return Session(definition, config, task, folder, start)


def resume(
    definition: Definition, path: Path, data: str | None, say: Callable[[str], None]
) -> Session:
    """Returns a run that goes on where its folder's saved state is.

    Args:
        definition: What the task of the run states of itself.
        path: The run folder.
        data: Where the data are now, if they were moved.
        say: Is given each line for the user.

    Raises:
        RunError: If the folder cannot be used or the data are not those of the run.
    """
    folder = RunFolder(path, definition)
    config = folder.read_config()
    config.check()
    with folder.held(say):  # before the data are read, which may take long
        folder.check_weights()
    if data is not None:
        moved = definition.options_from({**asdict(config.options), "data": data})
        config = replace(config, options=moved)
    task = read_task(definition, config, path, say)
    say(description(definition, config, task))
    start = None
    if config.start_from is not None and not folder.state_file.exists():
        start = find_start(config.start_from, definition)
    return Session(definition, config, task, folder, start)


def shared(session: Session | None, definition: Definition, ranks: Ranks) -> Session:
    """Returns the run of the first rank on every rank; the others read the data themselves.

    Args:
        session: The run, on the first rank.
        definition: What the task states of itself.
        ranks: The processes that train it together.

    Raises:
        RunError: If the data cannot be read here, or are others than those of the first rank.
    """
    given = None if session is None else (session.config.to_json(), str(session.folder.path))
    text, path = ranks.of_first(given)
    if session is not None:
        return session
    config = config_from_json(text, definition)
    task = read_task(definition, config, Path(path), lambda text: None)
    start = None if config.start_from is None else find_start(config.start_from, definition)
    return Session(definition, config, task, RunFolder(Path(path), definition), start)


def read_task(
    definition: Definition, config: RunConfig, path: Path, say: Callable[[str], None]
) -> Task:
    """Returns the task of a run on its own data.

    Raises:
        RunError: If the data cannot be read, or are not those that the run began with.
    """
    tell_reading(config.options, say)
    task = definition.make_task(config.options)
    if fingerprint(task, config.options) != config.data_fingerprint:
        raise RunError(
            f"the data {data_words(config.options)} are not those that the run {path} began "
            "with; give the unchanged ones with --data, or begin a new run"
        )
    return task


def labels_of(task: Task) -> Sequence[str] | None:
    """Returns what the outputs of a task's network stand for, where they have names."""
    return task.symbols or task.words or task.classes or task.pixel_classes
