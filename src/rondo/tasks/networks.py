"""The networks of any cell that tasks are learnt by, and their arguments."""

from __future__ import annotations

from typing import Any

from rondo.models.action_model import ActionModel
from rondo.models.crnn import CRNN
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.models.reseg import ReSeg
from rondo.models.sequence_model import SequenceModel
from rondo.training.recipe import Recipe
from rondo.training.task import Network, Task


def of_cells(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments that all of them take."""
    return {
        "cell": recipe.cell,
        "hidden_size": recipe.hidden_size,
        "num_layers": recipe.num_layers,
        "dropout": recipe.dropout,
        **task.model_arguments,
    }


def of_sequence_model(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of a `SequenceModel`."""
    return {
        **of_action_model(task, recipe),
        "final": task.final,
        "embedding_size": recipe.embedding_size,
    }


def of_pictures(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of a `CRNN` or a `ReSeg`."""
    return {
        **of_cells(task, recipe),
        "num_classes": task.output_size,
        "channels": recipe.channels,
    }


def of_action_model(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of an `ActionModel`."""
    return {
        **of_cells(task, recipe),
        "input_size": task.input_size,
        "output_size": task.output_size,
    }


def of_multimodal_rnn(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of a `MultimodalRNN`."""
    return {
        **of_cells(task, recipe),
        "num_symbols": task.output_size,
        "embedding_size": recipe.embedding_size,
    }


NETWORKS: dict[str, Network] = {
    "sequence_model": Network(SequenceModel, of_sequence_model),
    "crnn": Network(CRNN, of_pictures),
    "action_model": Network(ActionModel, of_action_model),
    "reseg": Network(ReSeg, of_pictures),
    "multimodal_rnn": Network(MultimodalRNN, of_multimodal_rnn),
}
"""What makes a network of a name, and of what."""
