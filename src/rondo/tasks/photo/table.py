"""The lecture's table of networks, from a sweep over `model`: ours beside what the lecture says.

In go run folders of trained networks, out come `table.md`, `table.html` and `table.svg`. Of each
network the setting that was best on val counts. Here networks are compared, not chosen, so the test
of each is shown.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from rondo.cells.named import num_parameters
from rondo.measures.intervals import Share, wilson
from rondo.models import count_multiplications
from rondo.report import plots
from rondo.report.page import html_table, page_of
from rondo.system.columns import markdown_table
from rondo.system.files import write_text
from rondo.tasks.photo.classes import SEXES, are_of_people
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.networks import LECTURE_RESULTS, MODELS
from rondo.tasks.photo.report.uses import LIMITS, WARNING
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import DRAWN, load_data
from rondo.tasks.photo.time_plot import Point, accuracy_over_time
from rondo.tasks.registry import folder_of
from rondo.training.config import RunConfig

TITLE = "Networks that predict a person's sex from a photo"
TITLE_OF_CLASSES = "Networks that name the class of a photo"

NOTES = (
    "In brackets 95 % Wilson intervals over the photos of the split; of several seeds the mean "
    "stands before it, and the runs after it. Of each network the setting that was best on val "
    "counts.",
    "Multiplications are those of convolutions and matrix products in one pass over one photo; "
    "flops are about twice as many.",
    "Photos/s is the median over the epochs, augmentation included; training is the time of all "
    "steps without evaluations.",
    "The lecture's figures are from other photos, other hardware (a Tesla K40s) and other numbers "
    "of epochs; it defines only its recurrent network and names the ResNets. FCNN, CNN and TL are "
    "definitions of Rondo's.",
)
"""What must be known to read the table."""

MISSING = "–"


@dataclass(frozen=True)
class Run:
    """The figures of a trained network.

    Args:
        test: Accuracy on the test photos.
        cross: Accuracy on the photos of another source, None where there are none.
        num_parameters: Parameters of the network, frozen ones too.
        num_multiplications: Multiplications of one pass over one photo.
        learning_rate: The highest learning rate.
        photos_per_second: Speed of training: the median over the epochs.
        seconds: Time of all training steps, in seconds.
    """

    test: Share
    cross: Share | None
    num_parameters: int
    num_multiplications: int
    learning_rate: float
    photos_per_second: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A network of the table with its runs, one for each seed."""

    name: str
    runs: tuple[Run, ...]

    def mean(self, name: str) -> float:
        """The mean of a figure over the runs."""
        return statistics.mean(float(getattr(run, name)) for run in self.runs)

    @property
    def test(self) -> Share:
        """The mean accuracy on test."""
        return mean_share([run.test for run in self.runs])


def write(settings: Sequence[Mapping[str, str]], runs: Sequence[Sequence[Path]], to: Path) -> None:
    """Writes the table of the networks that a sweep has trained; nothing if it is over no networks.

    Args:
        settings: The settings, the best on val first.
        runs: The run folders of each.
        to: The folder of the sweep.
    """
    best = best_runs(settings, runs)
    if best:
        rows = [Row(name, tuple(map(measure, paths))) for name, paths in best.items()]
        folder = folder_of(next(iter(best.values()))[0])
        budget = budget_of(folder.read_config())
        classes = tuple(folder.read_model_and_origin()[1]["classes"])
        svg = accuracy_over_time(points_of(rows))
        write_text(to / "table.md", markdown(rows, budget))
        write_text(to / "table.svg", plots.standalone(svg))
        write_text(to / "table.html", page(rows, budget, svg, classes))


def best_runs(
    settings: Sequence[Mapping[str, str]], runs: Sequence[Sequence[Path]]
) -> dict[str, Sequence[Path]]:
    """Returns the runs of the best setting of each network, in the order of `MODELS`.

    Example:
        >>> from rondo.tasks.photo.table import best_runs
        >>> best_runs([{"model": "cnn_2"}, {"model": "cnn_1"}, {"model": "cnn_2"}], ["a", "b", "c"])
        {'cnn_1': 'b', 'cnn_2': 'a'}
    """
    best: dict[str, Sequence[Path]] = {}
    for setting, paths in zip(settings, runs, strict=True):
        if "model" in setting:
            best.setdefault(setting["model"], paths)
    return {name: best[name] for name in MODELS if name in best}


def measure(path: Path) -> Run:
    """Returns the figures of a trained network from its run folder."""
    folder = folder_of(path)
    config, model, records = folder.read_config(), folder.read_model(), folder.read_metrics()
    train = [record for record in records if record["split"] == "train"]
    test = next(record for record in records if record["split"] == "test")
    options, recipe = config.options, config.recipe
    photos = _photos(options.data, options.image_size, options.layout, options.split_seed,
                     options.num_drawn)  # fmt: skip
    cross = photos.get("cross")
    if cross is not None:
        predicted = predict(model, cross.pixels, mirror=recipe.mirror, precision=recipe.precision)
        num_correct = int((predicted.argmax(1) == cross.labels).sum())
    return Run(
        test=wilson(round(test["right"] * test["num_examples"]), test["num_examples"]),
        cross=None if cross is None else wilson(num_correct, len(cross)),
        num_parameters=num_parameters(model),
        num_multiplications=count_multiplications(model, photos["test"].rows([0])[0].float()),
        learning_rate=recipe.learning_rate,
        photos_per_second=statistics.median(record["per_second"] for record in train),
        seconds=train[-1]["seconds"],
    )


@cache
def _photos(
    data: str, image_size: int, layout: str | None, split_seed: int, num_drawn: int
) -> Mapping[str, Photos]:
    """The photos of every split; all runs of a sweep share them."""
    return load_data(data, image_size, layout=layout, seed=split_seed, num_drawn=num_drawn)


def budget_of(config: RunConfig) -> str:
    """Returns what the networks had in common, as a sentence."""
    recipe, noun = config.recipe, "drawings" if config.options.data == DRAWN else "photos"
    epochs = f"{recipe.num_epochs} epoch{'' if recipe.num_epochs == 1 else 's'}"
    threads = f"{config.num_threads} thread{'' if config.num_threads == 1 else 's'}"
    return (
        f"{epochs} on {noun} of {config.options.image_size} pixels, recipe "
        f"{config.recipe_name or 'of the data'} in batches of {recipe.batch_size}, "
        f"{recipe.precision}, {threads}."
    )


def mean_share(shares: Sequence[Share]) -> Share:
    """Returns the mean of shares of the same photos, with the interval that so many photos give."""
    return wilson(statistics.mean(share.num_correct for share in shares), shares[0].num_photos)


def markdown(rows: Sequence[Row], budget: str) -> str:
    """Returns the table as Markdown, with what must be known to read it."""
    table = markdown_table(tuple(COLUMNS), map(_cells, rows))
    return "\n".join((budget, "", table, "", *(f"- {note}" for note in NOTES))) + "\n"


def page(rows: Sequence[Row], budget: str, svg: str, classes: tuple[str, ...] = SEXES) -> str:
    """Returns the table and the plot as an HTML page that needs no other file."""
    title = TITLE if classes == SEXES else TITLE_OF_CLASSES
    notes = "".join(f"<li>{escape(note)}</li>" for note in NOTES)
    body = (
        f"<h1>{title}</h1><p class='note'>{escape(budget)}</p>"
        f"<div class='card'>{html_table(tuple(COLUMNS), map(_cells, rows))}</div>"
        f"<ul class='note'>{notes}</ul>"
        f"<section><h2>Accuracy against training time</h2><div class='card'>{svg}</div></section>"
        f"{WARNING if are_of_people(classes) else LIMITS}"
    )
    return page_of(title, body)


def _cells(row: Row) -> list[str]:
    return [text(row) for text in COLUMNS.values()]


def _share_text(shares: Sequence[Share]) -> str:
    share = mean_share(shares)
    text = f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"
    if len(shares) < 2:
        return text
    return f"{text}; {', '.join(f'{100 * one.value:.1f}' for one in shares)}"


def _cross_text(row: Row) -> str:
    shares = [run.cross for run in row.runs if run.cross is not None]
    return _share_text(shares) if shares else MISSING


def _figure(name: str, form: str, unit: float = 1) -> Callable[[Row], str]:
    return lambda row: format(row.mean(name) / unit, form)


def _lecture(name: str, form: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        found = LECTURE_RESULTS.get(row.name)
        return MISSING if found is None else format(getattr(found, name), form)

    return text


COLUMNS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: row.name,
    "test, %": lambda row: _share_text([run.test for run in row.runs]),
    "cross, %": _cross_text,
    "parameters": _figure("num_parameters", ",.0f"),
    "multiplications, million": _figure("num_multiplications", ",.1f", 1e6),
    "learning rate": _figure("learning_rate", "g"),
    "photos/s": _figure("photos_per_second", ",.0f"),
    "training, s": _figure("seconds", ",.0f"),
    "lecture: accuracy, %": _lecture("accuracy", ".1f"),
    "lecture: training, s": _lecture("seconds", ",.0f"),
}
"""The columns, and how a row fills them."""


def points_of(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Returns the points of the plot, ours and the lecture's, by the title of their panel."""
    ours, lecture = [], []
    for row in rows:
        share = row.test
        shown = (100 * share.value, 100 * share.low, 100 * share.high)
        ours.append(Point(row.name, row.mean("seconds"), *shown))
        if row.name in LECTURE_RESULTS:
            found = LECTURE_RESULTS[row.name]
            lecture.append(Point(row.name, found.seconds, *[found.accuracy] * 3))
    return {"here": ours, "in the lecture, on other photos": lecture}
