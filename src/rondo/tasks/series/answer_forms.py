"""What is answered for a series: a class, a number, or the steps that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rondo.training.answers import why_not


@dataclass(frozen=True)
class ClassAnswer:
    """The class of a series.

    Args:
        source: The file, and which series of it.
        series: The name of the series.
        num_steps: Its steps.
        answer: The likeliest class; None where it is not sure, or there is an error.
        probability: The probability of the likeliest class.
        probabilities: The probability of each class.
        label: What stands beside the series, if something does.
        error: Why there is no answer, or None.
    """

    source: str
    series: str | None = None
    num_steps: int = 0
    answer: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    label: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class NumberAnswer:
    """A number of a series; one answer for each target.

    Args:
        source: The file, and which series of it.
        series: The name of the series.
        num_steps: Its steps.
        target: What is predicted.
        value: The number.
        label: What stands beside the series, if something does.
        error: Why there is no answer, or None.
    """

    source: str
    series: str | None = None
    num_steps: int = 0
    target: str | None = None
    value: float | None = None
    label: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class ForecastAnswer:
    """One step of the forecast of one target of a series.

    Args:
        source: The file, and which series of it.
        series: The name of the series.
        step: The step after the last one that is known, from 1.
        time: Its time, where the file has times.
        target: What is predicted.
        value: The median.
        low: The lowest quantile.
        high: The highest quantile.
        quantiles: All of them, by their level.
        error: Why there is no answer, or None.
    """

    source: str
    series: str | None = None
    step: int | None = None
    time: str | None = None
    target: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    quantiles: dict[str, float] | None = None
    error: str | None = None


Answer = ClassAnswer | NumberAnswer | ForecastAnswer
"""What there is for one series, or one step of one."""

FORMS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "classify": (
        ClassAnswer,
        ("source", "answer", "probability", "probabilities", "num_steps", "label", "error"),
    ),
    "regress": (NumberAnswer, ("source", "target", "value", "num_steps", "label", "error")),
    "forecast": (
        ForecastAnswer,
        ("source", "time", "step", "target", "value", "low", "high", "quantiles", "error"),
    ),
}
"""The kind of answer of each kind of run, and what a table shows of it."""

HEADS = {
    "classify": f"{'answer':14} {'probability':>11}  series",
    "regress": f"{'answer':>14}  target and series",
    "forecast": f"{'forecast':>12} {'low':>12} {'high':>12}  target, time and series",
}
"""The line above the answers, by what a run does."""


def line_of(answer: Answer) -> str:
    """Returns an answer, or why there is none, in a line."""
    if answer.error:
        return f"unread: {why_not(answer.source, answer.error)}"
    if isinstance(answer, ClassAnswer):
        label = f" ({answer.label})" if answer.label else ""
        sure = f"{100 * (answer.probability or 0):.1f} %"
        return f"{answer.answer or 'not sure':14} {sure:>11}  {answer.source}{label}"
    if isinstance(answer, NumberAnswer):
        label = "" if answer.label is None else f" ({answer.label:.6g})"
        return f"{answer.value:14.6g}  {answer.target}, {answer.source}{label}"
    numbers = " ".join(f"{value:12.6g}" for value in (answer.value, answer.low, answer.high))
    when = answer.time or f"step {answer.step}"
    return f"{numbers}  {answer.target}, {when}, {answer.source}"
