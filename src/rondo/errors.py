"""The error that a user of runs can mend, and the names and numbers that are checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from rondo.system.threads import check_num_threads


class RunError(ValueError):
    """A run folder or a setting cannot be used; the message says what to do."""


Value = TypeVar("Value")


def look_up(kind: str, name: str, known: Mapping[str, Value]) -> Value:
    """Returns what is known by a name.

    Raises:
        RunError: If nothing is; it names the nearest name.
    """
    if name in known:
        return known[name]
    raise RunError(f"there is no {kind} {name!r}; {suggestion(name, known)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns for example `did you mean 'test'?`, or all known names where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"


def check_from_0(**numbers: float) -> None:
    """Raises `RunError` where a number is below 0; keys are its words, joined by underscores."""
    _check_from(0, numbers)


def check_from_1(**numbers: float) -> None:
    """Raises `RunError` where a number is below 1; keys are its words, joined by underscores."""
    _check_from(1, numbers)


def check_above_0(**numbers: float | None) -> None:
    """Raises `RunError` where a number is not finite or not above 0; None is left out."""
    for words, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise RunError(f"the {words.replace('_', ' ')} must be above 0, but is {value:g}")


def num_threads_of(asked: int | None) -> int:
    """Returns the threads that a run is to have: those asked for, or torch's.

    Raises:
        RunError: If more are asked for than the machine has processors, or less than 1.
    """
    if asked is None:
        import torch

        return torch.get_num_threads()
    try:
        return check_num_threads(asked)
    except ValueError as error:
        raise RunError(str(error)) from error


def _check_from(least: int, numbers: Mapping[str, float]) -> None:
    for words, value in numbers.items():
        if not value >= least:
            raise RunError(f"the {words.replace('_', ' ')} must be {least} or more, but is {value}")
