"""A table of networks as Markdown, CSV and HTML, with a plot."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rondo.measures.intervals import Share, wilson
from rondo.report import plots
from rondo.report.page import LIMITS, WARNING, page_of
from rondo.sweep.result import Result
from rondo.sweep.time_plot import Point, accuracy_over_time
from rondo.system.columns import markdown_table
from rondo.system.csv_text import plain_cell
from rondo.system.files import write_text
from rondo.tasks.photo.classes import SEXES, are_of_people
from rondo.tasks.photo.task import DRAWN, LECTURE_RESULTS
from rondo.training.config import RunConfig

NOTES = (
    "In brackets 95 % Wilson intervals over the photos of the split; of several seeds the mean "
    "stands before it, and the runs after it.",
    "Multiplications are those of convolutions and matrix products in one pass over one photo; "
    "flops are about twice as many.",
    "Photos/s is the median over the epochs, augmentation included; training is the time of all "
    "steps without evaluations. One photo is the median time of a "
    "prediction, photo in memory and network loaded.",
    "The lecture's figures are from other photos, other hardware (a Tesla K40s) and other numbers "
    "of epochs; it defines only its recurrent network and names the ResNets. FCNN, CNN and TL are "
    "definitions of Rondo's.",
)
"""What must be known to read the table."""

MISSING = "–"


@dataclass(frozen=True)
class Row:
    """A network of the table: the figures of its runs, or why there are none."""

    name: str
    results: tuple[Result, ...]
    reason: str = ""

    @property
    def accuracy(self) -> Share | None:
        """The mean accuracy over the runs, with its interval over the test photos."""
        return mean_share([result.accuracy for result in self.results])

    @property
    def cross_accuracy(self) -> Share | None:
        """The same over the photos of another source."""
        shares = [result.cross_accuracy for result in self.results]
        return mean_share([share for share in shares if share is not None])

    def mean(self, name: str) -> float | None:
        """The mean of a figure over the runs, None where there is no run."""
        values = [float(getattr(result, name)) for result in self.results]
        return statistics.mean(values) if values else None


@dataclass(frozen=True)
class Table:
    """The rows, the settings of one of the runs, and the number of photos in each split."""

    rows: tuple[Row, ...]
    config: RunConfig
    num_photos: dict[str, int]

    @property
    def budget(self) -> str:
        """What all networks had in common, as a sentence."""
        config, recipe = self.config, self.config.recipe
        noun = "drawings" if config.data == DRAWN else "photos"
        counts = ", ".join(f"{name} {count:,}" for name, count in self.num_photos.items())
        epochs = number(recipe.num_epochs or 0, "epoch")
        return (
            f"{epochs} on {noun} of {config.image_size} pixels ({counts}), "
            f"recipe {config.recipe_name} in batches of {recipe.batch_size}, {recipe.precision}, "
            f"{number(config.num_threads, 'thread')}."
        )


def number(count: int, noun: str) -> str:
    """Returns for example `1 epoch` or `2 epochs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def mean_share(shares: list[Share]) -> Share | None:
    """Returns the mean of shares of the same photos, with the interval that so many photos give."""
    if not shares:
        return None
    num_photos = shares[0].num_photos
    return wilson(statistics.mean(share.num_correct for share in shares), num_photos)


def write_table(table: Table, folder: Path) -> None:
    """Writes `table.md`, `table.csv`, `table.html` and `table.svg` into a folder."""
    svg = accuracy_over_time(table_points(table))
    texts = {
        "table.md": markdown(table),
        "table.csv": comma_separated(table),
        "table.html": page(table, svg),
        "table.svg": plots.standalone(svg),
    }
    for name, text in texts.items():
        write_text(folder / name, text)


# ---- for people ----


def markdown(table: Table) -> str:
    """Returns the table as Markdown, with what must be known to read it."""
    rows = markdown_table(tuple(COLUMNS), map(cells, table.rows))
    return "\n".join((table.budget, "", rows, "", *(f"- {note}" for note in NOTES))) + "\n"


def page(table: Table, svg: str) -> str:
    """Returns the table and the plot as an HTML page that needs no other file."""
    classes = table.config.classes or SEXES
    title = "Networks that name the class of a photo"
    if classes == SEXES:
        title = "Networks that predict a person's sex from a photo"
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    rows = "".join(_html_row(row) for row in table.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in NOTES)
    body = (
        f"<h1>{title}</h1><p class='note'>{escape(table.budget)}</p>"
        f"<div class='card'><table class='figures'><tr>{head}</tr>{rows}</table></div>"
        f"<ul class='note'>{notes}</ul>"
        f"<section><h2>Accuracy against training time</h2><div class='card'>{svg}</div></section>"
        f"{WARNING if are_of_people(classes) else LIMITS}"
    )
    return page_of(title, body)


def _html_row(row: Row) -> str:
    """Returns a row; the interval and the runs are lines of their own."""
    name, *others = (escape(cell) for cell in cells(row))
    broken = [cell.replace(" (", "<br>(").replace("; ", "<br>") for cell in others]
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in broken)}</tr>"


def cells(row: Row) -> list[str]:
    """Returns the texts of a row, one for each of `COLUMNS`."""
    return [text(row) for text in COLUMNS.values()]


def _accuracy_text(row: Row) -> str:
    share = row.accuracy
    return row.reason if share is None else _share_text(share, [r.accuracy for r in row.results])


def _cross_text(row: Row) -> str:
    share = row.cross_accuracy
    if share is None:
        return MISSING
    return _share_text(share, [r.cross_accuracy for r in row.results if r.cross_accuracy])


def _share_text(share: Share, of_runs: list[Share]) -> str:
    text = f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"
    if len(of_runs) < 2:
        return text
    return f"{text}; {', '.join(f'{100 * one.value:.1f}' for one in of_runs)}"


def _figure_text(name: str, form: str, unit: float = 1) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row.mean(name)
        return MISSING if value is None else format(value / unit, form)

    return text


def _lecture_text(name: str, form: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = LECTURE_RESULTS.get(row.name)
        return MISSING if found is None else format(getattr(found, name), form)

    return text


COLUMNS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: row.name,
    "test, %": _accuracy_text,
    "cross, %": _cross_text,
    "parameters": _figure_text("num_parameters", ",.0f"),
    "multiplications, million": _figure_text("num_multiplications", ",.1f", 1e6),
    "learning rate": _figure_text("learning_rate", "g"),
    "photos/s": _figure_text("photos_per_second", ",.0f"),
    "training, s": _figure_text("seconds", ",.0f"),
    "one photo, ms": _figure_text("prediction_ms", ".1f"),
    "lecture: accuracy, %": _lecture_text("accuracy", ".1f"),
    "lecture: training, s": _lecture_text("seconds", ",.0f"),
}
"""The columns that people read, and how a row fills them."""


# ---- for programs ----


def comma_separated(table: Table) -> str:
    """Returns the table as CSV, one line for each run, and one for each network without any."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        lines = [_csv_line(row, result) for result in row.results or (None,)]
        writer.writerows({name: plain_cell(cell) for name, cell in line.items()} for line in lines)
    return buffer.getvalue()


FIGURES = (
    *("num_parameters", "num_multiplications", "learning_rate"),
    *("photos_per_second", "seconds", "prediction_ms"),
)
CSV_COLUMNS = (
    *("network", "status", "seed"),
    *("accuracy", "accuracy_low", "accuracy_high", "num_test"),
    *("cross_accuracy", "cross_low", "cross_high", "num_cross"),
    *FIGURES,
    *("lecture_accuracy_percent", "lecture_seconds"),
)


def _csv_line(row: Row, result: Result | None) -> dict[str, Any]:
    line: dict[str, Any] = {"network": row.name, "status": row.reason or "run"}
    lecture = LECTURE_RESULTS.get(row.name)
    if lecture is not None:
        line |= {
            "lecture_accuracy_percent": lecture.accuracy,
            "lecture_seconds": lecture.seconds,
        }
    if result is None:
        return line
    line |= {"seed": result.seed, **{name: getattr(result, name) for name in FIGURES}}
    line |= _csv_share(result.accuracy, "accuracy", "accuracy", "test")
    if result.cross_accuracy is not None:
        line |= _csv_share(result.cross_accuracy, "cross_accuracy", "cross", "cross")
    return line


def _csv_share(share: Share, name: str, bounds: str, split: str) -> dict[str, float]:
    return {
        name: share.value,
        f"{bounds}_low": share.low,
        f"{bounds}_high": share.high,
        f"num_{split}": share.num_photos,
    }


# ---- the plot ----


def table_points(table: Table) -> dict[str, list[Point]]:
    """Returns the points of the plot, ours and the lecture's, by the title of their panel."""
    ours, lecture = [], []
    for row in table.rows:
        seconds, accuracy = row.mean("seconds"), row.accuracy
        if seconds is not None and accuracy is not None:
            shown = (100 * accuracy.value, 100 * accuracy.low, 100 * accuracy.high)
            ours.append(Point(row.name, seconds, *shown))
        if row.name in LECTURE_RESULTS:
            found = LECTURE_RESULTS[row.name]
            point = (found.seconds, found.accuracy, found.accuracy, found.accuracy)
            lecture.append(Point(row.name, *point))
    return {"here": ours, "in the lecture, on other photos": lecture}
