"""The figures of a run in MLflow.

They go where MLflow puts them: to what `MLFLOW_TRACKING_URI` names, else to `mlflow.db` in the
folder in which the command is given. `MLFLOW_EXPERIMENT_NAME` names another experiment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from rondo.training.loggers.tracker import PROJECT, RunPlace, flat

MOST_CHARACTERS = 500
"""Longer values of settings are cut; so many characters every store of MLflow takes."""

MOST_PARAMETERS = 100
"""So many settings are sent at once."""


class MLflowRun:
    """A run of MLflow, which goes on with the one that it was before.

    Args:
        place: The run.
    """

    def __init__(self, place: RunPlace) -> None:
        import mlflow  # slow to load
        from mlflow import MlflowClient

        self._uri = place.known.get("uri") or mlflow.get_tracking_uri()
        self._client = MlflowClient(tracking_uri=self._uri)
        self._id: str = place.known.get("run") or self._new(place)
        self._client.update_run(self._id, status="RUNNING")

    @property
    def known(self) -> dict[str, Any]:
        """Where the run is, and its identity there."""
        return {"uri": self._uri, "run": self._id}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Sends the figures of a record."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()]
        )

    def close(self) -> None:
        """Says that the run has ended."""
        self._client.set_terminated(self._id)

    def _new(self, place: RunPlace) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        identity = str(self._client.create_run(experiment, run_name=place.name).info.run_id)
        settings = [
            Param(key, str(value)[:MOST_CHARACTERS]) for key, value in flat(place.config).items()
        ]
        for first in range(0, len(settings), MOST_PARAMETERS):
            self._client.log_batch(identity, params=settings[first : first + MOST_PARAMETERS])
        return identity
