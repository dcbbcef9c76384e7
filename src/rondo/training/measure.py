"""What the weights of a run are worth, on its own data or on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from rondo.errors import RunError, look_up
from rondo.training.definition import Definition
from rondo.training.engine import Engine, Score
from rondo.training.network import arguments_of
from rondo.training.run_folder import RunFolder
from rondo.training.session import read_task
from rondo.training.task import Task

SPLITS = ("val", "test")
"""What a run is measured on: neither was trained on."""


def measured(
    folder: RunFolder,
    *,
    data: str | None = None,
    split: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Task, dict[str, Score]]:
    """Returns the task of a run, and what its weights are worth on val and test.

    Args:
        folder: The run folder.
        data: Other data, or None for the run's own.
        split: One of `SPLITS`, or None for both.
        say: Is given each line for the user.

    Raises:
        RunError: If the run or the data cannot be used, or the data need another network.
    """
    names = SPLITS if split is None else (look_up("split", split, {one: one for one in SPLITS}),)
    config = folder.read_config()
    task = task_of_run(folder, data, say)
    model, origin = folder.read_model_and_origin()
    if origin["arguments"] != arguments_of(folder.definition, task, config.recipe):
        raise RunError(
            f"the data {data} need another network than that of {folder.path}: they have other "
            "inputs or answers; give data like those that it was trained on"
        )
    engine = Engine(config, task, lambda: model)
    batches = {
        "val": lambda: task.source.check_batches(config.seed, 0),
        "test": task.source.test_batches,
    }
    found = {one: engine.measure(batches[one](), at_end=True) for one in names}
    return task, {one: score for one, score in found.items() if score is not None}


def task_of_run(
    folder: RunFolder, data: str | None, say: Callable[[str], None] = lambda text: None
) -> Task:
    """Returns the task of a run, on its own data or on others.

    Raises:
        RunError: If the data cannot be used, or are given to a task that draws its own.
    """
    config, definition = folder.read_config(), folder.definition
    if data is None:
        return read_task(definition, config, folder.path, say)
    return definition.make_task(options_with(definition, config.options, data))


def options_with(definition: Definition, options: object, data: str) -> object:
    """Returns the options of a run with other data.

    Raises:
        RunError: If the task draws its own.
    """
    if not definition.takes_data:
        raise RunError(f"{definition.name} draws its sequences itself; leave out --data")
    return definition.options_from({**asdict(options), "data": data})  # type: ignore[call-overload]
