"""What a run on sequences was asked to do, as data that is written to `config.json`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rondo.errors import (
    RunError,
    check_from_0,
    check_from_1,
    look_up,
)
from rondo.system.json_text import dataclass_text
from rondo.tasks.registry import SEQUENCE_TASKS
from rondo.training.precision import PRECISIONS
from rondo.training.recipe import Recipe, recipe_from
from rondo.training.task import Task
from rondo.training.versions import current_versions, from_json

FORMAT = 2
"""Changes whenever a run folder of an older version could no longer be read."""


@dataclass(frozen=True)
class SequenceConfig:
    """Everything needed to build the model and the data of a run again.

    Args:
        task: A name in `rondo.tasks.registry.SEQUENCE_TASKS`.
        task_arguments: The arguments of that function.
        data_fingerprint: Digest of the files that the task reads, or None where it reads none.
        recipe: How to train.
        seed: Seed of the weights and of all that is drawn.
        num_threads: Threads of torch; other numbers of threads round differently.
        start_from: The run folder whose weights it starts from, or None for new weights.
        versions: Versions of what computed the run.
        format: Form of the run folder.
    """

    task: str
    task_arguments: dict[str, Any]
    data_fingerprint: str | None
    recipe: Recipe
    seed: int
    num_threads: int
    start_from: str | None = None
    versions: dict[str, str] = field(default_factory=current_versions)
    format: int = FORMAT

    def check(self) -> None:
        """Raises `RunError` where a value cannot be used."""
        self.recipe.check()
        look_up("precision", self.recipe.precision, dict.fromkeys(PRECISIONS))
        check_from_1(number_of_threads=self.num_threads)
        check_from_0(seed=self.seed)

    def to_json(self) -> str:
        """Returns the text of `config.json`."""
        return dataclass_text(self)


def config_from_json(text: str) -> SequenceConfig:
    """Returns the settings that `SequenceConfig.to_json` wrote.

    Raises:
        RunError: If the text is none, or is of another version of the run folder.
    """
    return from_json(
        text,
        None,
        FORMAT,
        lambda values: SequenceConfig(**{**values, "recipe": recipe_from(values["recipe"])}),
    )


def needs_data(name: str) -> bool:
    """Whether a task of `SEQUENCE_TASKS` cannot do without files."""
    return takes_data(name) and _parameters(name)["data"].default is inspect.Parameter.empty


def takes_data(name: str) -> bool:
    """Whether a task of `SEQUENCE_TASKS` can read files."""
    return "data" in _parameters(name)


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(look_up("task", name, SEQUENCE_TASKS)).parameters


def build_task(name: str, arguments: dict[str, Any]) -> Task:
    """Returns a task of `SEQUENCE_TASKS` with its data.

    Raises:
        RunError: If the arguments or the data cannot be used.
    """
    make = look_up("task", name, SEQUENCE_TASKS)
    try:
        return make(**arguments)
    except OSError as error:
        raise RunError(f"{error.filename or name}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
