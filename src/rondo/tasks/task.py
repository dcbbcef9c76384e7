"""What a task on sequences is: its data, its outputs, its distance, its criterion, its recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from rondo.data.batch import Batch, Source


@dataclass(frozen=True)
class Recipe:
    """How to train on a task.

    Args:
        cell: A name in `rondo.cells.named.NAMED_CELLS`.
        hidden_size: The hidden size of the cells.
        num_layers: Recurrent layers on top of each other.
        embedding_size: The width of embedded symbols, where the task's inputs are symbols.
        batch_size: Sequences in a step.
        learning_rate: The learning rate of every step, or the highest where it anneals.
        optimizer: "adam", or "rmsprop" with momentum 0.9.
        max_grad_norm: The norm to which the whole gradient is shortened where it is longer.
        num_sequences: The budget: training ends after so many sequences.
        check_every: Sequences between two checks.
        patience: Checks without a better loss after which training ends, or None for no such end.
        dropout: Share of the units that are dropped between layers.
        weight_noise: Standard deviation of the noise on the weights during a step.
        channels: Channels of the first convolution, where the network has some.
        anneals: Whether the learning rate rises over the first twentieth of the budget and then
            falls to 0 along half a cosine.
        precision: "float32"; "bfloat16" for products and convolutions; or "auto", what this
            machine computes fastest.
    """

    cell: str = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    embedding_size: int | None = None
    batch_size: int = 32
    learning_rate: float = 5e-3
    optimizer: str = "adam"
    max_grad_norm: float = 1.0
    num_sequences: int = 200_000
    check_every: int = 2_000
    patience: int | None = None
    dropout: float = 0.0
    weight_noise: float = 0.0
    channels: int | None = None
    anneals: bool = False
    precision: str = "float32"


Losses = Callable[[Tensor, Batch], Tensor]
"""From outputs and a batch to the loss of each sequence (B,)."""

Right = Callable[[Tensor, Batch], Tensor]
"""From outputs and a batch to whether each sequence (B,), or step (B, T), is answered rightly; or
to the share of each sequence (B,) that is."""


@dataclass(frozen=True)
class Task:
    """A task on sequences.

    Args:
        name: Its name on the command line.
        source: Its sequences.
        input_size: The width of its inputs, or the number of symbols.
        output_size: The width of its outputs.
        distance: The name of what is minimised (`rondo.training.objective`).
        recipe: How to train on it, if nothing else is asked for.
        final: Whether there is one answer, after the last step.
        right: When an answer is right; None where the loss says all.
        goal: The share of right answers at which the task counts as solved; None: there is no such
            share, and the weights with the smallest loss in a check are kept.
        unit: What the loss is given in.
        nats_per_unit: The loss in nats that makes one of this unit.
        symbols: The characters that inputs and outputs stand for, where they are characters.
        words: The words that inputs and outputs stand for, where they are words.
        classes: The names of the classes, where the answer is one of them.
        pixel_classes: The same, where there is an answer for every pixel.
        model: The network, a name in `rondo.training.sequences.networks.NETWORKS`.
        model_arguments: What it takes beside the sizes, the cell and the dropout.
        keeps_last: Whether the last weights are kept, and not those with the smallest loss in a
            check.
        prepare: Has a new network take figures from the training sequences, where it needs some.
        loss: The loss of each sequence, where it is not a distance of each step.
        digest: What tells other data from these, where the files of `data` do not tell it.
        notes: What to tell the user of the data.
        num_skipped: How many inputs of the data could not be used.
    """

    name: str
    source: Source
    input_size: int
    output_size: int
    distance: str
    recipe: Recipe
    final: bool = False
    right: Right | None = None
    goal: float | None = None
    unit: str = "loss"
    nats_per_unit: float = 1.0
    symbols: str | None = None
    words: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    pixel_classes: tuple[str, ...] | None = None
    model: str = "sequence_model"
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    keeps_last: bool = False
    prepare: Callable[[nn.Module], None] | None = None
    loss: Losses | None = None
    digest: str | None = None
    notes: tuple[str, ...] = ()
    num_skipped: int = 0


def is_likeliest(outputs: Tensor, batch: Batch) -> Tensor:
    """Whether the likeliest class of each sequence is that of its target."""
    return outputs.argmax(-1) == batch.targets


BITS = math.log(2)
"""The nats of one bit."""
