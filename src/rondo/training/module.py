"""The Lightning module: one training step of a photo classifier, and where the training stands.

All randomness of a step is a function of the seed, the epoch and the batch number, the learning
rate is a function of the step number, and everything else that a step changes is in `state()`. So
a run that goes on from a saved state computes the same numbers as one that was never interrupted.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rondo.data.augment import augment, resize
from rondo.data.order import EpochBatches, num_batches
from rondo.data.seeds import generator_for, seed_layers
from rondo.models import Checkpoint, TransferNetwork
from rondo.tasks.photo import PhotoSet, Recipe, build_model
from rondo.training.averaging import WeightAverage
from rondo.training.config import RunConfig
from rondo.training.divergence import check_loss, check_weights, has_finite_gradient

START_DIVISOR, END_DIVISOR = 25.0, 1e4
"""A one-cycle rate starts at its maximum / 25 and ends at that start / 10000, as in torch."""


@dataclass
class Progress:
    """Where the training stands.

    Args:
        step: Steps done since the beginning.
        num_recorded: Epochs whose evaluation is written down.
        loss_sum: Sum of the losses of this epoch's steps.
        num_correct: Photos of this epoch that were classified correctly in training.
        seconds: Time spent in this epoch's steps, in seconds.
        num_skipped: Steps since the beginning without an update: the gradient was not finite.
    """

    step: int = 0
    num_recorded: int = 0
    loss_sum: float = 0.0
    num_correct: int = 0
    seconds: float = 0.0
    num_skipped: int = 0

    def begin_epoch(self) -> None:
        """Sets the sums over an epoch to zero."""
        self.loss_sum, self.num_correct, self.seconds = 0.0, 0, 0.0


class PhotoClassifier(pl.LightningModule):
    """Trains a model on photos as the recipe says.

    Args:
        config: The settings of the run.
        photos: The training photos.
    """

    def __init__(self, config: RunConfig, photos: PhotoSet) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.recipe = config.recipe
        self.photos = photos
        self.progress = Progress()
        self.steps_per_epoch = num_batches(len(photos.labels), self.recipe.batch_size)
        self.model = build_model(config.model, config.model_arguments)
        self.average: WeightAverage | None = None
        if self.recipe.averaging_decay is not None:
            copy = build_model(config.model, config.model_arguments)
            copy.load_state_dict(self.model.state_dict())
            self.average = WeightAverage(copy, self.recipe.averaging_decay)
        if self.recipe.channels_last:
            for network in (self.model, self.predicting_model):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.last_loss, self.skips = 0.0, False
        self.optimizer: torch.optim.Optimizer | None = None
        self.optimizer_state: dict[str, Any] | None = None

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.recipe.num_epochs

    @property
    def num_done_epochs(self) -> int:
        """Epochs whose steps are all done."""
        return self.progress.step // self.steps_per_epoch

    @property
    def is_between_epochs(self) -> bool:
        """Whether no step of an epoch is done but those of whole epochs."""
        return self.progress.step % self.steps_per_epoch == 0

    def check_weights(self) -> None:
        """Raises `DivergedError` where the weights are not finite."""
        for model in {self.model, self.predicting_model}:
            check_weights(model.state_dict(), self.progress.step, self.recipe)

    @property
    def predicting_model(self) -> nn.Module:
        """The model whose weights predict: the average, where there is one."""
        return self.model if self.average is None else self.average.model

    def state(self) -> dict[str, Any]:
        """Returns everything that a step changes, as tensors and plain values."""
        if self.optimizer is not None:
            self.optimizer_state = self.optimizer.state_dict()
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.model.state_dict(),
            "optimizer": self.optimizer_state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `state()` was taken."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.model.load_state_dict(state["average"])
        self.optimizer_state = state["optimizer"]

    def start_from(self, checkpoint: Checkpoint) -> None:
        """Takes over the weights that a transfer network starts from."""
        for network in {self.model, self.predicting_model}:
            assert isinstance(network, TransferNetwork)
            network.start_from(checkpoint)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns the optimiser, at the state that was loaded, if any."""
        self.optimizer = torch.optim.SGD(
            decay_groups(self.model, self.recipe),
            self.recipe.learning_rate,
            momentum=self.recipe.momentum,
            nesterov=self.recipe.nesterov,
        )
        if self.optimizer_state is not None:
            self.optimizer.load_state_dict(self.optimizer_state)
        return self.optimizer

    def on_fit_start(self) -> None:
        """Puts the average beside the model, on the same device."""
        self.predicting_model.to(self.device)

    def train_dataloader(self) -> EpochBatches:
        """Returns the batches that are left of the present epoch."""
        epoch, batch = divmod(self.progress.step, self.steps_per_epoch)
        if batch == 0:
            self.progress.begin_epoch()
        photos, recipe = self.photos, self.recipe
        return EpochBatches(
            photos.pixels, photos.labels, recipe.batch_size, self.config.seed, epoch, batch
        )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Sets the learning rate of the step and the seed of what the model draws (dropout)."""
        step = self.progress.step
        seed_layers(generator_for("model", self.config.seed, step).initial_seed())
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step, self.num_steps)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Returns the loss of one batch of pixels (B, 3, S, S) and labels (B,).

        Raises:
            DivergedError: If it is not finite.
        """
        pixels, labels = batch
        logits = self.model(self.prepare(pixels)).float()
        self.progress.num_correct += int((logits.argmax(dim=1) == labels).sum())
        loss = cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.last_loss = loss.item()
        check_loss(self.last_loss, self.progress.step + 1, self.recipe)
        self.progress.loss_sum += self.last_loss
        return loss

    @torch.no_grad()
    def prepare(self, pixels: Tensor) -> Tensor:
        """Returns the pixels as the model is to see them in training at the present step."""
        step, seed = self.progress.step, self.config.seed
        size = self.recipe.image_size(
            self.config.image_size, step // self.steps_per_epoch, self.recipe.num_epochs
        )
        if self.recipe.augmentation is None:
            images = resize(pixels, size)
        else:
            generator = generator_for("augmentation", seed, step)
            images = augment(pixels, size, self.recipe.augmentation, generator)
        if self.recipe.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Drops a gradient that is not finite, so that the optimiser changes nothing."""
        self.skips = not has_finite_gradient(self.model.parameters())
        if self.skips:
            self.progress.num_skipped += 1
            optimizer.zero_grad(set_to_none=True)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Does the step and has the average follow."""
        super().optimizer_step(*args, **kwargs)
        self.progress.step += 1
        if self.average is not None and not self.skips:
            self.average.update(self.model, self.progress.step)


def decay_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Returns the parameters that are trained in groups with and without weight decay."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        spare = recipe.decay_matrices_only and parameter.ndim < 2
        (spared if spare else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def learning_rate(recipe: Recipe, step: int, num_steps: int) -> float:
    """Returns the learning rate of a step, counted from 0.

    The one-cycle schedule (Smith and Topin, 2018) rises along half a cosine to the given rate and
    falls along another, as `torch.optim.lr_scheduler.OneCycleLR` does.
    """
    highest = recipe.learning_rate
    if recipe.schedule == "constant":
        return highest
    start = highest / START_DIVISOR
    turn = recipe.warm_up_share * num_steps - 1
    if step < turn:
        return _half_cosine(start, highest, step / turn)
    return _half_cosine(highest, start / END_DIVISOR, (step - turn) / (num_steps - 1 - turn))


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
