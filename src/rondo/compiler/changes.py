"""What a step changes of its cell, and how to undo it.

A step that is recorded, compared or probed runs more often than the caller asked for. Within
:func:`unchanged` the cell, what hangs on it and the global names that it reads are as they were
afterwards; what the step had changed is told.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CellType
from typing import Any

from torch import nn

from rondo.compiler.attributes import PLAIN, GlobalName, holders_of, slots_of
from rondo.compiler.forks import given_back_in_children
from rondo.compiler.lines import is_users

_MISSING = object()


@dataclass(frozen=True)
class Change:
    """Something that a step changed.

    Args:
        name: What it is called: the names of attributes on the way to it.
        old: What it was.
        new: What it became.
    """

    name: str
    old: Any
    new: Any


@dataclass
class Changes:
    """What was changed within :func:`unchanged`; known at its end."""

    found: list[Change] = field(default_factory=list)


@contextlib.contextmanager
def unchanged(cell: nn.Module) -> Iterator[Changes]:
    """Undo at the end what was changed of a cell, and tell what it was.

    Example:
        >>> import torch
        >>> cell = torch.nn.Linear(2, 3)
        >>> with unchanged(cell) as changes:
        ...     cell.count = 1
        >>> [change.name for change in changes.found], hasattr(cell, "count")
        (['count'], False)
    """
    before = [(name, holder, _copy(holder)) for name, holder in holders_of(cell)]
    changes = Changes()

    def undo() -> None:
        for name, holder, old in before:
            new = _copy(holder)
            keys = [key for key in {**old, **new} if not _is_same(old, new, key)]
            if keys:
                changes.found += [_change(name, key, old, new) for key in keys]
                _restore(holder, old, keys)

    with given_back_in_children(undo):
        try:
            yield changes
        finally:
            undo()


def numbers_of(cell: nn.Module) -> dict[str, bool | int | float]:
    """The numbers that a cell holds, by the names of attributes on the way to them.

    Example:
        >>> import torch
        >>> numbers_of(torch.nn.Dropout(0.1))["p"]
        0.1
    """
    return {
        f"{name}{key}": value
        for name, holder in holders_of(cell)
        for key, value in _copy(holder).items()
        if type(value) in (bool, int, float)
    }


def line_that_sets(cell: nn.Module, name: str) -> str | None:
    """The line of the cell's code that sets an attribute, as "cells.py:12"; None: not found."""
    attribute = name.rpartition(".")[2]
    setting = re.compile(rf"\.{re.escape(attribute)}\s*([-+*/@]|//|\*\*)?=[^=]")
    for part in cell.modules():
        functions = [value for kind in type(part).__mro__ for value in vars(kind).values()]
        for function in functions:
            code = getattr(function, "__code__", None)
            if code is None or not is_users(code) or code.co_name == "__init__":
                continue
            with contextlib.suppress(OSError, TypeError):
                lines, first = inspect.getsourcelines(function)
                for number, line in enumerate(lines, first):
                    if setting.search(line):
                        return f"{code.co_filename.rpartition('/')[2]}:{number}"
    return None


def _change(name: str, key: Any, old: dict[Any, Any], new: dict[Any, Any]) -> Change:
    return Change(f"{name}{key}", old.get(key, _MISSING), new.get(key, _MISSING))


def _is_same(old: dict[Any, Any], new: dict[Any, Any], key: Any) -> bool:
    a, b = old.get(key, _MISSING), new.get(key, _MISSING)
    return a is b or (
        type(a) is type(b) and type(a) in PLAIN and bool(a == b or (a != a and b != b))
    )


def _copy(holder: Any) -> dict[Any, Any]:
    """What a container holds, by key or number."""
    if isinstance(holder, CellType):
        try:
            return {"": holder.cell_contents}
        except ValueError:
            return {}
    if isinstance(holder, type):
        return dict(vars(holder))
    if isinstance(holder, dict):
        return dict(holder)
    if isinstance(holder, GlobalName):
        namespace, name = holder
        return {name: namespace[name]} if name in namespace else {}
    if isinstance(holder, set | frozenset):
        return dict.fromkeys(holder)
    if isinstance(holder, list | deque):
        return dict(enumerate(holder))
    return {name: getattr(holder, name) for name in slots_of(type(holder), holder)}


def _restore(holder: Any, old: dict[Any, Any], keys: list[Any]) -> None:
    """Give some keys of a container, or all of a list, what they had."""
    if isinstance(holder, CellType):
        holder.cell_contents = old[""]
    elif isinstance(holder, list | set | deque):
        kept = list(old) if isinstance(holder, set) else list(old.values())
        holder.clear()
        (holder.update if isinstance(holder, set) else holder.extend)(kept)
    elif isinstance(holder, type):
        for key in keys:
            setattr(holder, key, old[key]) if key in old else delattr(holder, key)
    elif not isinstance(holder, dict | GlobalName):
        for key in keys:  # slots
            setattr(holder, key, old[key]) if key in old else delattr(holder, key)
    else:
        named = holder.namespace if isinstance(holder, GlobalName) else holder
        for key in keys:  # one by one: other threads may read the rest
            if key in old:
                named[key] = old[key]
            else:
                del named[key]
