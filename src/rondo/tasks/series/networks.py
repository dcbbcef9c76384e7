"""The networks for series, by name."""

from __future__ import annotations

from typing import Any

from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.tasks.networks import of_cells
from rondo.training.recipe import Recipe
from rondo.training.task import Network, Task


def of_series_model(task: Task, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of a `SeriesModel`."""
    return {
        **of_cells(task, recipe),
        "output_size": task.output_size,
        "channels": recipe.channels,
    }


NETWORKS: dict[str, Network] = {
    "series_model": Network(SeriesModel, of_series_model),
    "forecaster": Network(Forecaster, of_cells),
}
"""What makes a network of a name, and of what."""
