"""One run on sequences, from its settings and data to its folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from rondo.tasks.task import Task
from rondo.training.sequences.config import SequenceConfig
from rondo.training.sequences.folder import SequenceFolder
from rondo.training.sequences.networks import network_arguments
from rondo.training.sequences.start import start_from
from rondo.training.sequences.trainer import Score, SequenceTrainer
from rondo.training.stopping import StopRequest
from rondo.training.terminal import StatusLine, clock

SAVE_SECONDS = 20.0
"""Time between two saves, in seconds."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        records: What was written down: each check, and last the test.
        signal_number: The signal that interrupted it, if one did.
    """

    records: list[dict[str, Any]]
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
        RunError: If the saved state, or the run that it starts from, cannot be used.
    """
    torch.set_num_threads(config.num_threads)
    trainer = SequenceTrainer(config, task)
    state = folder.read_state()
    if state is not None:
        trainer.load_state(state)
    elif config.start_from is not None:
        start_from(trainer.model, config.start_from, task)
    line = StatusLine(sys.stderr)

    def tell(text: str) -> None:
        line.clear()
        say(text)

    stop = StopRequest(tell)
    run = _Run(trainer, folder, tell)
    with stop.listening():
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
        self.saved_at = time.monotonic()
        seen = trainer.progress.num_sequences
        self.records = [
            record
            for record in folder.read_metrics()
            if record["split"] == "val" and record["sequences"] <= seen
        ]

    def step(self) -> None:
        """Trains for a step, checks and saves where that is due."""
        score = self.trainer.advance()
        if score is not None:
            self._note("val", score)
            self.trainer.begin_interval()
        if time.monotonic() - self.saved_at > SAVE_SECONDS:
            self.save()

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
        """Saves what the run needs to go on, and the weights that predict."""
        trainer, config = self.trainer, self.trainer.config
        origin = {
            "model": trainer.task.model,
            "arguments": network_arguments(trainer.task, config.recipe),
            "version": config.versions["rondo"],
            "symbols": trainer.task.symbols,
            "words": trainer.task.words,
            "classes": trainer.task.classes or trainer.task.pixel_classes,
        }
        self.folder.write_weights(trainer.kept_weights(), origin)
        self.folder.write_metrics(self.records)
        self.folder.write_state(trainer.state())
        self.saved_at = time.monotonic()

    def _note(self, split: str, score: Score) -> None:
        record = record_of(split, score, self.trainer)
        self.records.append(record)
        self.say(record_line(record, self.trainer.task))


def record_of(split: str, score: Score, trainer: SequenceTrainer) -> dict[str, Any]:
    """Returns what a check or the test gave, for `metrics.jsonl`."""
    progress = trainer.progress
    record = {
        "split": split,
        "sequences": progress.num_sequences,
        "step": progress.step,
        "loss": score.loss,
        "right": score.right,
        "num_sequences": score.num_sequences,
        "solved": progress.solved,
        "skipped_steps": progress.num_skipped,
        "seconds": progress.seconds,
    }
    if progress.num_steps:
        record["train_loss"] = progress.loss_sum / progress.num_steps
    return record


def record_line(record: dict[str, Any], task: Task) -> str:
    """Returns a record as a line, such as `  4000 sequences  val   0.0113 loss  right 32.1 %`."""
    parts = [
        f"{record['sequences']:7} sequences",
        f"{record['split']:4}",
        f"{record['loss']:.4f} {task.unit}",
    ]
    if record["right"] is not None:
        parts.append(f"right {100 * record['right']:.1f} %")
    return "  ".join(parts)


def result_line(records: list[dict[str, Any]], task: Task) -> str:
    """Returns what a finished run gave, such as `solved after 34048 sequences; test: ...`."""
    test = records[-1]
    found = [f"{test['loss']:.4f} {task.unit}"]
    if test["right"] is not None:
        found.insert(0, f"{100 * test['right']:.1f} % right")
    end = "solved" if test["solved"] else "ended" if task.goal is None else "not solved"
    return (
        f"{end} after {test['sequences']} sequences; test: {', '.join(found)} "
        f"({test['num_sequences']} sequences)"
    )


def progress_line(trainer: SequenceTrainer) -> str:
    """Returns for example `12000/200000 sequences  loss 0.0213  8120 sequences/s  0:23 left`."""
    progress, budget = trainer.progress, trainer.recipe.num_sequences
    speed = progress.num_sequences / max(progress.seconds, 1e-9)
    loss = progress.loss_sum / max(1, progress.num_steps)
    left = (budget - progress.num_sequences) / max(speed, 1e-9)
    return (
        f"{progress.num_sequences}/{budget} sequences  loss {loss:.4f}  "
        f"{speed:.0f} sequences/s  at most {clock(left)} left"
    )
