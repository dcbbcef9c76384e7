"""One run on sequences, from its settings and data to its folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rondo.system.json_text import finite
from rondo.tasks.task import Task
from rondo.training.divergence import DivergedError, check_loss, check_weights
from rondo.training.records import Record, skipped_words
from rondo.training.saving import SaveClock
from rondo.training.sequences.config import SequenceConfig
from rondo.training.sequences.folder import SequenceFolder
from rondo.training.sequences.networks import network_arguments
from rondo.training.sequences.start import start_from
from rondo.training.sequences.trainer import Score, SequenceTrainer
from rondo.training.stopping import StopRequest
from rondo.training.terminal import StatusLine, clock


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        records: What was written down: each check, and last the test.
        signal_number: The signal that interrupted it, if one did.
    """

    records: list[Record]
    signal_number: int | None = None


def fit(
    config: SequenceConfig, task: Task, folder: SequenceFolder, *, say: Callable[[str], None]
) -> Outcome:
    """Trains to the end, from where the folder's saved state is, if it has one, and tests.

    Args:
        config: The settings of the run, as in the folder.
        task: The task that they name.
        folder: The run folder, already made.
        say: Is given each line for the user.

    Raises:
        RunError: If the saved state, or the run that it starts from, cannot be used, another
            process trains in the folder, or the training diverges.
    """
    torch.set_num_threads(config.num_threads)
    line = StatusLine(sys.stderr)

    def tell(text: str) -> None:
        line.clear()
        say(text)

    stop = StopRequest(tell)
    with folder.held(say), stop.listening():
        trainer = SequenceTrainer(config, task)
        run = _Run(trainer, folder, tell)
        run.catch_up()
        while not trainer.is_done and not stop.requested:
            run.step()
            line.show(lambda: progress_line(trainer))
        line.clear()
        if not trainer.is_done:
            run.save()
            return Outcome(run.records, stop.signal_number)
        run.finish()
    return Outcome(run.records)


class _Run:
    """The training of a run with what is written down of it."""

    def __init__(
        self, trainer: SequenceTrainer, folder: SequenceFolder, say: Callable[[str], None]
    ) -> None:
        self.trainer, self.folder, self.say = trainer, folder, say
        self.clock = SaveClock(has_saved=False)
        self.records: list[Record] = []

    def catch_up(self) -> None:
        """Goes to where the saved state is, or to the start that the settings name."""
        trainer, config = self.trainer, self.trainer.config
        state = self.folder.read_saved()
        if state is not None:
            with self.folder.loading_state():
                trainer.load_state(state)
            self.clock = SaveClock(has_saved=True)
        elif config.start_from is not None:
            start_from(trainer.model, config.start_from, trainer.task)
        seen = trainer.progress.num_sequences
        records = self.folder.records_of(
            state, lambda record: record["split"] == "val" and record["sequences"] <= seen, self.say
        )
        self.records = [record for record in records if record["split"] == "val"]

    def step(self) -> None:
        """Saves where that is due, trains for a step, and checks where that is due.

        Raises:
            DivergedError: If the loss is not finite; what was saved stays.
        """
        if self.clock.is_due():
            self.save()
        trainer = self.trainer
        score = trainer.advance()
        try:
            check_loss(trainer.last_loss, trainer.progress.step, trainer.recipe)
        except DivergedError:
            self._write_diverged()
            raise
        if score is not None:
            self._note("val", score)
            trainer.begin_interval()

    def finish(self) -> None:
        """Tests the weights that are kept, and saves all."""
        trainer = self.trainer
        last = trainer.model.state_dict()
        last = {name: value.clone() for name, value in last.items()}
        trainer.model.load_state_dict(trainer.kept_weights())
        self._note("test", trainer.measure(trainer.task.source.test_batches()))
        trainer.model.load_state_dict(last)
        self.save()

    def save(self) -> None:
        """Saves what the run needs to go on, and the weights that predict.

        Raises:
            DivergedError: If the weights are not finite; what was saved stays.
        """
        trainer, config = self.trainer, self.trainer.config
        for weights in (trainer.model.state_dict(), trainer.kept_weights()):
            check_weights(weights, trainer.progress.step, trainer.recipe)
        origin = {
            "task": config.task,
            "model": trainer.task.model,
            "arguments": network_arguments(trainer.task, config.recipe),
            "version": config.versions["rondo"],
            "symbols": trainer.task.symbols,
            "words": trainer.task.words,
            "classes": trainer.task.classes or trainer.task.pixel_classes,
        }
        with self.clock.saving():
            if trainer.progress.step > 0:
                self.folder.write_weights(trainer.kept_weights(), origin)
            self.folder.write_metrics(self.records)
            self.folder.write_state({**trainer.state(), "records": self.records})

    def _write_diverged(self) -> None:
        """Adds to `metrics.jsonl` where the training diverged; no state counts that line."""
        progress = self.trainer.progress
        record = {
            "split": "train",
            "sequences": progress.num_sequences,
            "step": progress.step,
            "loss": self.trainer.last_loss,
            "diverged": True,
            "skipped_steps": progress.num_skipped,
        }
        self.folder.write_metrics([*self.records, record])

    def _note(self, split: str, score: Score) -> None:
        record = record_of(split, score, self.trainer)
        self.records.append(record)
        self.say(record_line(record, self.trainer.task))


def record_of(split: str, score: Score, trainer: SequenceTrainer) -> Record:
    """Returns what a check or the test gave, for `metrics.jsonl`."""
    progress = trainer.progress
    record: Record = {
        "split": split,
        "sequences": progress.num_sequences,
        "step": progress.step,
        "loss": score.loss,
        "right": score.right,
        "num_sequences": score.num_sequences,
        "solved": progress.solved,
        "skipped_steps": progress.num_skipped,
        "skipped_inputs": trainer.task.num_skipped,
        "seconds": progress.seconds,
    }
    if progress.num_steps:
        record["train_loss"] = progress.loss_sum / progress.num_steps
    return finite(record)


def record_line(record: Record, task: Task) -> str:
    """Returns a record as a line, such as `  4000 sequences  val   0.0113 loss  right 32.1 %`."""
    parts = [
        f"{record['sequences']:7} sequences",
        f"{record['split']:4}",
        _loss_text(record, task),
    ]
    if record["right"] is not None:
        parts.append(f"right {100 * record['right']:.1f} %")
    parts += skipped_words(record)
    return "  ".join(parts)


def result_line(records: list[Record], task: Task) -> str:
    """Returns what a finished run gave, such as `solved after 34048 sequences; test: ...`."""
    test = records[-1]
    found = [_loss_text(test, task)]
    if test["right"] is not None:
        found.insert(0, f"{100 * test['right']:.1f} % right")
    end = "solved" if test["solved"] else "ended" if task.goal is None else "not solved"
    return (
        f"{end} after {test['sequences']} sequences; test: {', '.join(found)} "
        f"({test['num_sequences']} sequences)"
    )


def _loss_text(record: Record, task: Task) -> str:
    return "a loss not finite" if record["loss"] is None else f"{record['loss']:.4f} {task.unit}"


def progress_line(trainer: SequenceTrainer) -> str:
    """Returns for example `12000/200000 sequences  loss 0.0213  8120 sequences/s  0:23 left`."""
    progress, budget = trainer.progress, trainer.recipe.num_sequences
    seen = min(progress.num_sequences, budget)  # the last batch may go beyond
    speed = progress.num_sequences / max(progress.seconds, 1e-9)
    loss = progress.loss_sum / max(1, progress.num_steps)
    left = (budget - seen) / max(speed, 1e-9)
    return (
        f"{seen}/{budget} sequences  loss {loss:.4f}  "
        f"{speed:.0f} sequences/s  at most {clock(left)} left"
    )
