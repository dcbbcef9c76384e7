"""The parts of a report that tell the classes apart: what was taken for what, figures of each.

In go evaluations, out comes HTML. To 30 classes the whole confusion is shown as a map of colours;
of more, the pairs that are confused most often and the classes with the smallest F1.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rondo.measures.classes import ClassScore, MacroAverage, Mistake
from rondo.report.page import cards, html_table
from rondo.tasks.photo.evaluation import Evaluation
from rondo.tasks.photo.report.input import ReportInput

MOST_SHOWN = 30
"""Of so many classes each is shown by itself; of more, those that are told apart worst."""

NUM_WORST = 20
"""Classes that are shown of more."""

SCORES = ("class", "photos", "precision", "recall", "F1")
"""The columns of `shown_rows`."""

MISTAKES = ("labelled", "taken for", "times", "of that label")
"""The columns of `mistake_rows`."""


def confusions(report: ReportInput) -> str:
    """Returns what was taken for what."""
    contents = []
    for name, item in report.unseen.items():
        title = f"<h3>{escape(name)}</h3>"
        if len(report.classes) == 2:
            contents.append(title + _confusion(report.classes, item))
            continue
        if len(report.classes) <= MOST_SHOWN:
            contents.append(title + _confusion_map(report.classes, item))
        if item.mistakes:
            table = html_table(MISTAKES, mistake_rows(item.mistakes))
            contents.append(f"<h3>{escape(name)}, confused most often</h3>{table}")
        elif len(report.classes) > MOST_SHOWN:
            contents.append(f"{title}<p>Nothing for anything else: every answer is right.</p>")
    return cards("What was taken for what", *contents, wide=2 < len(report.classes) <= MOST_SHOWN)


def scores(report: ReportInput) -> str:
    """Returns precision, recall and F1 of each class, and their means."""
    contents = [
        f"<h3>{escape(name)}</h3>{html_table(SCORES, [*shown_rows(item), macro_row(item.macro)])}"
        for name, item in report.unseen.items()
    ]
    few = (
        f"Of {len(report.classes)} classes the {NUM_WORST} with the smallest F1 are shown; "
        "<code>rondo evaluate --json</code> gives all. "
        if len(report.classes) > MOST_SHOWN
        else ""
    )
    return cards(
        "Class by class",
        *contents,
        note=f"{few}Precision is the share of the answers of a class that are right, recall the "
        "share of its photos that are found, and F1 their harmonic mean, in %. In the mean every "
        "class weighs the same, however many photos it has.",
    )


def shown_rows(item: Evaluation) -> list[list[str]]:
    """Returns the texts of a row for each class; of many for those with the smallest F1."""
    found: Sequence[ClassScore] = item.scores
    if len(found) > MOST_SHOWN:
        seen = [score for score in found if score.support]
        found = sorted(seen, key=lambda score: (score.f1, score.name))[:NUM_WORST]
    return [
        [one.name, str(one.support), *map(_percent, (one.precision, one.recall, one.f1))]
        for one in found
    ]


def macro_row(macro: MacroAverage) -> list[str]:
    """Returns the texts of the row of the means over the classes."""
    return [
        "mean over the classes",
        "",
        *map(_percent, (macro.precision, macro.recall, macro.f1)),
    ]


def mistake_rows(mistakes: Sequence[Mistake]) -> list[list[str]]:
    """Returns the texts of a row for each pair of classes."""
    return [
        [one.label, one.answer, str(one.num_times), f"{100 * one.share:.1f} %"] for one in mistakes
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value == value else "-"  # not a number where nothing counts


def _confusion(classes: Sequence[str], item: Evaluation) -> str:
    rows = []
    for name, counts in zip(classes, item.confusion, strict=True):
        total = max(1, sum(counts))
        cells = "".join(
            f"<td style='--share:{100 * count / total:.0f}%'>{count}"
            f"<small>{100 * count / total:.1f} %</small></td>"
            for count in counts
        )
        rows.append(f"<tr><th>labelled {escape(name)}</th>{cells}</tr>")
    head = "".join(f"<th>taken for {escape(name)}</th>" for name in classes)
    return f"<table class='confusion'><tr><td></td>{head}</tr>{''.join(rows)}</table>"


def _confusion_map(classes: Sequence[str], item: Evaluation) -> str:
    """Returns a map with a small square for each pair of classes, as strong as its share."""
    rows = []
    for name, counts in zip(classes, item.confusion, strict=True):
        total = max(1, sum(counts))
        cells = "".join(
            f"<td style='--share:{100 * count / total:.0f}%' title='{escape(name)} taken for "
            f"{escape(answer)}: {count} of {total}'>{count or ''}</td>"
            for answer, count in zip(classes, counts, strict=True)
        )
        rows.append(f"<tr><th title='{escape(name)}'>{escape(name)}</th>{cells}</tr>")
    head = "".join(
        f"<th title='{escape(name)}'><span>{escape(name)}</span></th>" for name in classes
    )
    return (
        "<p class='note'>Rows are labels, columns are answers; the stronger the colour, the larger "
        "the share of the row. On the diagonal is what is right.</p>"
        f"<table class='map' style='--cell:{_cell_size(len(classes))}rem'><tr><td></td>{head}</tr>"
        f"{''.join(rows)}</table>"
    )


def _cell_size(num_classes: int) -> float:
    """The side of the squares of a map, so that it fits the page."""
    return 3.0 if num_classes <= 10 else 1.75
