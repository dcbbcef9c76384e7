"""The network of a task: made, counted and told of."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from rondo.cells.named import num_parameters
from rondo.models.sizes_alone import sizes_alone
from rondo.training.config import RunConfig
from rondo.training.definition import Definition
from rondo.training.engine import Engine
from rondo.training.recipe import Recipe
from rondo.training.run_files import BYTES_PER_PARAMETER
from rondo.training.task import Task

BYTES_BESIDE_WEIGHTS = 64 * 2**20
"""Free space that a run folder may need for its report and records."""


def new_engine(definition: Definition, config: RunConfig, task: Task) -> Engine:
    """Returns the loop of a task at its start."""
    return Engine(config, task, partial(new_network, definition, task, config.recipe, is_new=True))


def new_network(definition: Definition, task: Task, recipe: Recipe, *, is_new: bool) -> nn.Module:
    """Returns the network of a task; where it is new, with what it takes from the data."""
    network = definition.network(task.model).build(**arguments_of(definition, task, recipe))
    if is_new and task.prepare is not None:
        task.prepare(network)
    return network


def arguments_of(definition: Definition, task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of the network of a task."""
    return definition.network(task.model).arguments(task, recipe)


def needed_bytes(definition: Definition, task: Task, recipe: Recipe) -> int:
    """Returns the free space that a run may need, in bytes."""
    return BYTES_BESIDE_WEIGHTS + BYTES_PER_PARAMETER * _size(definition, task, recipe)


def _size(definition: Definition, task: Task, recipe: Recipe) -> int:
    """The number of parameters."""
    network = definition.network(task.model)
    with sizes_alone():
        return num_parameters(network.build(**network.arguments(task, recipe)))


def description(definition: Definition, config: RunConfig, task: Task) -> str:
    """Returns for example `adding: lstm, 32 units, 4513 parameters; 200000 sequences at most`."""
    recipe, notes = config.recipe, "".join(f"{note}\n" for note in task.notes)
    size = _size(definition, task, recipe)
    of_cells = "cell" not in task.unused
    layers = f"{recipe.num_layers} layers of " if recipe.num_layers > 1 else ""
    network = f"{recipe.cell}, {layers}{recipe.hidden_size} units" if of_cells else task.model
    budget = f"{recipe.num_sequences} {task.noun} at most, and to the end of the last batch"
    if recipe.num_epochs is not None:
        budget = f"{recipe.num_epochs} epochs of {task.source.num_train()} {task.noun} at most"
    return f"{notes}{config.task}: {network}, {size} parameters; {budget}"
