"""Numbers that are not finite in a training: what is done about them, whatever is trained.

A loss that is not finite ends the training: nothing after it would be worth anything. A gradient
that is not finite makes its step be skipped, which is counted. Weights that are not finite are
never written, so what was saved before stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rondo.errors import RunError


class DivergedError(RunError):
    """A training has diverged; the message says what to change."""


class Rates(Protocol):
    """What of a recipe has to do with divergence."""

    @property
    def learning_rate(self) -> float:
        """The highest learning rate."""
        ...

    @property
    def max_grad_norm(self) -> float | None:
        """The norm to which longer gradients are shortened; None: they are not."""
        ...

    @property
    def precision(self) -> str:
        """The name of what it is computed in: "float32" or "bfloat16"."""
        ...


def check_loss(loss: float, step: int, recipe: Rates) -> None:
    """Raises `DivergedError` where the loss of a step, counted from 1, is not finite."""
    if not math.isfinite(loss):
        raise diverged(f"the loss of step {step} is {loss:g}", recipe)


def check_weights(weights: Mapping[str, Any], step: int, recipe: Rates) -> None:
    """Raises `DivergedError` where weights after a step are not finite, so none such are saved."""
    name = first_not_finite(weights)
    if name is not None:
        raise diverged(f"after step {step} {name} holds NaN or infinite numbers", recipe)


def diverged(what: str, recipe: Rates) -> DivergedError:
    """Returns the error that says what is not finite, and what to change."""
    norm = recipe.max_grad_norm
    changes = [
        f"a --learning-rate below {recipe.learning_rate:g}",
        "--clip 1" if norm is None else f"a --clip below {norm:g}",
    ]
    if recipe.precision != "float32":
        changes.append("--precision float32")
    return DivergedError(
        f"the training has diverged: {what}. What was saved before it stays as it was. Begin a new "
        f"run with {' or '.join(changes)}"
    )


def has_finite_gradient(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether no gradient of some parameters is NaN or infinite."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return not gradients or bool(nn.utils.get_total_norm(gradients).isfinite())


def first_not_finite(weights: Mapping[str, Any]) -> str | None:
    """Returns the name of the first tensor that holds NaN or an infinite number, or None.

    Example:
        >>> import torch
        >>> from rondo.training.divergence import first_not_finite
        >>> first_not_finite({"a": torch.ones(2), "b": torch.tensor([1.0, torch.nan])})
        'b'
    """
    for name, value in weights.items():
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        if is_float and not _is_finite(value):
            return name
    return None


def _is_finite(value: Tensor) -> bool:
    """Whether all numbers are finite; the norm, which may overflow, tells it fast where it is."""
    return bool(torch.linalg.vector_norm(value).isfinite()) or bool(value.isfinite().all())
