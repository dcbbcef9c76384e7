"""Operations that move elements within a row: slices of them, side by side.

In go the terms and numbers that an operation of torch is given, out comes its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rondo.compiler.expansion import Term
from rondo.compiler.graph import Rows, Size

aten = torch.ops.aten


def _stack(tensors: tuple[Term, ...], dim: int = 0) -> Term:
    """The tensors with a new dimension, joined."""
    dim %= len(tensors[0].shape) + 1
    first, *rest = (
        tensor.unsqueeze(dim).named(f"piece_{number}") for number, tensor in enumerate(tensors)
    )
    return first.joined(dim, behind=rest)


def _repeat(x: Term, times: tuple[Size, ...]) -> Any:
    """Copies side by side, or one for each row of the batch."""
    for _ in range(len(times) - len(x.shape)):
        x = x.unsqueeze(0)
    for dim, number in enumerate(times):
        if isinstance(number, Rows):
            if x.shape[dim] != 1:
                return NotImplemented
            shape = (*x.shape[:dim], number, *x.shape[dim + 1 :])
            x = x.shaped(aten.expand.default, shape, shape)
        elif number != 1:
            if x.has_rows(dim) or number == 0:
                return NotImplemented
            x = x.joined(dim, behind=[x] * (number - 1))
    return x


def _roll(x: Term, shifts: tuple[int, ...], dims: tuple[int, ...] = ()) -> Any:
    """The last elements come first."""
    if len(dims) != len(shifts) or any(x.has_rows(dim) for dim in dims):
        return NotImplemented
    for shift, given in zip(shifts, dims, strict=True):
        dim = given % len(x.shape)
        size = x.size(dim)
        first = -shift % size
        if first:
            x = x.slice(dim, first, size).joined(dim, behind=[x.slice(dim, 0, first)])
    return x


def _pad(x: Term, pad: tuple[int, ...], value: float = 0) -> Any:
    """A number before and behind; fewer elements where so many are less than 0."""
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    for number, (before, behind) in enumerate(pairs):
        dim = len(x.shape) - 1 - number
        if not before and not behind:
            continue
        if x.has_rows(dim):
            return NotImplemented
        x = x.slice(dim, max(0, -before), x.size(dim) - max(0, -behind))
        x = x.joined(dim, _filled(x, dim, before, value), _filled(x, dim, behind, value))
    return x


def _filled(x: Term, dim: int, number: int, value: float) -> list[Term]:
    """So many elements of one number, if there are any."""
    return [x.filled(value, (*x.shape[:dim], number, *x.shape[dim + 1 :]))] if number > 0 else []


def _select_scatter(x: Term, part: Term, dim: int, index: int) -> Any:
    """A slice of one element, put into x."""
    dim %= len(x.shape)
    if x.has_rows(dim):
        return NotImplemented
    index %= x.size(dim)
    piece = part.unsqueeze(dim).named("piece")
    return x.shaped(aten.slice_scatter.default, x.shape, piece, dim, index, index + 1)


PLACES: dict[Any, Callable[..., Any]] = {
    aten.stack: _stack,
    aten.repeat: _repeat,
    aten.roll: _roll,
    aten.constant_pad_nd: _pad,
    aten.select_scatter: _select_scatter,
}
"""For an operation, its result; `NotImplemented`: it stays as it is."""
