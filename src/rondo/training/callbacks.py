"""What happens around the training steps: stopping, saving, evaluating and showing progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch.utils.tensorboard import SummaryWriter

from rondo.tasks.photo import PhotoSet
from rondo.training.evaluation import Evaluation, evaluate, predict
from rondo.training.module import PhotoClassifier, learning_rate
from rondo.training.run_folder import RunFolder
from rondo.training.stopping import StopRequest
from rondo.training.terminal import StatusLine, clock

SAVE_SECONDS = 120.0
"""Time between two saves within an epoch, in seconds."""


class Keeper(Callback):
    """Saves the run and evaluates it after each epoch, and ends it when asked to.

    Args:
        folder: Where to keep the run.
        data: The photos of every split.
        stop: The request to end.
        show: Is given the records of each epoch, to tell the user.
    """

    def __init__(
        self,
        folder: RunFolder,
        data: dict[str, PhotoSet],
        stop: StopRequest,
        show: Callable[[list[dict[str, Any]]], None],
    ) -> None:
        self.folder = folder
        self.splits = {name: photos for name, photos in data.items() if name != "train"}
        self.stop = stop
        self.show = show
        self.records: list[dict[str, Any]] = []
        self.evaluations: dict[str, Evaluation] = {}
        self.saved_at = self.timed_at = time.monotonic()
        self.writer: SummaryWriter | None = None

    def catch_up(self, module: PhotoClassifier) -> None:
        """Brings the records back to where the state is, and does an evaluation left undone."""
        recorded = module.progress.num_recorded
        self.records = [
            record for record in self.folder.read_metrics() if record["epoch"] <= recorded
        ]
        if module.num_done_epochs > recorded:
            self._finish_epoch(module)
            self.save(module)

    def on_train_start(self, *args: Any) -> None:
        """Takes the signals over from Lightning."""
        self.stop.take_signals()

    def on_train_epoch_start(self, *args: Any) -> None:
        """Begins to take the time."""
        self.timed_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        """Saves now and then, and ends the training when asked to."""
        assert isinstance(pl_module, PhotoClassifier)
        pl_module.progress.seconds += time.monotonic() - self.timed_at
        if self.stop.requested:
            trainer.should_stop = True
        elif time.monotonic() - self.saved_at > SAVE_SECONDS:
            self.save(pl_module)
        self.timed_at = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluates a finished epoch and saves; an interrupted one is saved only."""
        assert isinstance(pl_module, PhotoClassifier)
        self._finish_epoch(pl_module)
        self.save(pl_module)
        trainer.should_stop = self.stop.requested

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Closes the TensorBoard events."""
        if self.writer is not None:
            self.writer.close()

    def save(self, module: PhotoClassifier) -> None:
        """Saves what the run needs to go on."""
        self.folder.write_state(module.state())
        self.saved_at = time.monotonic()

    def _finish_epoch(self, module: PhotoClassifier) -> None:
        """Evaluates and writes down the last epoch, if it is done and not written down yet."""
        epoch = module.num_done_epochs
        if epoch == module.progress.num_recorded or self.stop.requested:
            return
        evaluations = self._evaluate(module)
        if evaluations is None:
            return
        self.evaluations = evaluations
        new = [training_record(module)]
        new += [evaluation_record(epoch, name, item) for name, item in evaluations.items()]
        self.records += new
        self.folder.write_model(module.predicting_model, module.config)
        self.folder.write_metrics(self.records)
        self._write_events(new, module)
        module.progress.num_recorded = epoch
        self.show(new)

    def _evaluate(self, module: PhotoClassifier) -> dict[str, Evaluation] | None:
        """Returns the evaluation of every split, or None where it was interrupted."""
        evaluations = {}
        image_size = trained_size(module)
        for name, photos in self.splits.items():
            probabilities = predict(
                module.predicting_model,
                photos.pixels,
                mirror=module.recipe.mirror,
                precision=module.recipe.precision,
                image_size=image_size,
                should_stop=lambda: self.stop.requested,
            )
            if probabilities is None:
                return None
            evaluations[name] = evaluate(probabilities, photos)
        return evaluations

    def _write_events(self, records: list[dict[str, Any]], module: PhotoClassifier) -> None:
        """Adds the numbers of an epoch to the TensorBoard events."""
        if self.writer is None:
            self.writer = SummaryWriter(self.folder.tensorboard)
        for record in records:
            for name, value in record.items():
                if isinstance(value, float):
                    self.writer.add_scalar(f"{record['split']}/{name}", value, record["epoch"])
        self.writer.flush()


class ProgressLine(Callback):
    """Shows on a terminal, in one line, how far the epoch is and how long the training will take.

    Args:
        stream: The terminal; nothing is shown where it is none.
    """

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self.line = StatusLine(stream)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        """Shows the line, a few times a second at most."""
        assert isinstance(pl_module, PhotoClassifier)
        self.line.show(lambda: progress_line(pl_module))

    def on_train_epoch_end(self, *args: Any) -> None:
        """Clears the line."""
        self.line.clear()


def progress_line(module: PhotoClassifier) -> str:
    """Returns for example `epoch 2/14 [####------] loss 0.412  118 photos/s  12:05 left`."""
    progress, total = module.progress, module.steps_per_epoch
    done = (progress.step - 1) % total + 1
    speed = photos_per_second(module)
    left = (module.num_steps - progress.step) * module.recipe.batch_size / max(speed, 1e-9)
    bar = "#" * (20 * done // total)
    return (
        f"epoch {(progress.step - 1) // total + 1}/{module.recipe.num_epochs} [{bar:-<20}] "
        f"loss {progress.loss_sum / done:.3f}  {speed:.0f} photos/s  {clock(left)} left"
    )


def photos_per_second(module: PhotoClassifier) -> float:
    """Returns the speed of the present epoch's steps, augmentation included."""
    return num_seen(module) / max(module.progress.seconds, 1e-9)


def num_seen(module: PhotoClassifier) -> int:
    """Returns the number of training photos seen in the present epoch."""
    steps = (module.progress.step - 1) % module.steps_per_epoch + 1
    return steps * min(module.recipe.batch_size, len(module.photos.labels))


def trained_size(module: PhotoClassifier) -> int:
    """Returns the side of the photos in the epoch that is done; it is evaluated at the same."""
    recipe, epoch = module.recipe, module.num_done_epochs - 1
    return recipe.image_size(module.config.image_size, epoch, recipe.num_epochs)


def training_record(module: PhotoClassifier) -> dict[str, Any]:
    """Returns what an epoch of training gave, for `metrics.jsonl`."""
    progress, epoch = module.progress, module.num_done_epochs
    return {
        "epoch": epoch,
        "split": "train",
        "loss": progress.loss_sum / module.steps_per_epoch,
        "accuracy": progress.num_correct / num_seen(module),
        "num_photos": num_seen(module),
        "image_size": trained_size(module),
        "learning_rate": learning_rate(module.recipe, progress.step - 1, module.num_steps),
        "seconds": progress.seconds,
        "photos_per_second": photos_per_second(module),
    }


def evaluation_record(epoch: int, split: str, evaluation: Evaluation) -> dict[str, Any]:
    """Returns what a split gave after an epoch, for `metrics.jsonl`."""
    return {
        "epoch": epoch,
        "split": split,
        "loss": evaluation.loss,
        "accuracy": evaluation.accuracy.value,
        "majority_rate": evaluation.majority_rate,
        "num_photos": evaluation.accuracy.num_photos,
    }
