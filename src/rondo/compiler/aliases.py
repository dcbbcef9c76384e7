"""Which value lies in which memory, while a step is recorded.

In go tensors as torch makes, views and changes them; out come names of values. Two tensors that
show the same memory in the same way are the same value, whoever made them; a view is known by the
operation that shows a part of another tensor. A change in place gives the memory a new value: what
shows other parts of it is read anew when it is wanted, and what it is itself a part of becomes the
old whole with a new part. So a recording needs no operation that changes anything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.graph import Ref

aten = torch.ops.aten

Place = tuple[Any, ...]
Write = Callable[[Any, tuple[Any, ...]], str]
"""Writes down an operation on references; returns the name of its result."""


class AliasError(Exception):
    """A change in place that is no new value, and why."""


def place_of(tensor: Tensor) -> Place:
    """What tells a tensor from all others: its memory, and how it shows it."""
    return (
        storage_of(tensor),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def storage_of(tensor: Tensor) -> int:
    """The memory in which a tensor lies."""
    return tensor.untyped_storage()._cdata


@dataclass
class _View:
    """How a value shows a part of another one: `op(base, *rest)`, or one of its results."""

    base: Place
    op: Any
    rest: tuple[Any, ...]
    index: int | None = None

    @property
    def base_sizes(self) -> tuple[int, ...]:
        sizes: tuple[int, ...] = self.base[2]
        return sizes


@dataclass
class _Entry:
    name: str
    view: _View | None
    seen: int  # how often its memory had been changed when it was named


class Aliases:
    """The names of values by the memory in which they lie.

    Args:
        write: Writes down an operation; views are read anew with it.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._entries: dict[Place, _Entry] = {}
        self._changes: dict[int, int] = {}  # by memory
        self._alive: list[Tensor] = []  # no other tensor may get their memory

    def __contains__(self, tensor: Tensor) -> bool:
        return place_of(tensor) in self._entries

    def give(self, tensor: Tensor, name: str) -> None:
        """A tensor has this name; it is a part of no other."""
        self._enter(tensor, name, None)

    def give_view(
        self, tensor: Tensor, name: str, of: Place, op: Any, rest: Any, index: int | None = None
    ) -> None:
        """A tensor has this name, and shows a part of what lies at `of`."""
        self._enter(tensor, name, _View(of, op, tuple(rest), index))

    def name_of(self, tensor: Tensor) -> str:
        """The name of what a tensor holds now."""
        return self._read(place_of(tensor))

    def name_of_whole(self, tensor: Tensor) -> str:
        """The name of what a tensor is a part of, or its own where it is part of nothing."""
        entry = self._entries[place_of(tensor)]
        while entry.view is not None:
            entry = self._entries[entry.view.base]
        return entry.name

    def change(self, tensor: Tensor, name: str) -> None:
        """A tensor now holds the value with this name, and so does what it is a part of.

        Raises:
            AliasError: Where what it is a part of cannot be written down with a new part.
        """
        place = place_of(tensor)
        whole = self._change(place, name)
        self._changes[place[0]] = count = self._changes.get(place[0], 0) + 1
        for changed in whole:
            self._entries[changed].seen = count

    def _enter(self, tensor: Tensor, name: str, view: _View | None) -> None:
        place = place_of(tensor)
        self._alive.append(tensor)
        self._entries[place] = _Entry(name, view, self._changes.get(place[0], 0))

    def _read(self, place: Place) -> str:
        entry, changes = self._entries[place], self._changes.get(place[0], 0)
        if entry.view is not None and entry.seen != changes:
            base = Ref(self._read(entry.view.base))
            name = self._write(entry.view.op, (base, *entry.view.rest))
            if entry.view.index is not None:
                name = self._write(operator.getitem, (Ref(name), entry.view.index))
            entry.name = name
        entry.seen = changes
        return entry.name

    def _change(self, place: Place, name: str) -> list[Place]:
        """Name a value and what it is a part of; returns their places."""
        entry = self._entries[place]
        view = entry.view
        if view is None:
            entry.name = name
            return [place]
        whole = self._with_part(view, name)
        entry.name = name
        return [place, *self._change(view.base, whole)]

    def _with_part(self, view: _View, part: str) -> str:
        """The name of what a view is taken of, with a new part."""
        rule = WITH_PART.get(getattr(view.op, "overloadpacket", view.op))
        if rule is None:
            raise AliasError(f"a change in place through {view.op}")
        written = rule(view, Ref(part))
        if written is None:
            return part
        op, args = written
        reads_base = op in KEEPS_REST
        return self._write(op, (Ref(self._read(view.base)), *args) if reads_base else args)


KEEPS_REST = {
    aten.slice_scatter.default,
    aten.select_scatter.default,
    aten.diagonal_scatter.default,
}
"""Operations that take the whole and the new part; the others take the part alone."""

Rule = Callable[[_View, Ref], tuple[Any, tuple[Any, ...]] | None]


def _refolded(view: _View, part: Ref) -> tuple[Any, tuple[Any, ...]]:
    return aten.view.default, (part, view.base_sizes)


def _exchanged(view: _View, part: Ref) -> tuple[Any, tuple[Any, ...]]:
    return view.op, (part, *view.rest)


def _permuted(view: _View, part: Ref) -> tuple[Any, tuple[Any, ...]]:
    order = [dim % len(view.rest[0]) for dim in view.rest[0]]
    back = tuple(order.index(dim) for dim in range(len(order)))
    return aten.permute.default, (part, back)


def _split(view: _View, part: Ref) -> tuple[Any, tuple[Any, ...]]:
    """A result of `split`: a slice of the whole."""
    assert view.index is not None
    sizes, dim = view.rest[0], (*view.rest, 0)[1]
    if isinstance(sizes, int):
        start, size = view.index * sizes, sizes
    else:
        start, size = sum(sizes[: view.index]), sizes[view.index]
    end = min(start + size, view.base_sizes[dim])
    return aten.slice_scatter.default, (part, dim, start, end)


def _unbound(view: _View, part: Ref) -> tuple[Any, tuple[Any, ...]]:
    return aten.select_scatter.default, (part, (*view.rest, 0)[0], view.index)


WITH_PART: dict[Any, Rule] = {
    **dict.fromkeys([aten.detach, aten.alias], lambda view, part: None),
    **dict.fromkeys([aten.view, aten._unsafe_view, aten.unsqueeze, aten.squeeze], _refolded),
    **dict.fromkeys([aten.t, aten.transpose, aten._conj, aten._neg_view], _exchanged),
    aten.permute: _permuted,
    aten.slice: lambda view, part: (aten.slice_scatter.default, (part, *view.rest)),
    aten.select: lambda view, part: (aten.select_scatter.default, (part, *view.rest)),
    aten.diagonal: lambda view, part: (aten.diagonal_scatter.default, (part, *view.rest)),
    **dict.fromkeys([aten.split, aten.split_with_sizes], _split),
    aten.unbind: _unbound,
    aten.view_as_real: lambda view, part: (aten.view_as_complex.default, (part,)),
    aten.view_as_complex: lambda view, part: (aten.view_as_real.default, (part,)),
}
"""For a view, what gives the whole with a new part; None where the part is the whole."""
