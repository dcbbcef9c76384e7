"""How to train: everything but the task, its data, the seed and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rondo.data.augmentation import Augmentation
from rondo.errors import RunError, check_above_0, check_from_0, check_from_1, look_up

SIZE_STEP = 32
"""Photos are scaled to multiples of this side, because most networks halve it five times."""

OPTIMIZERS = ("adam", "rmsprop", "sgd")
"""The optimisers that a recipe may name."""

SCHEDULES = ("constant", "cosine", "linear", "step", "one_cycle")
"""How the learning rate of a recipe may go."""

CLASS_WEIGHTS = ("none", "balanced")
"""How the classes of a recipe may weigh in training."""

KEPT = ("best", "last")
"""Which weights of a run may predict."""


OF_PHOTOS = ("augmentation", "mirror", "image_sizes", "label_smoothing", "channels_last")
"""The fields of a recipe that are for photos alone."""

OF_CELLS = ("cell", "hidden_size", "num_layers", "embedding_size", "channels")
"""The fields of a recipe that are for networks of any cell."""

OF_SEQUENCES = ("window_size",)
"""The fields of a recipe that are for networks whose state goes from step to step."""

OF_CLASSES = ("class_weights",)
"""The fields of a recipe that are for answers that are classes."""

SOME_HAVE = ("embedding_size", "channels")
"""The fields of a recipe that are for some networks alone: None where a task's network has none."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        batch_size: Examples in a step.
        num_shards: The parts, one after another, in which a step does its batch: memory is needed
            for `batch_size / num_shards` examples. A power of two.
        window_size: The steps of a sequence between two cuts of truncated backpropagation through
            time; None: the gradient goes back to the first step.
        learning_rate: The learning rate of every step, or the highest where it changes.
        num_epochs: The budget: passes over the training examples; None where `num_sequences` is it.
        num_sequences: The budget in examples, where it is not given in epochs.
        check_every: Examples between two checks, where the budget is not given in epochs; else
            there is one after every epoch.
        patience: Checks without a better loss after which training ends, or None for no such end.
        keep: Which weights predict: the "best" of all checks, or the "last"; None: as the task
            says. The others are kept beside them.
        optimizer: "adam"; or "rmsprop" or "sgd", with momentum.
        momentum: The momentum of rmsprop and sgd.
        nesterov: Whether the momentum of sgd is Nesterov's.
        weight_decay: The decay of the weights.
        decay_matrices_only: Whether biases and normalisation are spared from decay.
        schedule: What the rate does beside its warm-up: "constant"; "cosine": it falls to 0 along
            half a cosine; "linear": along a line; "step": a tenth after half of the budget, and a
            hundredth after three quarters; or "one_cycle".
        warm_up_share: The share of the budget in which the rate rises; None: a fifth of a
            one-cycle rate, a twentieth of a cosine, and nothing of others.
        max_grad_norm: The norm to which a longer gradient of all weights is shortened, or None.
        averaging_decay: The decay of the moving average of the weights that predicts, or None.
        class_weights: "none", or "balanced": in training an answer weighs the less, the more
            frequent its class is among the training examples.
        label_smoothing: The share of the target that is spread over all classes in training.
        weight_noise: Standard deviation of the noise on the weights during a step.
        dropout: Share of the units that are dropped; each network says where.
        precision: "float32"; "bfloat16" or "float16" for products and convolutions; or "auto",
            the one of the first two that this machine computes fastest.
        channels_last: Whether images lie in memory with the colour channel innermost.
        cell: A name in `rondo.cells.named.NAMED_CELLS`, where the network has such cells.
        hidden_size: The hidden size of the cells.
        num_layers: Recurrent layers on top of each other.
        embedding_size: The width of embedded symbols, where the task's inputs are symbols.
        channels: Channels of the first convolution, where the network has some.
        augmentation: Random changes to training photos, or None.
        mirror: Size of the mirror image, in widths of the photo: a prediction is the mean over
            both. Below 1 its borders are repeated around it; 0 is for the photo alone.
        image_sizes: Pairs (share of the budget, factor on the image size), in order; a size is
            rounded to a multiple of `SIZE_STEP`.
    """

    batch_size: int = 32
    num_shards: int = 1
    window_size: int | None = None
    learning_rate: float = 5e-3
    num_epochs: int | None = None
    num_sequences: int = 200_000
    check_every: int = 2_000
    patience: int | None = None
    keep: str | None = None
    optimizer: str = "adam"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_matrices_only: bool = False
    schedule: str = "constant"
    warm_up_share: float | None = None
    max_grad_norm: float | None = 1.0
    averaging_decay: float | None = None
    class_weights: str = "none"
    label_smoothing: float = 0.0
    weight_noise: float = 0.0
    dropout: float = 0.0
    precision: str = "float32"
    channels_last: bool = False
    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    embedding_size: int | None = None
    channels: int | None = None
    augmentation: Augmentation | None = None
    mirror: float = 0.0
    image_sizes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)

    def check(self) -> None:
        """Raises `RunError` where a value cannot be used."""
        from rondo.cells.named import NAMED_CELLS  # it loads torch, for which help does not wait

        look_up("optimizer", self.optimizer, dict.fromkeys(OPTIMIZERS))
        look_up("schedule", self.schedule, dict.fromkeys(SCHEDULES))
        look_up("cell", self.cell, NAMED_CELLS)
        look_up("way of class_weights", self.class_weights, dict.fromkeys(CLASS_WEIGHTS))
        if self.keep is not None:
            look_up("kind of weights to keep", self.keep, dict.fromkeys(KEPT))
        check_from_1(
            number_of_epochs=1 if self.num_epochs is None else self.num_epochs,
            batch_size=self.batch_size,
            window_size=1 if self.window_size is None else self.window_size,
            number_of_sequences=self.num_sequences,
            number_of_sequences_between_checks=self.check_every,
            patience=1 if self.patience is None else self.patience,
            hidden_size=self.hidden_size,
            number_of_layers=self.num_layers,
            embedding_size=1 if self.embedding_size is None else self.embedding_size,
            number_of_channels=1 if self.channels is None else self.channels,
        )
        check_above_0(learning_rate=self.learning_rate, **{"norm of --clip": self.max_grad_norm})
        self._check_shards()
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            raise RunError("nesterov needs a momentum above 0, but the momentum is 0")
        check_from_0(weight_decay=self.weight_decay, weight_noise=self.weight_noise)
        for name in ("dropout", "momentum", "averaging_decay", "label_smoothing", "warm_up_share"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                words = name.replace("_", " ")
                raise RunError(f"the {words} must be at least 0 and below 1, but is {value:g}")
        if not 0 <= self.mirror <= 1:
            raise RunError(f"the mirror must be from 0 to 1, but is {self.mirror:g}")

    def _check_shards(self) -> None:
        """Raises `RunError` where a batch cannot be cut into so many parts."""
        number = self.num_shards
        if number < 1 or number & (number - 1):
            raise RunError(
                f"the number of shards must be a power of two, but is {number}; "
                f"try {2 ** max(0, number.bit_length() - 1) if number > 0 else 1}"
            )
        if number > self.batch_size:
            raise RunError(
                f"the number of shards must be at most the batch size, {self.batch_size}, but is "
                f"{number}"
            )

    @property
    def examples_at_once(self) -> int:
        """The fewest examples that the network sees at a time in a full batch."""
        return self.batch_size // self.num_shards

    def budget(self, num_train: int | None) -> int:
        """Returns how many examples training goes on for, of so many training examples."""
        if self.num_epochs is None or num_train is None:
            return self.num_sequences
        return self.num_epochs * num_train

    def interval(self, num_train: int | None) -> int:
        """Returns how many examples lie between two checks."""
        if self.num_epochs is None or num_train is None:
            return self.check_every
        return num_train

    def image_size(self, full_size: int, done: float) -> int:
        """Returns the side of the training photos once a share of the budget is spent."""
        end = 0.0
        for share, factor in self.image_sizes:
            end += share
            if done < end - 1e-9:
                return max(SIZE_STEP, int(factor * full_size / SIZE_STEP + 0.5) * SIZE_STEP)
        return full_size


def recipe_from(values: dict[str, Any]) -> Recipe:
    """Returns the recipe of values that were read from JSON, which knows no tuples.

    A field that is not there has its default: the file is older than the field.
    """
    strength = values["augmentation"]
    if "num_shards" not in values and values.get("schedule") != "one_cycle":
        values = {**values, "warm_up_share": None}  # it was of one-cycle rates alone then
    if strength is not None:
        strength = Augmentation(**{name: _tupled(value) for name, value in strength.items()})
    return Recipe(
        **{**values, "augmentation": strength, "image_sizes": _tupled(values["image_sizes"])}
    )


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
