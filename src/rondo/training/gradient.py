"""The gradient of a step: a fold over the shards of its batch, and in each over windows in time.

In goes a batch; what comes out is the gradient of J, left with the parameters of the network, and
J. What shards and windows give are sums over examples and steps, which are divided by the number of
examples in the whole batch, so J is the same mean however the batch is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rondo.data.batch import Batch
from rondo.data.seeds import generator_for, seed_layers
from rondo.training.exchange import finished
from rondo.training.losses import Losses
from rondo.training.precision import autocast
from rondo.training.ranks import Ranks
from rondo.training.recipe import Recipe
from rondo.training.running_figures import RunningFigures
from rondo.training.shards import Shards, Sums, folded
from rondo.training.task import Task
from rondo.training.truncated import detached
from rondo.training.windows import check_state, windows_of


@dataclass(frozen=True)
class Given:
    """What a batch gave beside its gradient.

    Args:
        loss: J.
        num_right: The answers that were right, where they are counted.
    """

    loss: float
    num_right: float


class BatchGradient:
    """Makes the gradients of a network, batch after batch.

    Args:
        task: The task.
        recipe: How it is trained.
        model: The network.
        parameters: Those of its parameters that are trained.
        losses: What its outputs cost.
        scaler: What scales the loss, or None.
        seed: The seed of what layers draw.
        ranks: The processes that share the shards.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        model: nn.Module,
        parameters: list[nn.Parameter],
        losses: Losses,
        scaler: torch.amp.GradScaler | None,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.task, self.recipe, self.model, self.parameters = task, recipe, model, parameters
        self.losses, self.scaler, self.seed = losses, scaler, seed
        self.ranks, self.shards = ranks, Shards(recipe.num_shards, ranks)
        self.running = RunningFigures(model) if recipe.num_shards > 1 else None
        self.carried: list[Any] = [None] * self.shards.number
        """The state that each shard carries from batch to batch."""

    @property
    def counts_right(self) -> bool:
        """Whether right answers are counted: where the task wants it, and sees whole sequences."""
        is_whole = self.recipe.window_size is None or self.task.final
        return self.task.counts_training and self.task.right is not None and is_whole

    def leave(self, batch: Batch, step: int) -> Given:
        """Leaves the gradient of a batch with the parameters; they must have none before.

        Args:
            batch: The whole batch of a step.
            step: The number of the step, from 0.
        """
        count = len(batch.inputs)
        partial = folded(self.shards.mine, lambda shard: self._of_shard(batch, step, shard))
        sums = finished(partial, self.ranks, self.parameters)
        assert sums is not None
        if self.running is not None:
            self.running.finish(self.ranks)
        sums.give(self.parameters)
        return Given((sums.loss / count).item(), sums.num_right)

    def all_carried(self) -> list[Any]:
        """What each shard carries, of those too that other ranks compute."""
        mine = self.shards.mine
        parts = self.ranks.gathered(self.carried[mine.start : mine.stop])
        return [state for part in parts for state in part]

    def load_carried(self, carried: list[Any], device: torch.device) -> None:
        """Takes states that were carried before."""
        self.carried = pytree.tree_map_only(Tensor, lambda state: state.to(device), carried)

    def _of_shard(self, batch: Batch, step: int, shard: int) -> Sums | None:
        """What a shard of a batch gives, with its share of the figures of batch normalisation."""
        if self.running is None:
            return self._sums(batch, step, shard)
        with self.running.of_shard(shard):
            return self._sums(batch, step, shard)

    def _sums(self, batch: Batch, step: int, shard: int) -> Sums | None:
        """What a shard of a batch gives; None where it has no rows."""
        part = self.shards.part(batch, shard)
        if part.inputs.numel() == 0:
            return None
        if self.shards.number > 1:
            draw_for(self.seed, step, shard)
        found = None
        windows = windows_of(part, self.recipe.window_size, final=self.task.final)
        for number, window in enumerate(windows):
            if number > 0:
                check_state(self.task, self.carried[shard])
            with torch.set_grad_enabled(window.has_gradient):
                outputs = self._outputs(window.batch, shard)
            if window.has_gradient:
                loss = self._backward(outputs, window.batch, len(batch.inputs))
                found = loss if found is None else found + loss
        assert found is not None
        return Sums.taken(found, self._num_right(outputs, window.batch), self.parameters)

    def _outputs(self, batch: Batch, shard: int) -> Tensor:
        """The outputs for a batch, after the state that its shard carries, which goes on."""
        before = self.carried[shard]
        outputs, state = answered(
            self.task, self.recipe, self.model, batch, before, is_training=True
        )
        self.carried[shard] = detached(state)
        return outputs

    def _backward(self, outputs: Tensor, batch: Batch, count: int) -> Tensor:
        """Adds to the gradient what some steps give; returns the sum of their losses."""
        total = self.losses.training_sum(outputs, batch)
        loss = total / count
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return total.detach()

    def _num_right(self, outputs: Tensor, batch: Batch) -> float:
        if not self.counts_right or self.task.right is None:
            return 0.0
        return float(self.task.right(outputs.detach(), batch).sum())


def answered(
    task: Task, recipe: Recipe, model: nn.Module, batch: Batch, state: Any, *, is_training: bool
) -> tuple[Tensor, Any]:
    """Returns what a network answers, and its state.

    Args:
        task: Says how the network is called.
        recipe: Says in which precision.
        model: The network.
        batch: What it is called on.
        state: The state after the batch before, for a batch that continues.
        is_training: Whether this is a step, rather than a check or a test.
    """
    call = task.call if is_training else task.answer or task.call
    with autocast(recipe.precision, batch.inputs.device):
        outputs, state = call(model, batch, state if batch.continues else None, recipe)
    return outputs.float(), state


def draw_for(seed: int, step: int, *shard: int) -> None:
    """Seeds what layers draw in a step, or in a shard of it."""
    seed_layers(generator_for("model", seed, step, *shard).initial_seed())
