"""What is swept over: lists and ranges of values, their combinations, and draws from them.

In go texts such as `recipe.learning_rate=log:1e-4:1e-2`, out come settings: a text for each name.
A draw depends on the seed, its number and the name alone, so a further name changes no other draw.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from rondo.data.seeds import generator_for
from rondo.errors import RunError

Settings = dict[str, str]
"""The value of each name, as it stands on the command line."""

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER}):({NUMBER})")
WHOLE = re.compile(r"[+-]?\d+")

DIGITS = 4
"""To how many digits a number is drawn."""

TRIES = 100
"""How many draws are made at most for each that is wanted, where some are drawn twice."""


@dataclass(frozen=True)
class Choices:
    """Values of a list.

    Args:
        name: What they are values of.
        values: The values, each of them once.
    """

    name: str
    values: tuple[str, ...]

    def draw(self, seed: int, number: int) -> str:
        """Returns one of the values."""
        return self.values[int(_uniform(self.name, seed, number) * len(self.values))]


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, which belong to it.

    Args:
        name: What they are values of.
        low: The lower end.
        high: The higher end.
        is_log: Whether the logarithms are spread evenly, not the numbers.
        is_whole: Whether the numbers are whole.
    """

    name: str
    low: float
    high: float
    is_log: bool
    is_whole: bool

    @property
    def ends(self) -> tuple[str, str]:
        """Both ends as texts."""
        return self._text(self.low), self._text(self.high)

    def draw(self, seed: int, number: int) -> str:
        """Returns a number of the range as a text."""
        share = _uniform(self.name, seed, number)
        low, high = self.low, self.high + (1 if self.is_whole else 0)
        if self.is_log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        value = math.floor(value) if self.is_whole else float(f"{value:.{DIGITS}g}")
        return self._text(min(max(value, self.low), self.high))

    def _text(self, value: float) -> str:
        return str(int(value)) if self.is_whole else f"{value:g}"


Axis = Choices | Range
"""What one name is swept over."""


def axis_of(text: str) -> Axis:
    """Returns what a text asks for.

    Args:
        text: A name, `=` and values with commas between, or `low:high`, or `log:low:high`. Commas
            within brackets belong to a value.

    Raises:
        RunError: If there is no name or no value, a value is given twice, or the range is none.

    Example:
        >>> from rondo.sweep.space import axis_of
        >>> axis_of("recipe.cell=gru,lstm")
        Choices(name='recipe.cell', values=('gru', 'lstm'))
        >>> axis_of("recipe.learning_rate=log:1e-4:1e-2").is_log
        True
    """
    name, sign, values = text.partition("=")
    name, values = name.strip().lstrip("-"), values.strip()
    if not sign or not name:
        raise RunError(
            f"--over takes NAME=VALUES, such as recipe.learning_rate=1e-3,3e-3, but is {text!r}"
        )
    found = RANGE.fullmatch(values)
    if found is not None:
        return _range(name, found[2], found[3], is_log=found[1] is not None)
    if values.startswith("log:"):
        raise RunError(f"the range of {name} must be log:LOW:HIGH, two numbers, but is {values!r}")
    return Choices(name, _listed(name, values))


def axes_of(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Returns what some texts ask for.

    Raises:
        RunError: If a text cannot be used, or two are for one name.
    """
    axes = tuple(map(axis_of, texts))
    names = [axis.name.removeprefix("recipe.").replace("_", "-") for axis in axes]
    for number, axis in enumerate(axes):
        if names.index(names[number]) != number:
            raise RunError(f"--over is given twice for {axis.name}; give all its values in one")
    return axes


def grid(axes: Sequence[Axis]) -> list[Settings]:
    """Returns all combinations of lists; the last name changes fastest.

    Raises:
        RunError: If something is a range.
    """
    for axis in axes:
        if isinstance(axis, Range):
            raise RunError(
                f"a grid takes lists, and {axis.name} is a range; give values with commas between, "
                "or --method random"
            )
    values = [axis.values for axis in axes if isinstance(axis, Choices)]
    names = [axis.name for axis in axes]
    return [dict(zip(names, chosen, strict=True)) for chosen in product(*values)]


def drawn(axes: Sequence[Axis], num_settings: int, seed: int) -> list[Settings]:
    """Returns so many draws, no two alike; fewer where there are not so many combinations."""
    if all(isinstance(axis, Choices) for axis in axes):
        combinations = math.prod(len(axis.values) for axis in axes if isinstance(axis, Choices))
        if combinations <= num_settings:
            return grid(axes)
    found: list[Settings] = []
    for number in range(TRIES * num_settings):
        settings = {axis.name: axis.draw(seed, number) for axis in axes}
        if settings not in found:
            found.append(settings)
        if len(found) == num_settings:
            break
    return found


def _uniform(name: str, seed: int, number: int) -> float:
    """A number from 0 on and below 1."""
    import torch

    return float(torch.rand((), generator=generator_for(f"sweep {name}", seed, number)))


def _range(name: str, low: str, high: str, *, is_log: bool) -> Range:
    ends = float(low), float(high)
    if not all(map(math.isfinite, ends)):
        raise RunError(f"the ends of the range of {name} must be finite, but are {low} and {high}")
    if ends[0] >= ends[1]:
        raise RunError(
            f"a range goes from its lower to its higher end, but that of {name} is {low}:{high}"
        )
    if is_log and ends[0] <= 0:
        raise RunError(f"a log range must begin above 0, but that of {name} begins at {low}")
    is_whole = all(WHOLE.fullmatch(end) is not None for end in (low, high))
    return Range(name, *ends, is_log, is_whole)


def _listed(name: str, text: str) -> tuple[str, ...]:
    values = tuple(value.strip() for value in _split(text))
    if not all(values):
        raise RunError(f"a value of {name} is empty in {text!r}; give values with commas between")
    for value in values:
        if values.count(value) > 1:
            raise RunError(f"{name} has the value {value} twice in {text!r}; give each once")
    return values


def _split(text: str) -> Iterator[str]:
    """Yields what stands between the commas that are in no brackets."""
    depth, begin = 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
