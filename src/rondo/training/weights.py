"""The weights that a run starts from, where it does not start from nothing."""

from __future__ import annotations

import os
from pathlib import Path

from rondo.errors import RunError
from rondo.models import Checkpoint, load_checkpoint
from rondo.tasks.photo.task import MODELS
from rondo.training.config import RunConfig


def find_weights(model: str, source: str | None) -> Checkpoint | None:
    """Returns the weights that a network of `MODELS` is to start from, None where it needs none.

    Raises:
        RunError: If weights are given to a network that takes none, are missing or cannot be used.
    """
    if not MODELS[model].takes_weights:
        if source is None:
            return None
        takers = ", ".join(name for name, network in MODELS.items() if network.takes_weights)
        raise RunError(f"{model} starts from nothing; --weights goes with {takers}")
    if source is None:
        raise RunError(
            f"{model} needs weights of a trained ResNet-18 or -50, and no weights were given: "
            "give --weights a file, or owner/name on the Hugging Face hub"
        )
    return _load(os.path.abspath(source) if Path(source).exists() else source)


def read_weights(config: RunConfig) -> Checkpoint:
    """Returns the weights that a run began with.

    Raises:
        RunError: If they are no longer there or are others now.
    """
    assert config.weights is not None
    checkpoint = _load(config.weights)
    if checkpoint.fingerprint != config.weights_fingerprint:
        raise RunError(
            f"the weights in {config.weights} are not those that the run began with; put the "
            "unchanged ones there, or begin a new run"
        )
    return checkpoint


def _load(source: str) -> Checkpoint:
    try:
        return load_checkpoint(source)
    except ValueError as error:
        raise RunError(f"cannot use the weights: {error}") from error
