"""The parts of a report that say how far answers can be trusted."""

from __future__ import annotations

from html import escape

from rondo.measures.abstention import THRESHOLDS, answered, coverage_curve
from rondo.measures.corruptions import MEANINGS
from rondo.measures.intervals import percent
from rondo.report.page import cards, html_table
from rondo.tasks.photo.evaluation import Evaluation
from rondo.tasks.photo.report import tables, trust_plots
from rondo.tasks.photo.report.input import ReportInput


def reliability(report: ReportInput) -> str:
    """Returns whether probabilities can be believed, without and with the temperature."""
    contents, least = [], 10 * (10 // len(report.classes))
    for name, item in report.unseen.items():
        with_it = None if item.temperature == 1 else item.calibration.bins
        plot = trust_plots.reliability_plot(item.before.bins, with_it, least)
        contents.append(f"<h3>{escape(name)}</h3>{plot}{_calibration(item)}")
    contents += [
        f"<h3>{escape(name)}</h3>{_calibration(item)}<p class='note'>The temperature was fitted on "
        "these, so what it gains here says little.</p>"
        for name, item in report.evaluations.items()
        if name == "val" and report.temperature.is_fitted
    ]
    text = escape(str(report.temperature))
    return cards(
        "Whether its probabilities can be believed",
        *contents,
        note="On the dotted line a confidence of 80 % is right eight times in ten; below it, "
        "answers are surer than they should be. Larger dots stand for more pictures. The "
        "calibration error is the distance of the dots from the line, averaged over the pictures; "
        f"for all figures, smaller is better. {text[0].upper()}{text[1:]}. A temperature moves no "
        "answer to another class, and that it is right for one source says nothing of others.",
    )


def _calibration(item: Evaluation) -> str:
    """Returns the figures of a split."""
    if item.temperature == 1:
        rows = [[name, text(item.calibration)] for name, text in tables.CALIBRATION.items()]
        return html_table(["", "as they are"], rows)
    rows = [
        [name, text(item.before), text(item.calibration)]
        for name, text in tables.CALIBRATION.items()
    ]
    return html_table(["", "without temperature", "with it"], rows)


def abstention(report: ReportInput) -> str:
    """Returns what is gained by leaving the doubtful photos unanswered."""
    labels = {name: report.data[name].labels for name in report.unseen}
    curves = {
        name: coverage_curve(report.probabilities[name], found) for name, found in labels.items()
    }
    contents = [trust_plots.coverage_plot(curves)]
    for name, found in labels.items():
        levels = [answered(report.probabilities[name], found, least) for least in THRESHOLDS]
        rows = [
            [
                f"{item.min_confidence:g}",
                percent(item.coverage),
                percent(item.accuracy),
            ]
            for item in levels
        ]
        head = ["least confidence", "answered", "of these right"]
        contents.append(f"<h3>{escape(name)}</h3>{html_table(head, rows)}")
    return cards(
        "What is gained by not answering when in doubt",
        *contents,
        note="<code>rondo predict --min-confidence 0.9</code> says “not sure” where the "
        "probability of the answer is below 0.9. In brackets, and shaded, are 95 % intervals.",
    )


def robustness(report: ReportInput) -> str:
    """Returns how answers hold when photos are bad."""
    if not report.trials:
        return ""
    contents = []
    for name, trials in report.trials.items():
        table = html_table(tables.ROBUSTNESS, tables.robustness_rows(trials))
        contents.append(
            f"<h3>{escape(name)}</h3>{trust_plots.robustness_plot(trials, name)}{table}"
        )
    num_photos = max(trials[0].accuracy.num_photos for trials in report.trials.values())
    return cards(
        "How it holds when pictures are bad",
        *contents,
        note=f"Accuracy on up to {num_photos} pictures of each split, made bad in one way at a "
        "time. A confidence above the accuracy says that the network does not notice how "
        f"little it sees. In brackets 95 % intervals. Strengths of {'; '.join(MEANINGS)}.",
    )
