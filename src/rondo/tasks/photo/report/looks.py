"""The parts of a report that show what the network looked at.

Of photos of people they show means over many alone; of drawings, and of photos of other classes,
examples too.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from itertools import groupby

import torch
from torch import Tensor, nn

from rondo.data.order import spaced
from rondo.looks.saliency import evidence, has_evidence, mean_saliency, saliency
from rondo.looks.sweeps import SweepStrength, sweeps
from rondo.report import plots
from rondo.report.page import cards
from rondo.tasks.photo.report.input import ReportInput

NUM_EXAMPLES = 8
"""Pictures shown with what the network looked at, and as many doubtful ones."""

NUM_AVERAGED = 256
"""Test pictures over which means are taken, at most."""

NUM_AT_A_TIME = 32
"""Pictures that are swept together."""

NUM_SWEPT = 4
"""Pictures shown with what each sweep saw."""

ARROWS = {"down": "\N{DOWNWARDS ARROW}", "up": "\N{UPWARDS ARROW}",
          "right": "\N{RIGHTWARDS ARROW}", "left": "\N{LEFTWARDS ARROW}"}  # fmt: skip
"""Which way a sweep goes."""


def examples(report: ReportInput) -> str:
    """Returns pictures with what the network looked at, and the doubtful and wrong ones."""
    test, probabilities = report.data["test"], report.probabilities["test"]
    first, second = probabilities.topk(2, dim=1).values.unbind(1)
    doubtful = (first - second).argsort()[:NUM_EXAMPLES].tolist()
    some, noun = spaced(len(test), NUM_EXAMPLES).tolist(), report.noun
    doubt = (
        f"Test {noun} whose probability is closest to one half."
        if len(report.classes) == 2
        else f"Test {noun} whose two likeliest classes are closest to each other."
    )
    galleries = [
        _gallery(report, "Where it looked", some, _legend(report)),
        _gallery(report, f"The most doubtful {noun}", doubtful, doubt),
    ]
    wrong = (probabilities.argmax(1) != test.labels).nonzero().squeeze(1)
    surest = wrong[first[wrong].argsort(descending=True)][:NUM_EXAMPLES].tolist()
    if surest and len(report.classes) > 2:
        note = f"Test {noun} whose wrong answers are the surest; some of the labels may be wrong."
        galleries.append(_gallery(report, "The surest wrong answers", surest, note))
    return "".join(galleries)


def _legend(report: ReportInput) -> str:
    looked = "Under each picture: where small changes of it would move the answer most (bright)"
    if not has_evidence(report.model):
        return (
            f"{looked}. Which class each place speaks for cannot be shown: the answer of this "
            "network is not a mean over places."
        )
    if len(report.classes) == 2:
        purple, orange = map(escape, report.classes)
        return (
            f"{looked}, and which class each place speaks for (purple: {purple}, orange: {orange})."
        )
    return (
        f"{looked}, and where it speaks for the answer (orange) or the second likeliest (purple)."
    )


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
        f"<figcaption class='{mark}'>{escape(report.classes[answer])} "
        f"{100 * float(row_probabilities[answer]):.0f}&nbsp;%"
        f"<br><small>{mark}; labelled {escape(report.classes[label])}</small></figcaption>"
    )


def where_it_looked(report: ReportInput) -> str:
    """Returns the mean saliency."""
    pixels = report.data["test"].pixels
    picture = plots.heat_png(mean_saliency(report.model, pixels, NUM_AVERAGED))
    return cards(
        f"Where it looked, over many test {report.noun}",
        f"<img class='heat' src='{picture}' alt='mean saliency'>",
        note=f"The mean over up to {NUM_AVERAGED} test pictures of how strongly each place moves "
        "the answer: bright places count most. It says nothing about a single picture.",
    )


def what_sweeps_saw(report: ReportInput) -> str:
    """Returns how strongly each sweep of the spatial layers answers at each block."""
    test, title = report.data["test"].pixels, "What each sweep saw"
    layers = by_layer(mean_sweeps(report.model, test))
    if not layers:
        note = "This network has no layers that sweep over the picture, so nothing can be shown."
        return cards(title, note=note)
    means = [_layer(name, four) for name, four in layers.items()]
    rows = spaced(len(test), NUM_SWEPT if report.shows_pictures else 0)
    legend = f"Below, some {report.noun}, with a row of maps for each layer. "
    legend = legend if report.shows_pictures else ""
    return cards(
        title,
        *means,
        *(_swept(report, test[row]) for row in rows),
        note="A spatial layer goes over the picture four times: down and up its columns of blocks, "
        "then right and left along the rows of what these found. Bright blocks are those at which "
        "the loop of a sweep answers strongly: the mean of |output| over its units, and over up to "
        f"{NUM_AVERAGED} test {report.noun}. {legend}The four maps of a layer share one scale.",
    )


def mean_sweeps(model: nn.Module, pixels: Tensor) -> list[SweepStrength]:
    """Returns the sweeps, their strength the mean (1, I, J) over evenly spaced pictures."""
    chosen = pixels[spaced(len(pixels), NUM_AVERAGED)]
    parts = [sweeps(model, batch) for batch in chosen.split(NUM_AT_A_TIME)]
    return [
        replace(same[0], strength=torch.cat([one.strength for one in same]).mean(0, keepdim=True))
        for same in zip(*parts, strict=True)
    ]


def by_layer(found: list[SweepStrength]) -> dict[str, list[SweepStrength]]:
    """Returns the four sweeps of each layer."""
    return {name: list(four) for name, four in groupby(found, key=lambda sweep: sweep.layer)}


def _layer(name: str, four: list[SweepStrength]) -> str:
    rows, columns = four[0].strength.shape[1:]
    low, high = _limits(four)
    figures = "".join(f"<figure>{picture}{_way(sweep)}</figure>" for sweep, picture in _maps(four))
    return (
        f"<h3>layer {name or 1}, {rows} x {columns} blocks</h3><div class='sweeps'>{figures}</div>"
        f"<p class='note'>From {low:.2f} (dark) to {high:.2f} (bright).</p>"
    )


def _swept(report: ReportInput, pixels: Tensor) -> str:
    """Returns a picture with the maps of each layer."""
    first = f"<img src='{plots.photo_png(pixels)}' alt='picture'>"
    rows: list[str] = []
    layers = by_layer(sweeps(report.model, pixels.unsqueeze(0)))
    for four in layers.values():
        rows.append(first + "".join(picture for _, picture in _maps(four)))
        first = "<span></span>"
    ways = "".join(f"<figure>{_way(sweep)}</figure>" for sweep in next(iter(layers.values())))
    return f"<div class='sweeps with-picture'>{''.join(rows)}{first}{ways}</div>"


def _maps(four: list[SweepStrength]) -> list[tuple[SweepStrength, str]]:
    """Returns each sweep of a layer with its picture, on one scale."""
    return [
        (
            sweep,
            f"<img src='{plots.heat_png(sweep.strength[0], limits=_limits(four))}' "
            f"alt='sweep {sweep.direction}'>",
        )
        for sweep in four
    ]


def _limits(four: list[SweepStrength]) -> tuple[float, float]:
    values = [sweep.strength for sweep in four]
    return min(float(one.min()) for one in values), max(float(one.max()) for one in values)


def _way(sweep: SweepStrength) -> str:
    return f"<figcaption>{ARROWS[sweep.direction]} {sweep.direction}</figcaption>"
