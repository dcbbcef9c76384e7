"""What a finished run is worth, in the figures of a table of networks."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.named import num_parameters
from rondo.errors import RunError
from rondo.measures.intervals import Share
from rondo.models import count_multiplications
from rondo.system.json_text import dataclass_text
from rondo.tasks.photo.evaluation import Evaluation, predict
from rondo.training.config import RunConfig
from rondo.training.session import Session

NUM_PREDICTIONS = 21
"""Predictions of one photo whose median time is told, after one that is not."""


@dataclass(frozen=True)
class Result:
    """The figures of one run.

    Args:
        model: Name in `rondo.tasks.photo.task.MODELS`.
        seed: Seed of the run.
        accuracy: Accuracy on the test photos.
        cross_accuracy: Accuracy on the photos of another source, None where there are none.
        num_parameters: Parameters of the network, frozen ones too.
        num_multiplications: Multiplications of one pass over one photo.
        learning_rate: The highest learning rate.
        photos_per_second: Speed of training, augmentation included: the median over the epochs.
        seconds: Time of all training steps, without evaluations, in seconds.
        prediction_ms: Median time of a prediction for one photo in memory, as the recipe predicts
            (with the mirror image, if so), in milliseconds.
    """

    model: str
    seed: int
    accuracy: Share
    cross_accuracy: Share | None
    num_parameters: int
    num_multiplications: int
    learning_rate: float
    photos_per_second: float
    seconds: float
    prediction_ms: float

    def to_json(self) -> str:
        """Returns the text that :func:`read_result` reads."""
        return dataclass_text(self)


def measure(session: Session, evaluations: dict[str, Evaluation]) -> Result:
    """Returns the figures of a trained run whose evaluations are known."""
    config, model = session.config, session.folder.read_model()
    train = [record for record in session.folder.read_metrics() if record["split"] == "train"]
    photo = session.data["test"].pixels[:1]
    cross = evaluations.get("cross")
    return Result(
        model=config.model,
        seed=config.seed,
        accuracy=evaluations["test"].accuracy,
        cross_accuracy=None if cross is None else cross.accuracy,
        num_parameters=num_parameters(model),
        num_multiplications=count_multiplications(model, photo.float()),
        learning_rate=config.recipe.learning_rate,
        photos_per_second=statistics.median(record["per_second"] for record in train),
        seconds=train[-1]["seconds"],
        prediction_ms=_prediction_ms(model, config, photo),
    )


def read_result(path: Path) -> Result | None:
    """Returns the figures that were written to a file, None where there is no file.

    Raises:
        RunError: If the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        shares = {name: _share(values[name]) for name in ("accuracy", "cross_accuracy")}
        return Result(**{**values, **shares})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}); remove it to measure again") from error


def _share(values: dict[str, Any] | None) -> Share | None:
    return None if values is None else Share(**values)


def _prediction_ms(model: nn.Module, config: RunConfig, photo: Tensor) -> float:
    torch.set_num_threads(config.num_threads)
    times = []
    for _ in range(1 + NUM_PREDICTIONS):
        began = time.perf_counter()
        predict(model, photo, mirror=config.recipe.mirror, precision=config.recipe.precision)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[1:])
