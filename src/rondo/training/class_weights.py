"""How much the answers of each class weigh in training, from their counts in the training data.

With N answers, n_c of them of class c, and C classes that occur: w_c = N / (C n_c). The loss of an
answer of class c is multiplied by w_c, in training alone. The mean weight of an answer is 1, so the
learning rate keeps its meaning, and each class has the same part in the loss. A class that never
occurs has the weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondo.data.batch import HasTargets
from rondo.errors import RunError
from rondo.training.recipe import Recipe
from rondo.training.task import Task

MOST_TOLD = 12
"""The most classes whose weights are told one by one."""


def class_weights(task: Task, recipe: Recipe) -> Tensor | None:
    """Returns the weight of each class (C,), or None where all weigh the same.

    Raises:
        RunError: If the answers are no classes, or the training examples cannot be counted.
    """
    if recipe.class_weights == "none":
        return None
    check_class_weights(task, recipe)
    assert isinstance(task.source, HasTargets)
    targets = task.source.training_targets()
    return balanced(targets, task.output_size)


def check_class_weights(task: Task, recipe: Recipe) -> None:
    """Raises `RunError` where a task has no classes to weigh, as `class_weights` does."""
    if recipe.class_weights == "none":
        return
    answers_classes = task.final and task.classes is not None
    if "class_weights" in task.unused or not (
        answers_classes or (task.loss is None and task.distance == "cross_entropy")
    ):
        raise _refused(task, "its answers are no classes")
    if task.source.num_train() is None:
        raise _refused(task, "it draws its training examples anew, so there are none to count")
    if not isinstance(task.source, HasTargets):
        raise _refused(task, "its data do not tell all their training targets")


def balanced(targets: Tensor, num_classes: int) -> Tensor:
    """Returns N / (C n_c) for each class; targets below 0 count nothing.

    Example:
        >>> import torch
        >>> from rondo.training.class_weights import balanced
        >>> balanced(torch.tensor([0, 0, 0, 2, -100]), 3)
        tensor([0.6667, 0.0000, 2.0000])
    """
    known = targets[targets >= 0].flatten()
    counts = torch.bincount(known, minlength=num_classes).double()
    num_found = (counts > 0).sum().clamp_min(1)
    weights = counts.sum() / (num_found * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0.0).float()


def weights_text(weights: Tensor, names: Sequence[str] | None) -> str:
    """Returns for example `class weights: cat 0.67, dog 2`."""
    if len(weights) > MOST_TOLD:
        least, most = float(weights[weights > 0].min()), float(weights.max())
        return f"class weights: {len(weights)} from {least:.3g} to {most:.3g}"
    known = names or [str(number) for number in range(len(weights))]
    words = (f"{name} {float(weight):.3g}" for name, weight in zip(known, weights, strict=True))
    return f"class weights: {', '.join(words)}"


def _refused(task: Task, why: str) -> RunError:
    return RunError(f"{task.name} cannot weigh classes: {why}; leave out recipe.class_weights")
