"""What a run that names actions is worth: accuracy, confusion, and how many answers are sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rondo.errors import RunError, look_up
from rondo.measures.abstention import Answered, answered, check_min_confidence
from rondo.measures.classes import (
    ClassEvaluation,
    class_accuracy_table,
    class_probabilities,
    confusion_table,
    evaluate_classes,
)
from rondo.measures.intervals import percent
from rondo.system.columns import columns
from rondo.tasks.actions.answers import Recogniser
from rondo.training.measure import task_of_run
from rondo.training.run_folder import RunFolder
from rondo.training.task import Task


def evaluate(
    folder: RunFolder,
    *,
    data: str | None = None,
    split: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    min_confidence: float | None = None,
) -> ActionsEvaluation:
    """Returns what the answers on val and test are worth, or on the split that is named.

    Args:
        folder: The run folder.
        data: Another folder of clips, or None for the run's own data.
        split: "val" or "test"; None for both.
        say: Is given each line for the user.
        min_confidence: Also count the answers that have at least this probability; None does not.

    Raises:
        RunError: If the data cannot be used, or have other classes or frames than the run's.
    """
    if min_confidence is not None:
        check_min_confidence(min_confidence)
    recogniser = Recogniser(folder.path)
    task = task_of_run(folder, data, say)
    for note in task.notes:
        say(note)
    _check_data(recogniser, task)
    predicted = _predicted(recogniser, task, split)
    evaluations = {
        name: evaluate_classes(*both, recogniser.classes) for name, both in predicted.items()
    }
    if min_confidence is None:
        return ActionsEvaluation(evaluations)
    given = {name: answered(*both, min_confidence) for name, both in predicted.items()}
    return ActionsEvaluation(evaluations, given)


@dataclass(frozen=True)
class ActionsEvaluation:
    """What a run is worth.

    Args:
        evaluations: What the answers are worth, by split.
        answered: How many are sure enough, by split, where that was asked for.
    """

    evaluations: dict[str, ClassEvaluation]
    answered: dict[str, Answered] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        values = {name: item.to_dict() for name, item in self.evaluations.items()}
        for name, item in self.answered.items():
            values[name]["answered"] = {
                "min_confidence": item.min_confidence,
                "coverage": item.coverage.value,
                "accuracy": item.accuracy.value if item.accuracy.num_photos else None,
            }
        return values

    def lines(self) -> list[str]:
        """Returns the accuracies, the confusion of each split, and what is answered."""
        blocks = [class_accuracy_table(self.evaluations)]
        blocks += [f"{name}:\n{confusion_table(item)}" for name, item in self.evaluations.items()]
        if self.answered:
            blocks.append(_answered_table(self.answered))
        return "\n\n".join(blocks).split("\n")


def _answered_table(given: dict[str, Answered]) -> str:
    least = next(iter(given.values())).min_confidence
    head = [f"probability {least:g} or more", "answered (95 % interval)", "of these right"]
    rows = [[name, percent(item.coverage), percent(item.accuracy)] for name, item in given.items()]
    return "\n".join(columns(head, rows))


def _predicted(
    recogniser: Recogniser, task: Task, split: str | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """The probabilities and labels of each split."""
    source = task.source
    splits = {
        "val": lambda: source.check_batches(recogniser.config.seed, 0),
        "test": source.test_batches,
    }
    if split is not None:
        splits = {split: look_up("split", split, splits)}
    return {name: class_probabilities(recogniser.model, make()) for name, make in splits.items()}


def _check_data(recogniser: Recogniser, task: Task) -> None:
    found = task.model_arguments
    try:
        recogniser.check_shape("the data", found["frames"], tuple(found["frame_shape"]))
    except ValueError as error:
        raise RunError(str(error)) from error
    if task.classes != recogniser.classes:
        raise RunError(
            f"the data have the classes {', '.join(task.classes or ())}, but the run learnt "
            f"{', '.join(recogniser.classes)}"
        )
