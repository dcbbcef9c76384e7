"""What a run on sequences was asked to do, as data that is written to `config.json`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rondo.cells.named import NAMED_CELLS
from rondo.errors import (
    RunError,
    check_above_0,
    check_from_0,
    check_from_1,
    look_up,
)
from rondo.tasks.sequence_tasks import SEQUENCE_TASKS
from rondo.tasks.task import Recipe, Task
from rondo.training.precision import PRECISIONS
from rondo.training.versions import current_versions, from_json, to_json

FORMAT = 1
"""Changes whenever a run folder of an older version could no longer be read."""

OPTIMIZERS = ("adam", "rmsprop")
"""The optimisers that a recipe may name."""


@dataclass(frozen=True)
class SequenceConfig:
    """Everything needed to build the model and the data of a run again.

    Args:
        task: A name in `rondo.tasks.sequence_tasks.SEQUENCE_TASKS`.
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
        recipe = self.recipe
        look_up("cell", recipe.cell, NAMED_CELLS)
        look_up("optimizer", recipe.optimizer, dict.fromkeys(OPTIMIZERS))
        look_up("precision", recipe.precision, dict.fromkeys(PRECISIONS))
        check_from_1(
            hidden_size=recipe.hidden_size,
            number_of_layers=recipe.num_layers,
            batch_size=recipe.batch_size,
            number_of_sequences=recipe.num_sequences,
            patience=1 if recipe.patience is None else recipe.patience,
            embedding_size=1 if recipe.embedding_size is None else recipe.embedding_size,
            number_of_channels=1 if recipe.channels is None else recipe.channels,
            number_of_threads=self.num_threads,
        )
        check_above_0(
            learning_rate=recipe.learning_rate, **{"norm of --clip": recipe.max_grad_norm}
        )
        if not 0 <= recipe.dropout < 1:
            raise RunError(f"the dropout must be at least 0 and below 1, but is {recipe.dropout}")
        check_from_0(weight_noise=recipe.weight_noise, seed=self.seed)

    def to_json(self) -> str:
        """Returns the text of `config.json`."""
        return to_json(self)


def config_from_json(text: str) -> SequenceConfig:
    """Returns the settings that `SequenceConfig.to_json` wrote.

    Raises:
        RunError: If the text is none, or is of another version of the run folder.
    """
    return from_json(
        text,
        None,
        FORMAT,
        lambda values: SequenceConfig(**{**values, "recipe": Recipe(**values["recipe"])}),
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
