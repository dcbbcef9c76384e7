"""The optimiser of a recipe, and its learning rate at each step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from rondo.training.light_optimizers import light
from rondo.training.recipe import Recipe

RISE = 0.05
"""The share of the budget over which a "cosine" learning rate rises."""

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

    The one-cycle schedule (Smith and Topin, 2018) rises along half a cosine to the given rate and
    falls along another, as `torch.optim.lr_scheduler.OneCycleLR` does.

    Args:
        recipe: Says how the rate goes.
        step: Steps done before, of a one-cycle rate.
        num_steps: Steps of the whole training.
        done: The share of the budget that is spent, of a cosine.
    """
    highest = recipe.learning_rate
    if recipe.schedule == "constant":
        return highest
    if recipe.schedule == "cosine":
        rising = min(1.0, (done + 0.002) / RISE)
        return rising * _half_cosine(highest, 0.0, min(done, 1.0))
    start = highest / START_DIVISOR
    turn = recipe.warm_up_share * num_steps - 1
    if step < turn:
        return _half_cosine(start, highest, step / turn)
    return _half_cosine(highest, start / END_DIVISOR, (step - turn) / (num_steps - 1 - turn))


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
