"""What happens around the training steps: stopping, saving, evaluating and showing progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from rondo.system.json_text import finite
from rondo.tasks.photo import PhotoSet
from rondo.training.evaluation import Evaluation, evaluate, predict
from rondo.training.module import PhotoClassifier, learning_rate
from rondo.training.records import Record
from rondo.training.run_folder import RunFolder
from rondo.training.saving import SaveClock
from rondo.training.stopping import StopRequest
from rondo.training.terminal import StatusLine, clock

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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
        self.num_skipped_inputs = num_skipped(data)
        self.records: list[Record] = []
        self.evaluations: dict[str, Evaluation] = {}
        self.clock = SaveClock(has_saved=False)
        self.timed_at = time.monotonic()
        self.writer: SummaryWriter | None = None

    def catch_up(
        self, module: PhotoClassifier, state: dict[str, Any] | None, say: Callable[[str], None]
    ) -> None:
        """Brings the records back to where a state is, and does what was left undone then."""
        recorded = module.progress.num_recorded
        self.records = self.folder.records_of(
            state, lambda record: record["epoch"] <= recorded, say
        )
        self.clock = SaveClock(has_saved=state is not None)
        if module.num_done_epochs > recorded:
            self._finish_epoch(module)
            self.save(module)
        elif module.is_between_epochs and recorded and not self.folder.model_file.exists():
            self.folder.write_model(module.predicting_model, module.config)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the signals over from Lightning, and saves a run that was never saved."""
        assert isinstance(pl_module, PhotoClassifier)
        self.stop.take_signals()
        if self.clock.is_due():
            self.save(pl_module)

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
        elif self.clock.is_due():
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
        """Saves what the run needs to go on.

        Raises:
            DivergedError: If the weights are not finite; what was saved stays.
        """
        module.check_weights()
        with self.clock.saving():
            self.folder.write_state({**module.state(), "records": self.records})

    def write_diverged(self, module: PhotoClassifier) -> None:
        """Adds to `metrics.jsonl` where the training diverged; no state counts that line."""
        record = {
            "epoch": module.progress.step // module.steps_per_epoch + 1,
            "split": "train",
            "step": module.progress.step + 1,
            "loss": module.last_loss,
            "diverged": True,
            "skipped_steps": module.progress.num_skipped,
        }
        self.folder.write_metrics([*self.records, record])

    def _finish_epoch(self, module: PhotoClassifier) -> None:
        """Evaluates and writes down the last epoch, if it is done and not written down yet."""
        epoch = module.num_done_epochs
        if epoch == module.progress.num_recorded or self.stop.requested:
            return
        evaluations = self._evaluate(module)
        if evaluations is None:
            return
        self.evaluations = evaluations
        skipped = {"skipped_inputs": self.num_skipped_inputs}
        new = [finite({**training_record(module), **skipped})]
        new += [finite(evaluation_record(epoch, name, it)) for name, it in evaluations.items()]
        module.check_weights()
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

    def _write_events(self, records: list[Record], module: PhotoClassifier) -> None:
        """Adds the numbers of an epoch to the TensorBoard events, where TensorBoard is there."""
        if find_spec("tensorboard") is None:
            return
        if self.writer is None:  # epochs that a killed process wrote already are replaced
            from torch.utils.tensorboard import SummaryWriter

            first = int(records[0]["epoch"])
            self.writer = SummaryWriter(self.folder.tensorboard, purge_step=first)
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


def num_skipped(data: dict[str, PhotoSet]) -> int:
    """Returns the number of files of the data that could not be used."""
    return len({item for photos in data.values() for item in photos.skipped})


def trained_size(module: PhotoClassifier) -> int:
    """Returns the side of the photos in the epoch that is done; it is evaluated at the same."""
    recipe, epoch = module.recipe, module.num_done_epochs - 1
    return recipe.image_size(module.config.image_size, epoch, recipe.num_epochs)


def training_record(module: PhotoClassifier) -> Record:
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
        "skipped_steps": progress.num_skipped,
    }


def evaluation_record(epoch: int, split: str, evaluation: Evaluation) -> Record:
    """Returns what a split gave after an epoch, for `metrics.jsonl`."""
    return {
        "epoch": epoch,
        "split": split,
        "loss": evaluation.calibration.loss,
        "accuracy": evaluation.accuracy.value,
        "majority_rate": evaluation.majority_rate,
        "num_photos": evaluation.accuracy.num_photos,
    }
