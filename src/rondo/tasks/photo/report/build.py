"""The report of a run: one HTML page that needs no network and no other file.

Of photos of people the page holds numbers and one mean over many photos, never a photo, a face or
a map of a single photo. Of drawings, which show nobody, and of photos of other classes it holds
examples.
"""

from __future__ import annotations

from html import escape

from rondo.measures.intervals import Share
from rondo.report import plots
from rondo.report.page import cards, html_table, page_of
from rondo.tasks.photo.evaluation import Evaluation
from rondo.tasks.photo.report.classes import MOST_SHOWN, confusions, scores
from rondo.tasks.photo.report.input import ReportInput
from rondo.tasks.photo.report.looks import examples, what_sweeps_saw, where_it_looked
from rondo.tasks.photo.report.trust import abstention, reliability, robustness
from rondo.tasks.photo.report.uses import LIMITS, WARNING


def render_report(report: ReportInput) -> str:
    """Returns the page."""
    sections = (
        _headline(report),
        _curves(report),
        confusions(report),
        scores(report),
        _groups(report),
        reliability(report),
        abstention(report),
        robustness(report),
        examples(report) if report.shows_pictures else "",
        where_it_looked(report),
        what_sweeps_saw(report),
        WARNING if report.is_of_people else LIMITS,
        _data(report),
        _settings(report),
    )
    return page_of(report.title, "\n".join(sections))


def _headline(report: ReportInput) -> str:
    tiles = "".join(_tile(name, item, report.noun) for name, item in report.unseen.items())
    note = ""
    if report.is_drawn:
        note = (
            "<p class='note'>The pictures are made-up drawings, not photos of people: the two "
            "classes are a convention of the drawing. The figures say that the training works, and "
            "nothing about people.</p>"
        )
    elif report.shows_pictures:
        note = (
            "<p class='note'>This page holds pictures of the test data: mind their licence, and "
            "who is in them, before you share it.</p>"
        )
    return f"<h1>{escape(report.title)}</h1>{note}<div class='row'>{tiles}</div>"


def _tile(name: str, evaluation: Evaluation, noun: str) -> str:
    share, majority = evaluation.accuracy, 100 * evaluation.majority_rate
    value = 100 * share.value
    return f"""<div class="card tile"><h2>{escape(name)}</h2>
<p class="big">{value:.1f}<small> %</small></p>
<p>of {share.num_photos} {noun} right; 95 % interval {_interval(share)}</p>
<div class="meter"><i style="width:{value:.1f}%"></i><b style="left:{majority:.1f}%"></b></div>
{_guesses(evaluation)}<p class="note">The mark is the majority class: always saying the most
frequent label is right for {majority:.1f} %.</p></div>"""


def _guesses(evaluation: Evaluation) -> str:
    """Returns the means over the classes, and how often the label is among five guesses."""
    share, macro = evaluation.top_5, evaluation.macro
    if len(evaluation.scores) == 2:
        return ""
    among = ""
    if share is not None:
        among = f"<p>{100 * share.value:.1f} % are among the five likeliest; {_interval(share)}</p>"
    return (
        f"{among}<p>mean over the classes: recall {100 * macro.recall:.1f} %, "
        f"precision {100 * macro.precision:.1f} %, F1 {100 * macro.f1:.1f} %</p>"
    )


def _curves(report: ReportInput) -> str:
    if not report.records:
        return ""
    return cards(
        "How it learned",
        plots.curves(report.records, "right", "right in %"),
        plots.curves(report.records, "loss", "loss in nats"),
        note="Dotted: the majority class of each split. Training figures are taken while the "
        "weights change and the pictures are altered at random, so they may lie below the others. "
        "Where the recipe begins with smaller pictures, the first epochs are measured on such.",
    )


def _groups(report: ReportInput) -> str:
    figures = [
        f"<h3>{escape(name)}, by {escape(title)}</h3>"
        f"{plots.accuracy_bars(shares, item.majority_rate, f'{title} on {name}')}"
        for name, item in report.unseen.items()
        for title, found in item.parts().items()
        if 1 < len(shares := _seen(found)) <= MOST_SHOWN
    ]
    if not figures:
        return ""
    return cards(
        f"For {'whom' if report.is_of_people else 'what'} it works better and worse",
        *figures,
        note="Dots are accuracies, bars their 95 % intervals. Label, age, source and groups are "
        "what the labels of the data say. Few photos make wide bars.",
    )


def _seen(shares: dict[str, Share]) -> dict[str, Share]:
    return {name: share for name, share in shares.items() if share.num_photos}


def _data(report: ReportInput) -> str:
    table = html_table(report.counts_head, report.counts)
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    told = [f"<h3>To be minded</h3><ul>{notes}</ul>"] if notes else []
    return cards("The data", table, f"<h3>Left out</h3>{_skipped(report)}", *told)


def _skipped(report: ReportInput) -> str:
    """Returns how many files were left out, by reason."""
    if not report.skipped:
        return "<p>Nothing: every picture that the labels name was used.</p>"
    return html_table(["reason", "files"], [[reason, str(n)] for reason, n in report.skipped])


def _settings(report: ReportInput) -> str:
    config = report.config
    rows = {
        "model": report.model_text,
        "recipe": report.recipe_text,
        "seed": str(config.seed),
        "training speed": f"{report.speed}, {config.num_threads} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in config.versions.items()),
    }
    table = "".join(
        f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items()
    )
    return cards("How it was made", f"<table class='settings'>{table}</table>")


def _interval(share: Share) -> str:
    return f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
