"""The one loop of training: a step, a check, and where the training stands, whatever is trained.

A step is a fold over the shards of its batch (`rondo.training.shards`), and a shard is a fold over
its windows in time (`rondo.training.windows`); what these give is divided by the number of examples
in the whole batch. A check adds what its batches give, in their order.

All randomness of a step is a function of the seed, the step and the shard, and everything else that
a step changes is in `state()`. So a run that goes on from a saved state computes the same numbers
as one that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.training.averaging import averaged
from rondo.training.class_weights import check_class_weights, class_weights, weights_text
from rondo.training.dealing import Dealt
from rondo.training.device import device_of
from rondo.training.divergence import check_weights
from rondo.training.gradient import BatchGradient, answered, draw_for
from rondo.training.losses import Losses
from rondo.training.optimising import learning_rate, optimizer_of
from rondo.training.precision import check_autocast, scaler_of
from rondo.training.ranks import ALONE, Ranks
from rondo.training.recipe import Recipe
from rondo.training.score import Score, Tally, total
from rondo.training.standing import Progress
from rondo.training.task import Place, Task
from rondo.training.windows import check_windows


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

    @property
    def device(self) -> str:
        """Where to train: see `rondo.training.device`."""
        ...


Examined = tuple[Batch, Tensor, Tensor, Tensor | None]
"""A batch, the outputs, the loss of each row, and whether each is answered rightly."""


class Engine:
    """Trains a network on a task as the recipe says.

    Args:
        config: The settings of the run.
        task: The task that they name.
        build: Makes the network, ready to train.
        ranks: The processes that train it together, of which this is one.

    Raises:
        RunError: If the recipe does not fit the task, its network or this machine.
    """

    def __init__(
        self,
        config: Settings,
        task: Task,
        build: Callable[[], nn.Module],
        ranks: Ranks = ALONE,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.task, self.recipe, self.ranks = config, task, config.recipe, ranks
        self.device = device_of(task, config.device)
        check_fits(task, self.recipe, self.device)
        self.model = build()
        check_windows(task, self.recipe, self.model)
        self.model.to(self.device)
        if self.recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = averaged(self.model, self.recipe.averaging_decay)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.weights = class_weights(task, self.recipe)
        on_device = None if self.weights is None else self.weights.to(self.device)
        self.losses = Losses(task, self.recipe, on_device)
        self.scaler = scaler_of(self.recipe.precision, self.device)
        self.gradient = BatchGradient(
            *(task, self.recipe, self.model, self.parameters, self.losses, self.scaler),
            *(config.seed, ranks),
        )
        num_train = task.source.num_train()
        self.budget = self.recipe.budget(num_train)
        self.interval = self.recipe.interval(num_train)
        batch_size = self.recipe.batch_size
        self.batch_size = batch_size if num_train is None else min(batch_size, num_train)
        self.progress = Progress()
        self.last_loss = 0.0
        self.best: dict[str, Tensor] | None = None

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser; it is made for the first step, for torch takes seconds to load it."""
        return optimizer_of(self.recipe, self.model)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user is to know of how the data are used."""
        task = self.task
        return () if self.weights is None else (weights_text(self.weights, task.classes),)

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

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights predict, rather than those with the smallest loss in a check."""
        if self.recipe.keep is not None:
            return self.recipe.keep == "last"
        return self.task.keeps_last or self.task.goal is not None

    def train_step(self, rate: float | None = None) -> None:
        """Does one step.

        Args:
            rate: The learning rate; default that of the recipe at this step.
        """
        began, progress = time.monotonic(), self.progress
        place = self._place(is_training=True)
        if rate is None:
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
        progress = self.progress
        draw_for(self.config.seed, progress.step)
        kept = self._add_noise()
        self.optimizer.zero_grad()
        found = self.gradient.leave(batch, progress.step)
        self._restore(kept)
        self.last_loss = found.loss
        progress.num_right += found.num_right
        if not self._update():
            progress.num_skipped += 1
        progress.num_steps += 1
        progress.loss_sum += self.last_loss

    def _update(self) -> bool:
        """Changes the weights by the gradient that lies with them, where it is finite."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        most = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.parameters, most)
        is_finite = bool(norm.isfinite()) and math.isfinite(self.last_loss)
        if is_finite:
            self.optimizer.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
        if self.scaler is not None:
            self.scaler.update()
        return is_finite

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
            self.best = _copied(self.last_weights())
        else:
            progress.num_worse += 1
        return score

    def begin_interval(self) -> None:
        """Sets the sums since the last check to zero."""
        self.progress = self.progress.at_interval()

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
        found: list[Tally] = []
        mine = Dealt(batches, self.ranks)
        for batch, outputs in self._answers(mine, at_end=at_end):
            found.append(self._tally(outputs, batch))
            if should_stop():
                mine.stop()
        tallies = mine.in_order(found)
        return None if tallies is None else total(tallies).score(self.task)

    def _answers(self, batches: Iterable[Batch], *, at_end: bool) -> Iterator[tuple[Batch, Tensor]]:
        """Yields batches as the network sees them, with what the weights that predict answer."""
        model, state = self.predicting_model, None
        place = self._place(is_training=False, at_end=at_end)
        model.eval()
        try:
            for given in batches:
                with torch.no_grad():
                    batch = self._changed(given, place)
                    outputs, state = answered(
                        self.task, self.recipe, model, batch, state, is_training=False
                    )
                yield batch, outputs
        finally:
            self.model.train()

    def _tally(self, outputs: Tensor, batch: Batch) -> Tally:
        """What a batch of a check adds to its score."""
        losses, right = self.losses.one_by_one(outputs, batch), self.task.right
        return Tally(
            losses.cpu().double().sum().item(),
            self.losses.num_terms(losses, batch),
            0 if right is None else right(outputs, batch).sum().item(),
            len(batch.inputs),
        )

    def last_weights(self) -> dict[str, Tensor]:
        """Returns the weights of now, or their average."""
        return self.predicting_model.state_dict()

    def examine(self, batches: Iterable[Batch]) -> Iterator[Examined]:
        """Yields batches with what the weights that predict make of them, as at the end.

        Each is the batch as the network saw it, the outputs, the loss of each row (B,) in nats: the
        mean over its steps, and what `Task.right` says of them; all on the CPU.
        """
        cpu = torch.device("cpu")
        for batch, outputs in self._answers(batches, at_end=True):
            right = None if self.task.right is None else self.task.right(outputs, batch).cpu()
            losses = self.losses.of_examples(outputs, batch).cpu()
            yield batch.to(cpu), outputs.cpu(), losses, right

    def kept_weights(self) -> dict[str, Tensor]:
        """Returns the weights that predict: the last, or the best where there was a check."""
        return self.last_weights() if self.keeps_last or self.best is None else self.best

    def other_weights(self) -> dict[str, Tensor] | None:
        """Returns the best weights where the last predict, and the last where the best do.

        Before the first check there are none.
        """
        return self.best if self.keeps_last or self.best is None else self.last_weights()

    def check_weights(self) -> None:
        """Raises `DivergedError` where weights are not finite."""
        for weights in (self.model.state_dict(), self.kept_weights()):
            check_weights(weights, self.progress.step, self.recipe)

    def state(self) -> dict[str, Any]:
        """Returns everything that a step changes, as tensors and plain values.

        All ranks must ask for it at the same step, for each gives a part.
        """
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "carried": self.gradient.all_carried(),
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `state()` was taken."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.gradient.load_carried(state["carried"], self.device)
        self.best = state["best"]

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


def check_fits(task: Task, recipe: Recipe, device: torch.device) -> None:
    """Raises `RunError` where a recipe does not fit a task or a device.

    Some networks are refused later, by the engine that gets them.
    """
    check_autocast(recipe.precision, device)
    check_class_weights(task, recipe)
    check_windows(task, recipe)


def is_empty(batch: Batch) -> bool:
    """Whether no sequence of a batch has a step."""
    lengths = batch.lengths
    return batch.inputs.numel() == 0 or (lengths is not None and not bool(lengths.any()))


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in weights.items()}
