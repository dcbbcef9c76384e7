"""Examples of a cell's input and state, made from its graph, for pictures and unrolled graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rondo.cells import initial_state
from rondo.compiler import StepGraph
from rondo.compiler.graph import Value, sizes_at
from rondo.compiler.names import variable_names
from rondo.compiler.state import flatten


def names_of(cell: nn.Module, step: StepGraph) -> Mapping[str, str]:
    """The names of the cell's variables by the nodes of its step."""
    form = state_form(cell, step)
    if form is None:
        return {}
    leaves = [_example(cell, value) for value in step.state]
    x, state = _example(cell, step.inputs[0]), form.unflatten(leaves)
    return variable_names(cell, x, state)


def state_form(cell: nn.Module, step: StepGraph) -> Any:
    """The form of a cell's state; None where it has no initial state to tell it."""
    try:
        state = initial_state(cell, _example(cell, step.inputs[0]))
    except TypeError:
        return None
    _, form = flatten(state)
    return form if form.num_leaves == len(step.state) else None


def _example(cell: nn.Module, value: Value) -> torch.Tensor:
    """Zeros like a value, of the cell's own type: it may have run in another, under autocast."""
    like = next(cell.parameters(), torch.zeros((), device="cpu"))
    dtype = like.dtype if value.dtype.is_floating_point else value.dtype
    return torch.zeros(sizes_at(value.shape, 1), dtype=dtype, device=like.device)
