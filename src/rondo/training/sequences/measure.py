"""What the weights of a run on sequences are worth, on its own data or on others."""

from __future__ import annotations

import os
from pathlib import Path

from rondo.errors import RunError, look_up
from rondo.training.engine import Engine, Score
from rondo.training.sequences.config import SequenceConfig, build_task, takes_data
from rondo.training.sequences.folder import SequenceFolder
from rondo.training.sequences.networks import network_arguments
from rondo.training.sequences.session import fingerprint
from rondo.training.task import Task

SPLITS = ("val", "test")
"""What a run is measured on: neither was trained on."""


def measured(
    path: Path, name: str, *, data: str | None = None, split: str | None = None
) -> tuple[Task, dict[str, Score]]:
    """Returns the task of a run, and what its weights are worth on val and test.

    Args:
        path: The run folder.
        name: The name of its task.
        data: Other data, or None for the run's own.
        split: One of `SPLITS`, or None for both.

    Raises:
        RunError: If the run or the data cannot be used, or the data need another network.
    """
    names = SPLITS if split is None else (look_up("split", split, {one: one for one in SPLITS}),)
    folder = SequenceFolder(path, name)
    config = folder.read_config()
    task = _task(config, path, data)
    model, origin = folder.read_model_and_origin()
    if origin["arguments"] != network_arguments(task, config.recipe):
        raise RunError(
            f"the data {data} need another network than that of {path}: they have other inputs or "
            "answers; give data like those that it was trained on"
        )
    engine = Engine(config, task, lambda: model)
    batches = {
        "val": lambda: task.source.check_batches(config.seed, 0),
        "test": task.source.test_batches,
    }
    found = {one: engine.measure(batches[one](), at_end=True) for one in names}
    return task, {one: score for one, score in found.items() if score is not None}


def _task(config: SequenceConfig, path: Path, data: str | None) -> Task:
    """The task of a run, on its own data or on others."""
    if data is None:
        task = build_task(config.task, config.task_arguments)
        if fingerprint(task, config.task_arguments) != config.data_fingerprint:
            raise RunError(
                f"the data {config.task_arguments.get('data')} are not those that the run {path} "
                "was trained on; put the unchanged ones there, or name others with --data"
            )
        return task
    if not takes_data(config.task):
        raise RunError(f"{config.task} draws its sequences itself; leave out --data")
    return build_task(config.task, {**config.task_arguments, "data": os.path.abspath(data)})
