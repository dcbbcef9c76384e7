"""`rondo evaluate` of runs whose task has no measures of its own."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from rondo.cli.commands import SUCCESS, run_path
from rondo.cli.manual import UsageError
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.training.engine import Score
    from rondo.training.task import Task


def evaluate_task(arguments: argparse.Namespace) -> int:
    """Measures the loss and the share of right answers on val and test."""
    from rondo.training.run_paths import task_of
    from rondo.training.sequences.measure import measured

    if arguments.min_confidence is not None:
        raise UsageError("--min-confidence is for runs of photos; leave it out")
    path = run_path(arguments.RUN)
    name = task_of(path)
    assert name is not None
    task, scores = measured(path, name, data=arguments.data, split=arguments.split)
    if arguments.json:
        print(json_text({split: asdict(score) for split, score in scores.items()}, indent=2))
    else:
        print("\n".join(_lines(task, scores)))
    return SUCCESS


def _lines(task: Task, scores: dict[str, Score]) -> list[str]:
    from rondo.system.columns import columns

    head = ["split", task.noun, f"loss, {task.unit}"]
    rows = [[split, str(one.num_examples), f"{one.loss:.4f}"] for split, one in scores.items()]
    if any(score.right is not None for score in scores.values()):
        head.append("right")
        for row, score in zip(rows, scores.values(), strict=True):
            row.append("-" if score.right is None else f"{100 * score.right:.1f} %")
    return columns(head, rows)
