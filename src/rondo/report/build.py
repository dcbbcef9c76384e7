"""The report of a run: one HTML page that needs no network and no other file.

Of photos of people the page holds numbers and one mean over many photos, never a photo, a face or
a map of a single photo. Of drawings, which show nobody, it holds examples.
"""

from __future__ import annotations

from html import escape

from rondo.measures.intervals import Share
from rondo.report import plots
from rondo.report.input import ReportInput
from rondo.report.looks import examples, what_sweeps_saw, where_it_looked
from rondo.report.page import PAGE, WARNING, cards, html_table
from rondo.report.trust import abstention, reliability, robustness
from rondo.tasks.photo.evaluation import Evaluation
from rondo.tasks.photo.task import SEXES


def render_report(report: ReportInput) -> str:
    """Returns the page."""
    sections = (
        _headline(report),
        _curves(report),
        _confusions(report),
        _groups(report),
        reliability(report),
        abstention(report),
        robustness(report),
        examples(report) if report.is_drawn else "",
        where_it_looked(report),
        what_sweeps_saw(report),
        WARNING,
        _data(report),
        _settings(report),
    )
    return PAGE.replace("{title}", report.title).replace("{body}", "\n".join(sections))


def _headline(report: ReportInput) -> str:
    tiles = "".join(_tile(name, item, report.noun) for name, item in report.unseen.items())
    note = (
        "<p class='note'>The pictures are made-up drawings, not photos of people: the two classes "
        "are a convention of the drawing. The figures say that the training works, and nothing "
        "about people.</p>"
        if report.is_drawn
        else ""
    )
    return f"<h1>{report.title}</h1>{note}<div class='row'>{tiles}</div>"


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
    return cards(
        "How it learned",
        plots.curves(report.records, "right", "right in %"),
        plots.curves(report.records, "loss", "loss in nats"),
        note="Dotted: the majority class of each split. Training figures are taken while the "
        "weights change and the pictures are altered at random, so they may lie below the others. "
        "Where the recipe begins with smaller pictures, the first epochs are measured on such.",
    )


def _confusions(report: ReportInput) -> str:
    tables = [_confusion(name, item) for name, item in report.unseen.items()]
    return cards("What was taken for what", *tables)


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
    figures = [
        f"<h3>{escape(name)}, by {title}</h3>"
        f"{plots.accuracy_bars(shares, item.majority_rate, f'{title} on {name}')}"
        for name, item in report.unseen.items()
        for title, shares in item.parts().items()
        if len(shares) > 1
    ]
    if not figures:
        return ""
    return cards(
        "For whom it works better and worse",
        *figures,
        note="Dots are accuracies, bars their 95 % intervals. Label, age, source and group are "
        "what the labels of the data say. Few photos make wide bars.",
    )


def _data(report: ReportInput) -> str:
    table = html_table(["split", report.noun, *SEXES], report.counts)
    return cards("The data", table, f"<h3>Left out</h3>{_skipped(report)}")


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
