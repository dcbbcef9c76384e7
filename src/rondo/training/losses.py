"""What the outputs of a network cost: in a step of the training, and in a check or the test.

In go outputs and the batch that they answer. For training one number comes out, the sum of the
losses of the examples, of which J is the mean over all examples of a step. For a check the losses
come out one by one.
"""

from __future__ import annotations

from torch import Tensor

from rondo.data.batch import Batch
from rondo.training.objective import Objective
from rondo.training.recipe import Recipe
from rondo.training.task import Task


class Losses:
    """The losses of a task.

    Args:
        task: The task.
        recipe: How it is trained.
        weights: (C,) what the loss of an answer of each class is multiplied by in training, or
            None where all weigh the same.
    """

    def __init__(self, task: Task, recipe: Recipe, weights: Tensor | None = None) -> None:
        self.task, self.recipe, self.weights = task, recipe, weights
        self.objective = Objective(task.distance) if task.loss is None else None

    def training_sum(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The sum of the losses of all examples, a tensor of no dimensions.

        The loss of an example is that of its one answer, or the sum of those of its steps.
        """
        if self.task.training_loss is None:
            losses = self.one_by_one(outputs, batch)
        else:
            losses = self.task.training_loss(outputs, batch, self.recipe)
        if self.weights is not None:
            losses = losses * self.weights[batch.targets.clamp_min(0)]
        return losses.sum() if losses.ndim == 1 else losses.sum(1).sum()

    def one_by_one(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The distances of the steps, or the losses of the sequences of a task that has its own."""
        if self.objective is None:
            assert self.task.loss is not None
            return self.task.loss(outputs, batch)
        return self.objective.distances(outputs, batch.targets, self._lengths(batch))

    def of_examples(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss of each example (B,): the mean over its steps, where there are several."""
        losses, lengths = self.one_by_one(outputs, batch), self._lengths(batch)
        if losses.ndim == 1:
            return losses
        steps = losses.shape[1] if lengths is None else lengths.clamp_min(1).to(losses.device)
        return losses.sum(1) / steps

    def num_terms(self, losses: Tensor, batch: Batch) -> int:
        """The number of these losses, without padding."""
        lengths = self._lengths(batch)
        return losses.numel() if lengths is None else int(lengths.sum())

    def _lengths(self, batch: Batch) -> Tensor | None:
        has_one_term = self.task.final or self.task.loss is not None
        return None if has_one_term else batch.lengths
