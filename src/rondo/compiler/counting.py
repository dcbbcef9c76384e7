"""The number of rows, as a step sees it that asks for a shape while it is recorded.

A number that behaves like the whole number that it is, and notes what is asked of it: a comparison
decides what the step does, so the recording is right only for numbers of rows that give the same
answer. Sums and products of it are such numbers too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rondo.compiler.lines import line_of_user

OfRows = Callable[[int], Any]


@dataclass(frozen=True)
class Guard:
    """What a recording took for granted about the number of rows.

    Args:
        question: What was asked, of a number of rows.
        answer: The answer for which the recording is right.
        text: The question in words.
        line: Where it was asked.
    """

    question: OfRows
    answer: Any
    text: str
    line: str | None = None

    def holds(self, num_rows: int) -> bool:
        """Whether the recording is right for a number of rows."""
        return bool(self.question(num_rows) == self.answer)


@dataclass
class Questions:
    """What was asked about the number of rows, in order.

    Args:
        asked: Comparisons.
        any_number: Whether the step got a number that follows the rows at all. What it does with
            it may escape: `int()`, a key of a dict, a text.
    """

    asked: list[Guard] = field(default_factory=list)
    any_number: bool = False

    def ask(self, question: OfRows, answer: Any, text: str) -> Any:
        """Note a question; returns its answer."""
        self.asked.append(Guard(question, answer, text, line_of_user()))
        return answer


class RowCount(int):
    """A whole number that follows the number of rows."""

    of_rows: OfRows
    questions: Questions

    def __new__(cls, value: int, of_rows: OfRows, questions: Questions) -> RowCount:
        """A number, how it follows the number of rows, and where questions are noted."""
        number = super().__new__(cls, value)
        number.of_rows, number.questions = of_rows, questions
        return number

    def __hash__(self) -> int:
        return hash(int(self))

    def __bool__(self) -> bool:
        answer = int(self) != 0
        return bool(self.questions.ask(lambda rows: self.of_rows(rows) != 0, answer, "!= 0"))

    def _with(self, other: Any, function: Callable[[Any, Any], Any]) -> Any:
        """What a function gives of this and another number, and how it follows the rows."""
        of_other = other.of_rows if isinstance(other, RowCount) else lambda _: other
        plain = int(other) if isinstance(other, RowCount) else other
        return function(int(self), plain), lambda rows: function(self.of_rows(rows), of_other(rows))


def _compared(symbol: str, function: Callable[[Any, Any], Any]) -> Any:
    def method(self: RowCount, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        answer, question = self._with(other, function)
        if isinstance(other, RowCount) and question(2) == question(3) == question(4) == answer:
            return answer  # two numbers that follow the rows alike
        return self.questions.ask(question, answer, f"{symbol} {other}")

    return method


def _computed(function: Callable[[Any, Any], Any]) -> Any:
    def method(self: RowCount, other: Any) -> Any:
        if not isinstance(other, int):
            return function(int(self), other)
        value, of_rows = self._with(other, function)
        return RowCount(value, of_rows, self.questions) if isinstance(value, int) else value

    return method


def _swapped(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: function(b, a)


for _name, _symbol in (
    *(("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")),
):
    setattr(RowCount, f"__{_name}__", _compared(_symbol, getattr(operator, _name)))
for _name in ("add", "sub", "mul", "floordiv", "mod"):
    _function = getattr(operator, _name)
    setattr(RowCount, f"__{_name}__", _computed(_function))
    setattr(RowCount, f"__r{_name}__", _computed(_swapped(_function)))
