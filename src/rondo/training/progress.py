"""How far a training is and what it gives: as records of `metrics.jsonl`, and in lines to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rondo.system.json_text import finite
from rondo.training.engine import Engine, Score
from rondo.training.optimising import learning_rate
from rondo.training.records import Record, skipped_words
from rondo.training.task import Task
from rondo.training.terminal import clock


def train_record(engine: Engine) -> Record:
    """Returns what the steps since the last check gave."""
    progress = engine.progress
    num_examples = progress.num_seen - progress.checked_at
    done = min(1.0, progress.num_seen / engine.budget)
    record: Record = {
        **_place(engine),
        "split": "train",
        "loss": progress.loss_sum / max(1, progress.num_steps),
        "num_examples": num_examples,
        "learning_rate": learning_rate(
            engine.recipe, max(0, progress.step - 1), engine.num_steps, done
        ),
        "per_second": examples_per_second(engine),
    }
    if engine.gradient.counts_right:
        record["right"] = progress.num_right / max(1, num_examples)
    if engine.weights is not None and progress.checked_at == 0:
        record["class_weights"] = engine.weights.tolist()
    return finite(record)


def check_record(split: str, score: Score, engine: Engine) -> Record:
    """Returns what a check or the test gave."""
    record = {
        **_place(engine),
        "split": split,
        "loss": score.loss,
        "right": score.right,
        "num_examples": score.num_examples,
        "solved": engine.progress.solved,
    }
    if engine.task.baseline is not None and split == "val":
        record["baseline"] = engine.task.baseline
    return finite(record)


def _place(engine: Engine) -> dict[str, Any]:
    """Where a training stands."""
    progress = engine.progress
    place: dict[str, Any] = {"step": progress.step, "num_seen": progress.num_seen}
    if engine.recipe.num_epochs is not None:
        place["epoch"] = progress.num_seen // engine.interval
    return {
        **place,
        "seconds": progress.seconds,
        "skipped_steps": progress.num_skipped,
        "skipped_inputs": engine.task.num_skipped,
    }


def examples_per_second(engine: Engine) -> float:
    """Returns the speed of the steps since the last check."""
    progress = engine.progress
    return (progress.num_seen - progress.checked_at) / max(progress.interval_seconds, 1e-9)


def check_line(records: Sequence[Record], engine: Engine) -> str:
    """Returns what a check or the test gave, in one line.

    For example `   4000 sequences  val   0.0113 loss  right 32.1 %`, or, where the budget is in
    epochs, `epoch  1/14  train 0.412  val   0.3511 nats  right 85.3 % (52.1)  118 photos/s`; in
    brackets is what always giving the most frequent answer would get.
    """
    *before, record = records
    task, recipe = engine.task, engine.recipe
    parts = [f"{record['num_seen']:7} {task.noun}"]
    if recipe.num_epochs is not None:
        parts = [f"epoch {record['epoch']:2}/{recipe.num_epochs}"]
        parts += [f"train {_number(train['loss'])}" for train in before]
    parts += [f"{record['split']:4}", loss_text(record, task)]
    if record["right"] is not None:
        baseline = f" ({100 * record['baseline']:.1f})" if "baseline" in record else ""
        parts.append(f"right {100 * record['right']:.1f} %{baseline}")
    if recipe.num_epochs is not None:
        parts += [f"{train['per_second']:.0f} {task.noun}/s" for train in before]
    return "  ".join([*parts, *skipped_words(record)])


def result_line(records: list[Record], task: Task) -> str:
    """Returns what a finished run gave, such as `solved after 34048 sequences; test: ...`."""
    test = records[-1]
    found = [loss_text(test, task)]
    if test["right"] is not None:
        found.insert(0, f"{100 * test['right']:.1f} % right")
    end = "solved" if test["solved"] else "ended" if task.goal is None else "not solved"
    return (
        f"{end} after {test['num_seen']} {task.noun}; test: {', '.join(found)} "
        f"({test['num_examples']} {task.noun})"
    )


def loss_text(record: Record, task: Task) -> str:
    """Returns for example `0.0113 loss`."""
    return "a loss not finite" if record["loss"] is None else f"{record['loss']:.4f} {task.unit}"


def progress_line(engine: Engine) -> str:
    """Returns for example `12000/200000 sequences  loss 0.0213  8120 sequences/s  0:23 left`."""
    progress, noun = engine.progress, engine.task.noun
    seen = min(progress.num_seen, engine.budget)  # the last batch may go beyond
    speed = progress.num_seen / max(progress.seconds, 1e-9)
    loss = progress.loss_sum / max(1, progress.num_steps)
    left = (engine.budget - seen) / max(speed, 1e-9)
    parts = [f"{seen}/{engine.budget} {noun}"]
    if engine.recipe.num_epochs is not None:
        epoch, within = divmod(seen, engine.interval)
        bar = "#" * (20 * within // engine.interval)
        parts = [f"epoch {min(epoch + 1, engine.recipe.num_epochs)}/{engine.recipe.num_epochs}"]
        parts.append(f"[{bar:-<20}]")
    parts += [f"loss {loss:.4f}", f"{speed:.0f} {noun}/s", f"at most {clock(left)} left"]
    return "  ".join(parts)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
