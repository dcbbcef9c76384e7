"""The error that a user of runs can mend, and names that are looked up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar


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


def _check_from(least: int, numbers: Mapping[str, float]) -> None:
    for words, value in numbers.items():
        if not value >= least:
            raise RunError(f"the {words.replace('_', ' ')} must be {least} or more, but is {value}")
