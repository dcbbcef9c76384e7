"""Results on photos as text, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rondo.measures.abstention import Answered
from rondo.measures.calibration import Calibration, Temperature
from rondo.measures.corruptions import MEANINGS
from rondo.measures.intervals import Share, percent
from rondo.system.columns import columns
from rondo.tasks.photo.evaluation import Evaluation
from rondo.tasks.photo.report.classes import (
    MISTAKES,
    MOST_SHOWN,
    SCORES,
    macro_row,
    mistake_rows,
    shown_rows,
)
from rondo.tasks.photo.robustness import Trial

CALIBRATION: dict[str, Callable[[Calibration], str]] = {
    "calibration error, points": lambda item: f"{100 * item.error:.1f}",
    "with bins of equal mass": lambda item: f"{100 * item.error_equal_mass:.1f}",
    "neg. log likelihood, nats": lambda item: f"{item.loss:.3f}",
    "Brier score, 0 to 1": lambda item: f"{item.brier:.4f}",
}
"""The figures of calibration, and how they are written."""

MOST_IN_TABLE = 8
"""Of so many classes the whole confusion is a table; of more, the pairs confused most often."""

ROBUSTNESS = ("corruption", "accuracy (95 % interval)", "mean confidence")
"""The columns of `robustness_rows`."""


def accuracy_table(evaluations: dict[str, Evaluation]) -> str:
    """Returns the accuracy of every split beside its majority-class rate."""
    lines = [f"{'split':8} {'photos':>7} {'accuracy':>9}  {'95 % interval':15} {'majority':>9}"]
    for name, item in evaluations.items():
        guesses = "" if item.top_5 is None else f"   {100 * item.top_5.value:7.1f} %"
        f1 = "" if len(item.scores) == 2 else f"   {100 * item.macro.f1:6.1f}"
        majority = f"{100 * item.majority_rate:7.1f} %"
        lines.append(f"{name:8} {_share(item.accuracy)} {majority}{guesses}{f1}")
    first = next(iter(evaluations.values()), None)
    lines[0] += "" if first is None or first.top_5 is None else f"   {'of five':>9}"
    lines[0] += "" if first is None or len(first.scores) == 2 else f"   {'mean F1':>6}"
    lines.append("majority: what always saying the most frequent label would get")
    if first is not None and first.top_5 is not None:
        lines.append("of five: how often the label is among the five likeliest classes")
    return "\n".join(lines)


def calibration_rows(evaluations: dict[str, Evaluation]) -> list[list[str]]:
    """Returns figures of calibration, without and with the temperature, a row for each split."""
    return [
        [name, *(_change(item, text) for text in CALIBRATION.values())]
        for name, item in evaluations.items()
    ]


def calibration_table(evaluations: dict[str, Evaluation], temperature: Temperature) -> str:
    """Returns how far the probabilities of every split can be believed."""
    lines = [f"{temperature}; without -> with it:"]
    lines += columns(["split", *CALIBRATION], calibration_rows(evaluations))
    return "\n".join(lines)


def answered_table(found: dict[str, Answered]) -> str:
    """Returns how many photos of every split get an answer, and how many answers are right."""
    threshold = next(iter(found.values())).min_confidence
    lines = [f"answers of a confidence of {threshold:g} or more, the others are not sure:"]
    rows = [
        [name, str(item.coverage.num_photos), percent(item.coverage), percent(item.accuracy)]
        for name, item in found.items()
    ]
    lines += columns(["split", "photos", "answered (95 % interval)", "of these right"], rows)
    return "\n".join(lines)


def robustness_rows(trials: Iterable[Trial]) -> list[list[str]]:
    """Returns accuracy and mean confidence under each corruption."""
    return [[one.name, percent(one.accuracy), f"{100 * one.confidence:.1f} %"] for one in trials]


def robustness_table(name: str, trials: Sequence[Trial]) -> str:
    """Returns the accuracy on bad photos of a split."""
    head = [f"{name}, {trials[0].accuracy.num_photos} photos", *ROBUSTNESS[1:]]
    return "\n".join([*columns(head, robustness_rows(trials)), *MEANINGS])


def detail_table(evaluation: Evaluation) -> str:
    """Returns what was taken for what, and figures by class, source, age and group."""
    classes = [score.name for score in evaluation.scores]
    lines = []
    if len(classes) <= MOST_IN_TABLE:
        rows = zip(classes, evaluation.confusion, strict=True)
        head = ["labelled", *(f"taken for {name}" for name in classes)]
        lines += [*columns(head, [[name, *map(str, counts)] for name, counts in rows]), ""]
    elif evaluation.mistakes:
        lines += [*columns(MISTAKES, mistake_rows(evaluation.mistakes)), ""]
    lines += columns(SCORES, [*shown_rows(evaluation), macro_row(evaluation.macro)])
    if len(classes) > MOST_SHOWN:
        lines.append("of many classes those with the smallest F1 are shown; --json gives all")
    for title, shares in evaluation.parts().items():
        if shares and (title != "label" or len(shares) <= MOST_SHOWN):
            width = max(8, *(len(key) for key in shares))
            lines += ["", f"{title:{width}} {'photos':>7} {'accuracy':>9}  95 % interval"]
            lines += [f"{key:{width}} {_share(share)}" for key, share in shares.items()]
    return "\n".join(lines)


def _change(item: Evaluation, text: Callable[[Calibration], str]) -> str:
    """Returns a figure without and with the temperature, once where there is none."""
    if item.temperature == 1:
        return text(item.calibration)
    return f"{text(item.before)} -> {text(item.calibration)}"


def _share(share: Share) -> str:
    interval = f"{100 * share.low:.1f} to {100 * share.high:.1f}"
    return f"{share.num_photos:7} {100 * share.value:7.1f} %  {interval:15}"
