"""One training run, from its settings and data to its folder."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch

from rondo.compiler import EngineWarning
from rondo.tasks.photo import PhotoSet
from rondo.training.callbacks import Keeper, ProgressLine
from rondo.training.config import RunConfig
from rondo.training.divergence import DivergedError
from rondo.training.module import PhotoClassifier
from rondo.training.records import skipped_words
from rondo.training.run_folder import RunFolder
from rondo.training.stopping import StopRequest
from rondo.training.weights import read_weights


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its records so far, and the signal that interrupted it, if one did."""

    records: list[dict[str, Any]]
    signal_number: int | None


def fit(
    config: RunConfig,
    data: dict[str, PhotoSet],
    folder: RunFolder,
    *,
    say: Callable[[str], None] = print,
    callbacks: tuple[pl.Callback, ...] = (),
) -> Outcome:
    """Trains until the recipe's last epoch, from where the folder's saved state is, if it has one.

    Args:
        config: The settings of the run, as in the folder.
        data: The photos of every split.
        folder: The run folder, already made.
        say: Is given each line for the user.
        callbacks: More Lightning callbacks, called after the run's own.

    Raises:
        RunError: If the saved state, or the weights that the run is to start from, cannot be read,
            another process trains in the folder, or the training diverges.
    """
    torch.set_num_threads(config.num_threads)
    line = ProgressLine(sys.stderr)

    def tell(text: str) -> None:
        line.line.clear()
        say(text)

    stop = StopRequest(tell)
    with folder.held(say), stop.listening(), quiet_lightning(), quiet_tensorboard():
        module, state = _at_saved_state(config, data["train"], folder)
        keeper = Keeper(folder, data, stop, lambda records: tell(epoch_line(records, module)))
        keeper.catch_up(module, state, tell)
        try:
            _trainer(config, module, [keeper, line, *callbacks]).fit(module)
        except DivergedError:
            keeper.write_diverged(module)
            raise
    return Outcome(keeper.records, stop.signal_number)


def _at_saved_state(
    config: RunConfig, photos: PhotoSet, folder: RunFolder
) -> tuple[PhotoClassifier, dict[str, Any] | None]:
    """Returns a module where the saved state is, and that state; or at its start, and None."""
    module, state = PhotoClassifier(config, photos), folder.read_saved()
    if state is not None:
        with folder.loading_state():
            module.load_state(state)
    elif config.weights is not None:
        module.start_from(read_weights(config))
    return module, state


def epoch_line(records: list[dict[str, Any]], module: PhotoClassifier) -> str:
    """Returns what an epoch gave, in one line; in brackets is the majority-class rate.

    The test has its say at the end alone: who sees it at every epoch chooses by it.
    """
    train, *others = records
    shown = [
        f"{record['split']} {100 * record['accuracy']:.1f} % ({100 * record['majority_rate']:.1f})"
        for record in others
        if record["split"] == "val"
    ]
    return "  ".join(
        (
            f"epoch {train['epoch']:2}/{module.recipe.num_epochs}",
            f"loss {train['loss']:.3f}",
            *shown,
            f"{train['photos_per_second']:.0f} photos/s",
            *skipped_words(train),
        )
    )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keeps Lightning's tips and hints, which tell a user of rondo nothing, from the terminal.

    Warnings of Rondo's own are shown: Lightning calls the network, so they point at its lines.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("default", category=EngineWarning, module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def quiet_tensorboard() -> Iterator[None]:
    """Keeps the errors of TensorBoard's thread from the terminal: it raises them in ours again."""
    previous = threading.excepthook

    def tell(arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard."):
            previous(arguments)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = previous


def _trainer(
    config: RunConfig, module: PhotoClassifier, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Returns the Lightning trainer of the epochs that are left."""
    return pl.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if config.recipe.precision == "bfloat16" else "32-true",
        max_epochs=config.recipe.num_epochs - module.num_done_epochs,
        gradient_clip_val=config.recipe.max_grad_norm,
        reload_dataloaders_every_n_epochs=1,  # each epoch has its own batches
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
