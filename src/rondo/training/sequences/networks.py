"""The networks that tasks on sequences are learnt by, and their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from rondo.errors import look_up
from rondo.models.action_model import ActionModel
from rondo.models.crnn import CRNN
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.models.reseg import ReSeg
from rondo.models.sequence_model import SequenceModel
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.training.recipe import Recipe
from rondo.training.task import Task


def common_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments that every network takes."""
    return {
        "cell": recipe.cell,
        "hidden_size": recipe.hidden_size,
        "num_layers": recipe.num_layers,
        "dropout": recipe.dropout,
        **task.model_arguments,
    }


def sequence_model_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the other arguments of the `SequenceModel` of a task."""
    return {
        **action_model_arguments(task, recipe),
        "final": task.final,
        "embedding_size": recipe.embedding_size,
    }


def picture_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the other arguments of the `CRNN` or `ReSeg` of a task."""
    return {"num_classes": task.output_size, "channels": recipe.channels}


def action_model_arguments(task: Task, _recipe: Recipe) -> dict[str, Any]:
    """Returns the other arguments of the `ActionModel` of a task."""
    return {"input_size": task.input_size, "output_size": task.output_size}


def multimodal_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the other arguments of the `MultimodalRNN` of a task."""
    return {"num_symbols": task.output_size, "embedding_size": recipe.embedding_size}


def series_model_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the other arguments of the `SeriesModel` of a task."""
    return {"output_size": task.output_size, "channels": recipe.channels}


def no_more_arguments(_task: Task, _recipe: Recipe) -> dict[str, Any]:
    """Returns nothing, for a network that the task says all of."""
    return {}


Arguments = Callable[[Task, Recipe], dict[str, Any]]
"""What a task and a recipe mean to one network, beside what they mean to all."""

NETWORKS: dict[str, tuple[Callable[..., nn.Module], Arguments]] = {
    "sequence_model": (SequenceModel, sequence_model_arguments),
    "crnn": (CRNN, picture_arguments),
    "action_model": (ActionModel, action_model_arguments),
    "reseg": (ReSeg, picture_arguments),
    "series_model": (SeriesModel, series_model_arguments),
    "forecaster": (Forecaster, no_more_arguments),
    "multimodal_rnn": (MultimodalRNN, multimodal_arguments),
}
"""What makes a network of a name, and of what."""


def network_arguments(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of the network of a task."""
    return common_arguments(task, recipe) | NETWORKS[task.model][1](task, recipe)


def build_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Returns a new network.

    Raises:
        RunError: If there is none of that name.
    """
    return look_up("network", name, NETWORKS)[0](**arguments)
