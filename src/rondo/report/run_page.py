"""The report of a run of any task: one HTML page that needs no network and no other file.

In goes a `RunInput`, out comes the page: the test, the curves, examples with large and with usual
losses, errors by length, the settings.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from rondo.measures.intervals import Share, percent
from rondo.report.page import cards, html_table, page_of
from rondo.report.plots import COLOURS, OTHER_COLOUR, STYLE, add_legend, new_figure, to_svg
from rondo.report.run_input import Examined, OfLength, RunInput

SIDE = 480
"""A picture of an example has this width at most, in pixels."""


def render_run(report: RunInput) -> str:
    """Returns the page."""
    title = f"{report.summary[0].upper()}{report.summary[1:]}"
    sections = (
        f"<h1>{escape(title)}</h1>{_notes(report)}{_headline(report)}",
        _curves(report),
        _examples("Where it errs most", report.worst()),
        _examples("Usual examples", report.usual()),
        _lengths(report),
        _settings(report),
    )
    body = "\n".join(section for section in sections if section)
    return page_of(title, body)


def _notes(report: RunInput) -> str:
    return "".join(f"<p class='note'>{escape(note)}</p>" for note in report.notes)


def _headline(report: RunInput) -> str:
    """The figures of the test."""
    test, task = report.test, report.task
    loss = "not finite" if test["loss"] is None else f"{test['loss']:.4f}"
    tiles = [
        f'<div class="card tile"><h2>Loss</h2><p class="big">{loss}<small> '
        f"{escape(task.unit)}</small></p><p>on {test['num_examples']} {escape(task.noun)} of the "
        "test, with which nothing was chosen</p></div>"
    ]
    if test["right"] is not None:
        tiles.insert(0, _right_tile(report))
    return f"<div class='row'>{''.join(tiles)}</div>"


def _right_tile(report: RunInput) -> str:
    test, task = report.test, report.task
    value = 100 * test["right"]
    mark = ""
    if task.baseline is not None:
        mark = f'<b style="left:{100 * task.baseline:.1f}%"></b>'
    words = [f"of {test['num_examples']} {task.noun} in the test"]
    if report.right is not None and report.counts_whole:
        words.append(f"95 % interval {interval(report.right)}")
    if task.baseline is not None:
        words.append(
            f"the mark is what always giving the most frequent answer gets, "
            f"{100 * task.baseline:.1f} %"
        )
    return (
        f'<div class="card tile"><h2>Right</h2><p class="big">{value:.1f}<small> %</small></p>'
        f'<div class="meter"><i style="width:{value:.1f}%"></i>{mark}</div>'
        f"<p>{escape('; '.join(words))}</p></div>"
    )


def interval(share: Share) -> str:
    """Returns for example `91.2 to 94.5 %`."""
    return f"{100 * share.low:.1f} to {100 * share.high:.1f} %"


def _curves(report: RunInput) -> str:
    splits = ("train", "val") if report.compares_train else ("val",)
    checks = [record for record in report.records if record["split"] in splits]
    if not checks:
        return ""
    figures = [_curve(checks, "loss", report.loss_label, report.task.noun)]
    if any(record.get("right") is not None for record in checks):
        figures.insert(0, _curve(checks, "right", "right in %", report.task.noun))
    return cards(
        "How it learned",
        *figures,
        note="Figures of train are taken while the weights change and with dropout and random "
        "changes where the recipe has them, so they may be worse than those of val."
        if report.compares_train
        else "In training the losses of all steps of a sequence are added, so they are not drawn "
        "beside the means over steps of val.",
    )


def _curve(records: Sequence[dict[str, Any]], name: str, label: str, noun: str) -> str:
    """One number over the examples seen, a line for each split."""
    factor = 100 if name == "right" else 1
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure, axes = new_figure(5.2, 3.4)
        for split in ("train", "val"):
            found = [
                (record["num_seen"], factor * record[name])
                for record in records
                if record["split"] == split and record.get(name) is not None
            ]
            if found:
                colour = COLOURS.get(split, OTHER_COLOUR)
                axes.plot(*zip(*found, strict=True), color=colour, label=split, marker="o", ms=3)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(f"{noun} seen")
        axes.set_ylabel(label)
        add_legend(axes)
        return to_svg(figure, f"{label} over the {noun} seen")


def _examples(title: str, examined: Sequence[Examined]) -> str:
    if not examined:
        return ""
    figures = "".join(_example(one) for one in examined)
    return f"<section><h2>{title}</h2><div class='gallery wide'>{figures}</div></section>"


def _example(one: Examined) -> str:
    """An example with its answer."""
    shown = one.shown
    assert shown is not None
    image = "" if shown.picture is None else f"<img alt='' src='{png(shown.picture)}'>"
    given = f"{escape(shown.given)}<br>" if shown.given else ""
    kind = "" if one.right is None else " class='right'" if one.right == 1 else " class='wrong'"
    answer = f"answered <b>{escape(shown.answered)}</b>"
    if shown.answered != shown.wanted:
        answer += f", right is <b>{escape(shown.wanted)}</b>"
    return (
        f"<figure{kind}>{image}<figcaption>{given}{answer}<br><small>loss {one.loss:.3g}</small>"
        "</figcaption></figure>"
    )


def png(picture: Tensor) -> str:
    """Returns a picture (H, W) or (H, W, 3) of uint8 as an address that holds it."""
    image = Image.fromarray(picture.contiguous().numpy())
    if image.width > SIDE:
        image = image.resize((SIDE, max(1, image.height * SIDE // image.width)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _lengths(report: RunInput) -> str:
    groups = report.by_length()
    if not groups:
        return ""
    head = ["steps", report.task.noun, report.loss_label]
    rows = [_length_row(group) for group in groups]
    if any(group.right is not None for group in groups):
        head.append("right (95 % interval)" if report.counts_whole else "right")
        for row, group in zip(rows, groups, strict=True):
            row.append("-" if group.right is None else _right_text(group.right, report))
    table = html_table(head, rows)
    return cards("Short and long", table, note="The test, by the number of steps.")


def _length_row(group: OfLength) -> list[str]:
    steps = str(group.shortest)
    if group.longest > group.shortest:
        steps = f"{group.shortest} to {group.longest}"
    return [steps, str(group.num_examples), f"{group.loss:.4f}"]


def _right_text(share: Share, report: RunInput) -> str:
    return percent(share) if report.counts_whole else f"{100 * share.value:.1f} %"


def _settings(report: RunInput) -> str:
    table = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in report.settings.items()
    )
    return cards("How it was made", f"<table class='settings'>{table}</table>")
