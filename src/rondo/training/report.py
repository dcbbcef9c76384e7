"""The report of a run: one HTML page that needs no network and no other file.

Of photos of people the page holds numbers and one mean over many photos, never a photo, a face or
a map of a single photo. Of drawings, which show nobody, it holds examples.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

from torch import Tensor, nn

from rondo.tasks.photo import DRAWN, SEXES, PhotoSet
from rondo.training import plots
from rondo.training.config import RunConfig
from rondo.training.evaluation import Evaluation, Share
from rondo.training.report_page import PAGE, WARNING
from rondo.training.saliency import evidence, has_evidence, mean_saliency, saliency

NUM_EXAMPLES = 8
"""Drawings shown with what the network looked at, and as many doubtful ones."""


@dataclass(frozen=True)
class ReportInput:
    """What a report is made of.

    Args:
        config: The settings of the run.
        records: The records of `metrics.jsonl`.
        data: The photos of every split.
        probabilities: The predictions on every split but "train".
        evaluations: What these are worth.
        model: The network that predicts.
    """

    config: RunConfig
    records: list[dict[str, Any]]
    data: dict[str, PhotoSet]
    probabilities: dict[str, Tensor]
    evaluations: dict[str, Evaluation]
    model: nn.Module

    @property
    def is_drawn(self) -> bool:
        """Whether the pictures show nobody, so that the page may show them."""
        return self.config.data == DRAWN

    @property
    def noun(self) -> str:
        """What the pictures are."""
        return "drawings" if self.is_drawn else "photos"


def render_report(report: ReportInput) -> str:
    """Returns the page."""
    sections = (
        _headline(report),
        _curves(report),
        _confusions(report),
        _groups(report),
        _reliability(report),
        _examples(report) if report.is_drawn else "",
        _mean_saliency(report),
        WARNING,
        _data(report),
        _settings(report),
    )
    return PAGE.replace("{title}", _title(report)).replace("{body}", "\n".join(sections))


def _title(report: ReportInput) -> str:
    return f"Predicting a person's sex from {report.noun}"


def _headline(report: ReportInput) -> str:
    shown = {name: item for name, item in report.evaluations.items() if name != "val"}
    tiles = "".join(_tile(name, item, report.noun) for name, item in shown.items())
    note = (
        "<p class='note'>The pictures are drawings of nobody, made by the program: the two classes "
        "are a convention of the drawing. The figures say that the training works, and nothing "
        "about people.</p>"
        if report.is_drawn
        else ""
    )
    return f"<h1>{_title(report)}</h1>{note}<div class='row'>{tiles}</div>"


def _tile(name: str, evaluation: Evaluation, noun: str) -> str:
    share, majority = evaluation.accuracy, 100 * evaluation.majority_rate
    value = 100 * share.value
    return f"""<div class="card tile"><h2>{escape(name)}</h2>
<p class="big">{value:.1f}<small> %</small></p>
<p>of {share.num_photos} {noun} right; 95 % interval {_interval(share)}</p>
<div class="meter"><i style="width:{value:.1f}%"></i><b style="left:{majority:.1f}%"></b></div>
<p class="note">The mark is the majority class: always saying the more frequent label is right for
{majority:.1f} %.</p></div>"""


def _curves(report: ReportInput) -> str:
    if not report.records:
        return ""
    return _cards(
        "How it learned",
        plots.curves(report.records, "accuracy", "accuracy in %"),
        plots.curves(report.records, "loss", "loss in nats"),
        note="Dotted: the majority class of each split. Training figures are taken while the "
        "weights change and the pictures are altered at random, so they may lie below the others. "
        "Where the recipe begins with smaller pictures, the first epochs are measured on such.",
    )


def _confusions(report: ReportInput) -> str:
    tables = [_confusion(name, item) for name, item in report.evaluations.items() if name != "val"]
    return _cards("What was taken for what", *tables)


def _confusion(name: str, evaluation: Evaluation) -> str:
    rows = []
    for sex, counts in zip(SEXES, evaluation.confusion, strict=True):
        total = max(1, sum(counts))
        cells = "".join(
            f"<td style='--share:{100 * count / total:.0f}%'>{count}"
            f"<small>{100 * count / total:.1f} %</small></td>"
            for count in counts
        )
        rows.append(f"<tr><th>labelled {sex}</th>{cells}</tr>")
    head = "".join(f"<th>taken for {sex}</th>" for sex in SEXES)
    return (
        f"<h3>{escape(name)}</h3><table class='confusion'>"
        f"<tr><td></td>{head}</tr>{''.join(rows)}</table>"
    )


def _groups(report: ReportInput) -> str:
    cards = []
    for name, item in report.evaluations.items():
        if name == "val":
            continue
        for title, shares in (
            ("source", item.by_source), ("age", item.by_age), ("group", item.by_group),
        ):  # fmt: skip
            if len(shares) > 1:
                figure = plots.accuracy_bars(shares, item.majority_rate, f"{title} on {name}")
                cards.append(f"<h3>{escape(name)}, by {title}</h3>{figure}")
    if not cards:
        return ""
    return _cards(
        "For whom it works better and worse",
        *cards,
        note="Dots are accuracies, bars their 95 % intervals. Age, source and group are what the "
        "labels of the data say. Few photos make wide bars.",
    )


def _reliability(report: ReportInput) -> str:
    cards = [
        f"<h3>{escape(name)}</h3>{plots.reliability_plot(item.bins, SEXES[1])}"
        f"<p class='note'>Expected calibration error {100 * item.calibration_error:.1f} points, "
        f"negative log likelihood {item.loss:.3f} nats.</p>"
        for name, item in report.evaluations.items()
        if name != "val"
    ]
    return _cards(
        "Whether its probabilities can be believed",
        *cards,
        note="On the dotted line a probability of 80 % is right eight times in ten. Larger dots "
        "stand for more pictures.",
    )


def _examples(report: ReportInput) -> str:
    """Returns drawings with what the network looked at; the most doubtful ones come second."""
    test, probabilities = report.data["test"], report.probabilities["test"]
    doubt = (probabilities[:, 1] - 0.5).abs().argsort()[:NUM_EXAMPLES]
    stride = max(1, len(test.labels) // NUM_EXAMPLES)
    some = range(0, len(test.labels), stride)[:NUM_EXAMPLES]
    legend = (
        "Under each drawing: where small changes of the picture would move the answer most "
        "(bright), and which class each place speaks for"
        f" (purple: {SEXES[0]}, orange: {SEXES[1]})."
        if has_evidence(report.model)
        else "Under each drawing: where small changes of the picture would move the answer most "
        "(bright). Which class each place speaks for cannot be shown: the answer of this network "
        "is not a mean over places."
    )
    return (
        _gallery(report, "Where it looked", list(some), legend)
        + _gallery(
            report,
            "The most doubtful drawings",
            doubt.tolist(),
            "Test drawings whose probability is closest to one half.",
        )
    )  # fmt: skip


def _gallery(report: ReportInput, title: str, rows: list[int], note: str) -> str:
    test = report.data["test"]
    pixels = test.pixels[rows]
    looked = saliency(report.model, pixels)
    spoken = evidence(report.model, pixels)
    limit = 1.0 if spoken is None else float(spoken.abs().quantile(0.98))
    figures = []
    for index, row in enumerate(rows):
        pictures = [
            plots.photo_png(pixels[index]),
            plots.heat_over_photo_png(pixels[index], looked[index]),
        ]
        if spoken is not None:
            pictures.append(plots.evidence_over_photo_png(pixels[index], spoken[index], limit))
        images = "".join(f"<img src='{picture}' alt=''>" for picture in pictures)
        figures.append(f"<figure>{images}{_caption(report, row)}</figure>")
    return (
        f"<section><h2>{title}</h2><p class='note'>{note}</p>"
        f"<div class='gallery'>{''.join(figures)}</div></section>"
    )


def _caption(report: ReportInput, row: int) -> str:
    label = int(report.data["test"].labels[row])
    row_probabilities = report.probabilities["test"][row]
    answer = int(row_probabilities.argmax())
    mark = "right" if answer == label else "wrong"
    return (
        f"<figcaption class='{mark}'>{SEXES[answer]} {100 * float(row_probabilities[answer]):.0f} %"
        f"<br><small>{mark}; labelled {SEXES[label]}</small></figcaption>"
    )


def _mean_saliency(report: ReportInput) -> str:
    pixels = report.data["test"].pixels
    picture = plots.heat_png(mean_saliency(report.model, pixels))
    return _cards(
        f"Where it looked, over many test {report.noun}",
        f"<img class='heat' src='{picture}' alt='mean saliency'>",
        note="The mean over up to 256 test pictures of how strongly each place moves the answer: "
        "bright places count most. No single picture can be told from it.",
    )


def _data(report: ReportInput) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{len(photos.labels)}</td>"
        f"<td>{int((photos.labels == 0).sum())}</td><td>{int((photos.labels == 1).sum())}</td></tr>"
        for name, photos in report.data.items()
    )
    table = (
        f"<table><tr><th>split</th><th>{report.noun}</th><th>{SEXES[0]}</th><th>{SEXES[1]}</th>"
        f"</tr>{rows}</table>"
    )
    return _cards("The data", table, f"<h3>Left out</h3>{_skipped(report)}")


def _skipped(report: ReportInput) -> str:
    """Returns how many files were left out, by reason."""
    skipped = {
        (item.path, item.reason) for photos in report.data.values() for item in photos.skipped
    }
    if not skipped:
        return "<p>Nothing: every picture that the labels name was used.</p>"
    counts = Counter(reason for _, reason in skipped).most_common()
    rows = "".join(f"<tr><th>{escape(reason)}</th><td>{n}</td></tr>" for reason, n in counts)
    return f"<table><tr><th>reason</th><th>files</th></tr>{rows}</table>"


def _settings(report: ReportInput) -> str:
    config, recipe = report.config, report.config.recipe
    train = [record for record in report.records if record["split"] == "train"]
    speed = f"{train[-1]['photos_per_second']:.0f} photos a second" if train else "unknown"
    arguments = ", ".join(f"{name}={value!r}" for name, value in config.model_arguments.items())
    rows = {
        "model": f"{config.model}({arguments})",
        "recipe": f"{config.recipe_name}: {recipe.num_epochs} epochs, batches of "
        f"{recipe.batch_size}, {recipe.schedule} rate {recipe.learning_rate:g}, {recipe.precision}",
        "seed": str(config.seed),
        "training speed": f"{speed}, {config.num_threads} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
    }
    table = "".join(
        f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return _cards("How it was made", f"<table class='settings'>{table}</table>")


def _cards(title: str, *cards: str, note: str = "") -> str:
    boxes = "".join(f"<div class='card'>{card}</div>" for card in cards)
    text = f"<p class='note'>{note}</p>" if note else ""
    return f"<section><h2>{title}</h2>{text}<div class='row'>{boxes}</div></section>"


def _interval(share: Share) -> str:
    return f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
