"""The optimiser of a recipe, and its learning rate at each step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from rondo.training.light_optimizers import light
from rondo.training.recipe import Recipe

WARM_UP_SHARES = {"cosine": 0.05, "one_cycle": 0.2}
"""The share of the budget over which a learning rate rises, where the recipe does not say."""

FIRST_SHARE = 0.002
"""What counts as spent of the budget before the first step, so that its rate is not 0."""

DROPS = (0.5, 0.75)
"""The shares of the budget after which a rate in steps is a tenth of what it was."""

START_DIVISOR, END_DIVISOR = 25.0, 1e4
"""A one-cycle rate starts at its maximum / 25 and ends at that start / 10000, as in torch."""


def optimizer_of(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Returns the optimiser that the recipe names, for the parameters that are trained."""
    groups, rate = decay_groups(model, recipe), recipe.learning_rate
    if recipe.optimizer == "rmsprop":
        return light(torch.optim.RMSprop)(groups, rate, momentum=recipe.momentum)
    if recipe.optimizer == "sgd":
        return light(torch.optim.SGD)(
            groups, rate, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    return light(torch.optim.Adam)(groups, rate, fused=True)


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


def learning_rate(recipe: Recipe, step: int, num_steps: int, done: float) -> float:
    """Returns the learning rate of a step.

    With the share u of the budget that is spent, w of `warm_up_share` and the highest rate r:

        constant    r min(1, (u + 0.002) / w)
        cosine      the same, times (1 + cos(pi u)) / 2
        linear      the same as of constant, times 1 - u
        step        the same as of constant, divided by 10 from u = 1/2 on and by 100 from 3/4 on

    The one-cycle schedule (Smith and Topin, 2018) rises along half a cosine to the given rate and
    falls along another, as `torch.optim.lr_scheduler.OneCycleLR` does.

    Args:
        recipe: Says how the rate goes.
        step: Steps done before, of a one-cycle rate.
        num_steps: Steps of the whole training.
        done: u, of the others.
    """
    share = recipe.warm_up_share
    if share is None:
        share = WARM_UP_SHARES.get(recipe.schedule, 0.0)
    if recipe.schedule == "one_cycle":
        return _one_cycle(recipe.learning_rate, share, step, num_steps)
    rising = min(1.0, (done + FIRST_SHARE) / share) if share else 1.0
    return rising * _falling(recipe, min(done, 1.0))


def _falling(recipe: Recipe, done: float) -> float:
    """The rate without its warm-up."""
    highest = recipe.learning_rate
    if recipe.schedule == "cosine":
        return _half_cosine(highest, 0.0, done)
    if recipe.schedule == "linear":
        return highest * (1 - done)
    if recipe.schedule == "step":
        return highest / 10.0 ** sum(done >= drop for drop in DROPS)
    return highest


def _one_cycle(highest: float, share: float, step: int, num_steps: int) -> float:
    start = highest / START_DIVISOR
    turn = share * num_steps - 1
    if step < turn:
        return _half_cosine(start, highest, step / turn)
    return _half_cosine(highest, start / END_DIVISOR, (step - turn) / (num_steps - 1 - turn))


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
