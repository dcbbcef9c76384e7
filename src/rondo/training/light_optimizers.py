"""Optimisers of torch that do not load TorchDynamo for their first step.

In goes a class of `torch.optim`, out comes one with the same arguments, state and results. Torch
wraps the methods of its optimisers so that `torch.compile` leaves them alone, and the wrappers
import TorchDynamo when they are first called: seconds for a training that compiles nothing. Under
each wrapper is the method itself, as `__wrapped__`. The class given here calls that one as long as
TorchDynamo is not loaded, and torch's own way from then on. Whoever uses `torch.compile` has loaded
it, so all that it does with optimisers stays as it is.

This is the only file that knows how torch wraps these methods. On a version of torch that it was
not tried with, or where they look otherwise, it gives back the class of torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

TRIED = ("2.13",)
"""The versions of torch on which the tests of this file have passed."""

WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""The methods that `torch._disable_dynamo` wraps; `step` is wrapped in another way."""

Kind = TypeVar("Kind", bound=Optimizer)

Method = Callable[..., Any]


@cache
def light(kind: type[Kind]) -> type[Kind]:
    """Returns an optimiser like another, whose steps do not load TorchDynamo.

    Args:
        kind: A class of `torch.optim`.

    Example:
        >>> import torch
        >>> from rondo.training.light_optimizers import light
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = light(torch.optim.SGD)([weight], lr=0.5)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.tolist()
        [0.5, 0.5]
    """
    if not torch.__version__.startswith(tuple(f"{version}." for version in TRIED)):
        return kind
    methods = {name: getattr(kind, name) for name in WRAPPED}
    methods["step"] = _without_hooks(kind.step)
    bare = {name: _bare(name, method) for name, method in methods.items()}
    if None in bare.values():
        return kind
    given: dict[str, Any] = {
        name: _chosen(method, bare[name]) for name, method in methods.items() if name != "step"
    }
    given["step"] = _step(methods["step"], bare["step"])
    return type(kind.__name__, (kind,), {**given, "__doc__": kind.__doc__})


def _without_hooks(step: Method) -> Method:
    """A step without the hooks that torch puts around it for a class that was used before.

    It puts them around the step of every new class, so they would run twice.
    """
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # type: ignore[attr-defined]


def _bare(name: str, method: Method) -> Any:
    """The function under one wrapper; None where there is none, or it is something else."""
    found = getattr(method, "__wrapped__", None)
    return found if isinstance(found, FunctionType) and found.__code__.co_name == name else None


def _is_loaded() -> bool:
    return "torch._dynamo" in sys.modules


def _chosen(wrapped: Method, bare: Method) -> Method:
    """A method that is the bare one until TorchDynamo is loaded."""

    def call(self: Optimizer, *args: Any, **options: Any) -> Any:
        return (wrapped if _is_loaded() else bare)(self, *args, **options)

    call.__name__ = bare.__name__
    return call


def _step(wrapped: Method, bare: Method) -> Method:
    """The same of a step; its wrapper also says whether gradients go through it."""

    def step(self: Optimizer, *args: Any, **options: Any) -> Any:
        if _is_loaded():
            return wrapped(self, *args, **options)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return bare(self, *args, **options)

    return step
