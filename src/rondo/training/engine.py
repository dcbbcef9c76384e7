"""The one loop of training: a step, a check, and where the training stands, whatever is trained.

All randomness of a step is a function of the seed and the step, and everything else that a step
changes is in `state()`. So a run that goes on from a saved state computes the same numbers as one
that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils import _pytree as pytree

from rondo.data.batch import Batch
from rondo.data.seeds import generator_for, seed_layers
from rondo.training.divergence import check_weights
from rondo.training.objective import Objective
from rondo.training.optimising import learning_rate, optimizer_of
from rondo.training.recipe import Recipe
from rondo.training.task import Place, Task
from rondo.training.truncated import detached


class Settings(Protocol):
    """What a run was asked to do, as far as its loop must know it."""

    @property
    def recipe(self) -> Recipe:
        """How to train."""
        ...

    @property
    def seed(self) -> int:
        """The seed of all that is random."""
        ...


Examined = tuple[Batch, Tensor, Tensor, Tensor | None]
"""A batch, the outputs, the loss of each row, and whether each is answered rightly."""


@dataclass(frozen=True)
class Score:
    """What a network is worth on some sequences.

    Args:
        loss: The mean distance over all steps, or over all answers, in the task's unit.
        right: The share of right answers, or None where the task has none.
        num_examples: The number of sequences.
    """

    loss: float
    right: float | None
    num_examples: int


@dataclass
class Progress:
    """Where the training stands.

    Args:
        step: Steps done since the beginning.
        num_seen: Training examples seen since the beginning.
        checked_at: How many they were at the last check.
        loss_sum: The sum of the losses of the steps since then.
        num_steps: The number of these steps.
        num_right: The training examples since then that were answered rightly, where it is counted.
        interval_seconds: The time of these steps, in seconds.
        num_skipped: Steps without an update: no example had a step, or the gradient was not
            finite.
        best_loss: The smallest loss in a check.
        num_worse: Checks since then.
        solved: Whether a check has met the goal.
        seconds: The time of all steps, in seconds.
    """

    step: int = 0
    num_seen: int = 0
    checked_at: int = 0
    loss_sum: float = 0.0
    num_steps: int = 0
    num_right: float = 0.0
    interval_seconds: float = 0.0
    num_skipped: int = 0
    best_loss: float = math.inf
    num_worse: int = 0
    solved: bool = False
    seconds: float = 0.0


class Engine:
    """Trains a network on a task as the recipe says.

    Args:
        config: The settings of the run.
        task: The task that they name.
        build: Makes the network, ready to train.
    """

    def __init__(self, config: Settings, task: Task, build: Callable[[], nn.Module]) -> None:
        torch.manual_seed(config.seed)
        self.config, self.task, self.recipe = config, task, config.recipe
        self.device = _device() if task.is_on_accelerator else torch.device("cpu")
        self.model = build()
        self.model.to(self.device)
        if self.recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = averaged(self.model, self.recipe.averaging_decay)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.objective = Objective(task.distance) if task.loss is None else None
        num_train = task.source.num_train()
        self.budget = self.recipe.budget(num_train)
        self.interval = self.recipe.interval(num_train)
        batch_size = self.recipe.batch_size
        self.batch_size = batch_size if num_train is None else min(batch_size, num_train)
        self.progress = Progress()
        self.carried: Any = None
        self.last_loss = 0.0
        self.best: dict[str, Tensor] | None = None

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser; it is made for the first step, for torch takes seconds to load it."""
        return optimizer_of(self.recipe, self.model)

    @property
    def is_done(self) -> bool:
        """Whether the task is solved, the budget is spent or nothing gets better any more."""
        progress, patience = self.progress, self.recipe.patience
        return (
            progress.solved
            or progress.num_seen >= self.budget
            or (patience is not None and progress.num_worse >= patience)
        )

    @property
    def must_check(self) -> bool:
        """Whether a check is due."""
        seen, checked_at = self.progress.num_seen, self.progress.checked_at
        is_spent = seen >= self.budget and seen > checked_at
        return is_spent or seen // self.interval > checked_at // self.interval

    @property
    def num_steps(self) -> int:
        """The steps of the whole training, if nothing ends it before."""
        return -(-self.budget // self.batch_size)

    @property
    def predicting_model(self) -> nn.Module:
        """The network whose weights predict: the average, where there is one."""
        return self.model if self.average is None else self.average.module

    def train_step(self) -> None:
        """Does one step."""
        began, progress = time.monotonic(), self.progress
        place = self._place(is_training=True)
        rate = learning_rate(self.recipe, progress.step, self.num_steps, place.done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.task.source.training_batch(self.config.seed, progress.step, self.batch_size)
        if is_empty(batch):
            progress.num_skipped += 1
        else:
            self._learn(self._changed(batch, place))
        progress.step += 1
        progress.num_seen += max(1, len(batch.inputs))  # so that the budget ends
        seconds = time.monotonic() - began
        progress.seconds += seconds
        progress.interval_seconds += seconds

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
        most = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.parameters, most)
        self.last_loss = loss.item()
        if norm.isfinite() and math.isfinite(self.last_loss):
            self.optimizer.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
        else:
            progress.num_skipped += 1
        progress.num_steps += 1
        progress.loss_sum += self.last_loss

    def check(self, should_stop: Callable[[], bool] = lambda: False) -> Score | None:
        """Measures the network, and notes whether it is solved or better than before.

        Returns:
            What it is worth, or None where it was asked to stop meanwhile: nothing is noted then.
        """
        progress = self.progress
        batches = self.task.source.check_batches(self.config.seed, progress.step)
        score = self.measure(batches, should_stop=should_stop)
        if score is None:
            return None
        goal = self.task.goal
        progress.solved = goal is not None and score.right is not None and score.right >= goal
        if score.loss < progress.best_loss:
            progress.best_loss, progress.num_worse = score.loss, 0
            if not self._keeps_last:
                weights = self.predicting_model.state_dict()
                self.best = {name: value.clone() for name, value in weights.items()}
        else:
            progress.num_worse += 1
        return score

    def begin_interval(self) -> None:
        """Sets the sums since the last check to zero."""
        self.progress = replace(
            self.progress,
            checked_at=self.progress.num_seen,
            loss_sum=0.0,
            num_steps=0,
            num_right=0.0,
            interval_seconds=0.0,
        )

    @torch.no_grad()
    def measure(
        self,
        batches: Iterable[Batch],
        *,
        at_end: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Score | None:
        """Returns what the weights that predict are worth, or None where it was asked to stop.

        Args:
            batches: What to measure them on.
            at_end: Whether the examples are as at the end of the training, where they change
                meanwhile.
            should_stop: Is asked after each batch.
        """
        model = self.predicting_model
        place = self._place(is_training=False, at_end=at_end)
        model.eval()
        loss, num_terms, num_right, num_examples, state = 0.0, 0, 0.0, 0, None
        try:
            for given in batches:
                batch = self._changed(given, place)
                outputs, state = self._outputs(model, batch, state, is_training=False)
                distances = self._distances(outputs, batch)
                loss += distances.double().sum().item()
                num_terms += _num_terms(distances, self._lengths(batch))
                num_examples += len(batch.inputs)
                if self.task.right is not None:
                    num_right += float(self.task.right(outputs, batch).sum())
                if should_stop():
                    return None
        finally:
            self.model.train()
        right = None if self.task.right is None else num_right / max(1, num_examples)
        mean = loss / num_terms if num_terms else math.nan
        return Score(mean / self.task.nats_per_unit, right, num_examples)

    def examine(self, batches: Iterable[Batch]) -> Iterator[Examined]:
        """Yields batches with what the weights that predict make of them, as at the end.

        Each is the batch as the network saw it, the outputs, the loss of each row (B,) in nats: the
        mean over its steps, and what `Task.right` says of them.
        """
        model, state = self.predicting_model, None
        place = self._place(is_training=False, at_end=True)
        model.eval()
        try:
            for given in batches:
                with torch.no_grad():
                    batch = self._changed(given, place)
                    outputs, state = self._outputs(model, batch, state, is_training=False)
                    distances, lengths = self._distances(outputs, batch), self._lengths(batch)
                    if distances.ndim == 2:
                        steps = distances.shape[1] if lengths is None else lengths.clamp_min(1)
                        distances = distances.sum(1) / steps
                    right = None if self.task.right is None else self.task.right(outputs, batch)
                yield batch, outputs, distances, right
        finally:
            self.model.train()

    def kept_weights(self) -> dict[str, Tensor]:
        """Returns the weights that predict: of some tasks the last, of others the best."""
        return self.predicting_model.state_dict() if self.best is None else self.best

    def check_weights(self) -> None:
        """Raises `DivergedError` where weights are not finite."""
        for weights in (self.model.state_dict(), self.kept_weights()):
            check_weights(weights, self.progress.step, self.recipe)

    def state(self) -> dict[str, Any]:
        """Returns everything that a step changes, as tensors and plain values."""
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "carried": self.carried,
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `state()` was taken."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.carried = pytree.tree_map_only(Tensor, self._moved, state["carried"])
        self.best = state["best"]

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self.device)

    @property
    def _keeps_last(self) -> bool:
        return self.task.keeps_last or self.task.goal is not None

    def _place(self, *, is_training: bool, at_end: bool = False) -> Place:
        """Where the step is that is done, or the step that was done last."""
        progress, budget = self.progress, self.budget
        seen = progress.num_seen if is_training else max(0, progress.num_seen - self.batch_size)
        done = 1.0 if at_end else min(1.0, seen / budget)
        return Place(self.config.seed, progress.step, done, self.recipe, is_training)

    def _changed(self, batch: Batch, place: Place) -> Batch:
        """What the network sees of a batch, on its device."""
        batch = batch if self.device.type == "cpu" else batch.to(self.device)
        return batch if self.task.change is None else self.task.change(batch, place)

    def _outputs(
        self, model: nn.Module, batch: Batch, state: Any, *, is_training: bool
    ) -> tuple[Tensor, Any]:
        """What a network answers, and its state; after the state of the batch before, or not."""
        call = self.task.call if is_training else self.task.answer or self.task.call
        uses_bfloat16 = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=uses_bfloat16):
            outputs, state = call(model, batch, state if batch.continues else None, self.recipe)
        return outputs.float(), state

    def _loss(self, batch: Batch) -> Tensor:
        task = self.task
        outputs, state = self._outputs(self.model, batch, self.carried, is_training=True)
        self.carried = detached(state)
        if task.counts_training and task.right is not None:
            self.progress.num_right += float(task.right(outputs.detach(), batch).sum())
        if task.training_loss is not None:
            return task.training_loss(outputs, batch, self.recipe).mean()
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


def averaged(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """Returns the moving average of the weights of a network, where there is to be one.

    After update n, with w = min(decay, (1 + n) / (10 + n)): average = w average + (1 - w) weight.
    Buffers, the running statistics of batch normalisation, are copied.
    """
    if decay is None:
        return None

    def update(averages: Any, weights: Any, num_updates: Tensor | int) -> None:
        n = 1 + int(num_updates)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + n) / (10 + n)))

    average = AveragedModel(model, multi_avg_fn=torch.no_grad()(update))
    return average.eval().requires_grad_(False)


def is_empty(batch: Batch) -> bool:
    """Whether no sequence of a batch has a step."""
    lengths = batch.lengths
    return batch.inputs.numel() == 0 or (lengths is not None and not bool(lengths.any()))


def _device() -> torch.device:
    """The accelerator, or the processor where there is none."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _num_terms(distances: Tensor, lengths: Tensor | None) -> int:
    return distances.numel() if lengths is None else int(lengths.sum())
