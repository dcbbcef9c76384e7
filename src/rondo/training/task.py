"""What a task on sequences is: its data, its outputs, its distance, its criterion, its recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from rondo.data.batch import Batch, Source
from rondo.training.recipe import OF_PHOTOS, Recipe


@dataclass(frozen=True)
class Place:
    """Where a training stands.

    Args:
        seed: The seed of the run.
        step: Steps done before this one.
        done: The share of the budget that is spent.
        recipe: How it trains.
        is_training: Whether a step is done, rather than a check or a test.
    """

    seed: int
    step: int
    done: float
    recipe: Recipe
    is_training: bool


Change = Callable[[Batch, Place], Batch]
"""What becomes of a batch before the network sees it."""

Call = Callable[[nn.Module, Batch, Any, Recipe], tuple[Tensor, Any]]
"""From a network, a batch and the state before it to outputs and the state after it."""

Losses = Callable[[Tensor, Batch], Tensor]
"""From outputs and a batch to the loss of each sequence (B,)."""

TrainingLosses = Callable[[Tensor, Batch, Recipe], Tensor]
"""The same of what a step makes smaller, where that is not the loss that is told."""

Right = Callable[[Tensor, Batch], Tensor]
"""From outputs and a batch to whether each sequence (B,), or step (B, T), is answered rightly; or
to the share of each sequence (B,) that is."""


@dataclass(frozen=True)
class Shown:
    """How an example looks in a report.

    Args:
        wanted: The right answer, in a few words.
        answered: What the network answered.
        given: What it was given, in a few words.
        picture: The same as a picture (H, W) of grey or (H, W, 3) of colours, of uint8; else None.
    """

    wanted: str
    answered: str
    given: str = ""
    picture: Tensor | None = None


Show = Callable[[Tensor, Batch, int], Shown]
"""From outputs, their batch and the number of a row to how that example looks."""


def call_on_sequences(
    model: nn.Module, batch: Batch, state: Any, _recipe: Recipe
) -> tuple[Tensor, Any]:
    """Calls a network on sequences, and on the pictures that they tell of."""
    given = {} if batch.pictures is None else {"pictures": batch.pictures}
    outputs, state = model(batch.inputs, state, lengths=batch.lengths, **given)
    return outputs, state


@dataclass(frozen=True)
class Task:
    """A task with its data.

    Args:
        name: Its name on the command line.
        source: Its sequences.
        input_size: The width of its inputs, or the number of symbols.
        output_size: The width of its outputs.
        distance: The name of what is minimised (`rondo.training.objective`).
        recipe: How to train on it, if nothing else is asked for.
        recipe_name: The name of that among the recipes of the definition.
        final: Whether there is one answer, after the last step.
        right: When an answer is right; None where the loss says all.
        goal: The share of right answers at which the task counts as solved, and whose last weights
            predict; None: there is no such share, and those with the smallest loss in a check do.
        unit: What the loss is given in.
        nats_per_unit: The loss in nats that makes one of this unit.
        symbols: The characters that inputs and outputs stand for, where they are characters.
        words: The words that inputs and outputs stand for, where they are words.
        classes: The names of the classes, where the answer is one of them.
        pixel_classes: The same, where there is an answer for every pixel.
        model: The network, a name among those of the task's definition.
        model_arguments: What it takes beside the sizes, the cell and the dropout.
        keeps_last: Whether the last weights predict, and not those with the smallest loss in a
            check, where the recipe does not say.
        prepare: Has a new network take figures from the training sequences, or weights, where it
            needs some.
        loss: The loss of each sequence, where it is not a distance of each step.
        training_loss: What a step makes smaller, where it is not the mean of `loss`.
        call: How the network is called in a step.
        answer: The same in a check, in the test and where it is used.
        change: What becomes of batches before the network sees them.
        counts_training: Whether right answers are counted in training steps too.
        baseline: The share that is right where the same is always answered, if it is told.
        noun: What an example is called.
        show: How an example looks in a report; None: only figures are told.
        may_be_shown: Whether reports may hold examples; False where they show people.
        unused: The fields of a recipe that it does not look at.
        is_on_accelerator: Whether it is trained on an accelerator, where there is one and nothing
            else is asked for.
        digest: What tells other data from these, where the files of `data` do not tell it.
        settled: Options that the data have settled, such as a depth that weights are for; the run
            keeps them.
        adapt: Makes of a recipe what these data and this network need; None: it stays as it is.
        check: Raises `ValueError` where a recipe does not go with these data; None: any does.
        notes: What to tell the user of the data.
        num_skipped: How many inputs of the data could not be used.
    """

    name: str
    source: Source
    input_size: int
    output_size: int
    distance: str
    recipe: Recipe
    recipe_name: str = "default"
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
    training_loss: TrainingLosses | None = None
    call: Call = call_on_sequences
    answer: Call | None = None
    change: Change | None = None
    counts_training: bool = False
    baseline: float | None = None
    noun: str = "sequences"
    show: Show | None = None
    may_be_shown: bool = True
    unused: tuple[str, ...] = OF_PHOTOS
    is_on_accelerator: bool = False
    digest: str | None = None
    settled: Mapping[str, Any] = field(default_factory=dict)
    adapt: Callable[[Recipe], Recipe] | None = None
    check: Callable[[Recipe], None] | None = None
    notes: tuple[str, ...] = ()
    num_skipped: int = 0


@dataclass(frozen=True)
class Network:
    """A network by its name.

    Args:
        build: Makes it of its arguments.
        arguments: What a task and a recipe mean to it.
    """

    build: Callable[..., nn.Module]
    arguments: Callable[[Task, Recipe], dict[str, Any]]


def is_likeliest(outputs: Tensor, batch: Batch) -> Tensor:
    """Whether the likeliest class of each sequence is that of its target."""
    return outputs.argmax(-1) == batch.targets


BITS = math.log(2)
"""The nats of one bit."""
