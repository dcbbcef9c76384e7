"""Calls whose results `torch.compile` takes for constants of its graph.

The decorator imports all of torch's compiler, which takes a second: import this file only where
that compiler is at work already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


@torch.compiler.assume_constant_result
def constant(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What a function returns; it is called once, while the graph is made, and is no part of it."""
    return function(*args, **kwargs)
