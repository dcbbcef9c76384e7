"""One training step on sequences, checks, and where the training stands.

All randomness of a step is a function of the seed and the step, and everything else that a step
changes is in `state()`. So a run that goes on from a saved state computes the same numbers as one
that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.data.seeds import generator_for, seed_layers
from rondo.tasks.task import Recipe, Task
from rondo.training.objective import Objective
from rondo.training.sequences.config import SequenceConfig
from rondo.training.sequences.networks import build_network, network_arguments
from rondo.training.truncated import detached

RISE = 0.05
"""The share of the budget over which a learning rate that anneals rises."""


@dataclass(frozen=True)
class Score:
    """What a network is worth on some sequences.

    Args:
        loss: The mean distance over all steps, or over all answers, in the task's unit.
        right: The share of right answers, or None where the task has none.
        num_sequences: The number of sequences.
    """

    loss: float
    right: float | None
    num_sequences: int


@dataclass
class Progress:
    """Where the training stands.

    Args:
        step: Steps done since the beginning.
        num_sequences: Training sequences seen since the beginning.
        num_since_check: Of these, those since the last check.
        loss_sum: The sum of the losses of the steps since the last check.
        num_steps: The number of these steps.
        num_skipped: Steps without an update: no sequence had a step, or the gradient was not
            finite.
        best_loss: The smallest loss in a check.
        num_worse: Checks since then.
        solved: Whether a check has met the goal.
        seconds: The time of all steps and checks, in seconds.
    """

    step: int = 0
    num_sequences: int = 0
    num_since_check: int = 0
    loss_sum: float = 0.0
    num_steps: int = 0
    num_skipped: int = 0
    best_loss: float = math.inf
    num_worse: int = 0
    solved: bool = False
    seconds: float = 0.0


class SequenceTrainer:
    """Trains a network on a task as the recipe says.

    Args:
        config: The settings of the run.
        task: The task that they name.
    """

    def __init__(self, config: SequenceConfig, task: Task) -> None:
        torch.manual_seed(config.seed)
        self.config, self.task, self.recipe = config, task, config.recipe
        self.model = build_network(task.model, network_arguments(task, self.recipe))
        if task.prepare is not None:
            task.prepare(self.model)
        self.parameters = list(self.model.parameters())
        self.optimizer = optimizer_of(self.recipe, self.parameters)
        self.objective = Objective(task.distance) if task.loss is None else None
        self.progress = Progress()
        self.carried: Any = None
        self.last_loss = 0.0
        self.best: dict[str, Tensor] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the task is solved, the budget is spent or nothing gets better any more."""
        progress, patience = self.progress, self.recipe.patience
        return (
            progress.solved
            or progress.num_sequences >= self.recipe.num_sequences
            or (patience is not None and progress.num_worse >= patience)
        )

    @property
    def must_check(self) -> bool:
        """Whether a check is due."""
        return self.progress.num_since_check >= self.recipe.check_every or (
            self.progress.num_since_check > 0
            and self.progress.num_sequences >= self.recipe.num_sequences
        )

    def advance(self) -> Score | None:
        """Does one step, and the check after it where one is due: then returns its score."""
        began = time.monotonic()
        self.train_step()
        score = self.check() if self.must_check else None
        self.progress.seconds += time.monotonic() - began
        return score

    def train_step(self) -> None:
        """Does one step."""
        seed, progress = self.config.seed, self.progress
        self._set_rate()
        batch = self.task.source.training_batch(seed, progress.step, self.recipe.batch_size)
        if is_empty(batch):
            progress.num_skipped += 1
        else:
            self._learn(batch)
        num_sequences = max(1, len(batch.inputs))  # so that the budget ends
        progress.step += 1
        progress.num_sequences += num_sequences
        progress.num_since_check += num_sequences

    def _learn(self, batch: Batch) -> None:
        """Changes the weights by the gradient of a batch; one that is not finite changes nothing.

        The loss is in `last_loss`; one that is not finite is for the caller to act on.
        """
        seed, progress = self.config.seed, self.progress
        seed_layers(generator_for("model", seed, progress.step).initial_seed())
        kept = self._add_noise()
        loss = self._loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self._restore(kept)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_grad_norm)
        self.last_loss = loss.item()
        if norm.isfinite() and math.isfinite(self.last_loss):
            self.optimizer.step()
        else:
            progress.num_skipped += 1
        progress.num_steps += 1
        progress.loss_sum += self.last_loss

    def check(self) -> Score:
        """Measures the network, and notes whether it is solved or better than before."""
        progress = self.progress
        score = self.measure(self.task.source.check_batches(self.config.seed, progress.step))
        goal = self.task.goal
        progress.solved = goal is not None and score.right is not None and score.right >= goal
        if score.loss < progress.best_loss:
            progress.best_loss, progress.num_worse = score.loss, 0
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        else:
            progress.num_worse += 1
        return score

    def begin_interval(self) -> None:
        """Sets the sums since the last check to zero."""
        self.progress = replace(self.progress, num_since_check=0, loss_sum=0.0, num_steps=0)

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch]) -> Score:
        """Returns what the present weights are worth."""
        self.model.eval()
        loss, num_terms, num_right, num_sequences, state = 0.0, 0, 0.0, 0, None
        for batch in batches:
            outputs, state = self._outputs(batch, state)
            distances = self._distances(outputs, batch)
            loss += distances.double().sum().item()
            num_terms += _num_terms(distances, self._lengths(batch))
            num_sequences += len(batch.inputs)
            if self.task.right is not None:
                num_right += float(self.task.right(outputs, batch).sum())
        self.model.train()
        right = None if self.task.right is None else num_right / max(1, num_sequences)
        mean = loss / num_terms if num_terms else math.nan
        return Score(mean / self.task.nats_per_unit, right, num_sequences)

    def kept_weights(self) -> dict[str, Tensor]:
        """Returns the weights that predict: of some tasks the last, of others the best."""
        return self.model.state_dict() if self.best is None or self._keeps_last else self.best

    def state(self) -> dict[str, Any]:
        """Returns everything that a step changes, as tensors and plain values."""
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "carried": self.carried,
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `state()` was taken."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.carried, self.best = state["carried"], state["best"]

    @property
    def _keeps_last(self) -> bool:
        return self.task.keeps_last or self.task.goal is not None

    def _outputs(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """What the network answers, and its state; after the state of the batch before, or not."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            given = {} if batch.pictures is None else {"pictures": batch.pictures}
            outputs, state = self.model(
                batch.inputs, state if batch.continues else None, lengths=batch.lengths, **given
            )
        return outputs.float(), state

    def _loss(self, batch: Batch) -> Tensor:
        outputs, state = self._outputs(batch, self.carried)
        self.carried = detached(state)
        if self.objective is None:
            return self._distances(outputs, batch).mean()
        return self.objective(outputs, batch.targets, self._lengths(batch))

    def _distances(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The distances of the steps, or the losses of the sequences of a task that has its own."""
        if self.objective is None:
            assert self.task.loss is not None
            return self.task.loss(outputs, batch)
        return self.objective.distances(outputs, batch.targets, self._lengths(batch))

    def _lengths(self, batch: Batch) -> Tensor | None:
        has_one_term = self.task.final or self.task.loss is not None
        return None if has_one_term else batch.lengths

    def _set_rate(self) -> None:
        """Sets the learning rate of this step."""
        done = self.progress.num_sequences / self.recipe.num_sequences
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, done)

    def _add_noise(self) -> list[Tensor]:
        """Adds noise to the weights, for one step; returns them as they were."""
        if self.recipe.weight_noise == 0:
            return []
        kept = [parameter.detach().clone() for parameter in self.parameters]
        with torch.no_grad():
            for parameter in self.parameters:
                parameter.add_(torch.randn_like(parameter), alpha=self.recipe.weight_noise)
        return kept

    @torch.no_grad()
    def _restore(self, kept: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters if kept else [], kept, strict=True):
            parameter.copy_(value)


def learning_rate(recipe: Recipe, done: float) -> float:
    """Returns the learning rate once a share of the budget is spent."""
    if not recipe.anneals:
        return recipe.learning_rate
    falling = (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return recipe.learning_rate * min(1.0, (done + 0.002) / RISE) * falling


def optimizer_of(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Returns the optimiser that the recipe names."""
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, recipe.learning_rate, momentum=0.9)
    return torch.optim.Adam(parameters, recipe.learning_rate, fused=True)


def is_empty(batch: Batch) -> bool:
    """Whether no sequence of a batch has a step."""
    lengths = batch.lengths
    return batch.inputs.numel() == 0 or (lengths is not None and not bool(lengths.any()))


def _num_terms(distances: Tensor, lengths: Tensor | None) -> int:
    return distances.numel() if lengths is None else int(lengths.sum())
