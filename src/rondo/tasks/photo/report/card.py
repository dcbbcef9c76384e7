"""The card that goes with a trained network: what must be known before it is used, in Markdown.

Every figure on it is measured by the run. The sections follow Mitchell et al., "Model cards for
model reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from rondo.cells.named import num_parameters
from rondo.measures.abstention import THRESHOLDS, answered
from rondo.measures.corruptions import MEANINGS
from rondo.measures.intervals import Share, percent
from rondo.system.columns import as_markdown, markdown_table
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.report import tables
from rondo.tasks.photo.report.classes import (
    MISTAKES,
    MOST_SHOWN,
    NUM_WORST,
    SCORES,
    macro_row,
    mistake_rows,
    shown_rows,
)
from rondo.tasks.photo.report.input import ReportInput
from rondo.tasks.photo.report.uses import (
    CAUTIONS,
    FORBIDDEN,
    INTENDED,
    NATURE,
    NEUTRAL,
    NEUTRAL_USES,
)
from rondo.training.config import current_versions

NUM_NAMED = 50
"""Classes that a card names, at most."""

NUM_PAIRS = 10
"""Pairs of classes that a card tells, those confused most often."""

OF_COLLECTIONS = (
    "The published collections that it reads have licences of their own, most for research only. "
    "Whether the people in them agreed is not known to Rondo either."
)
"""What is to be said of photos of faces."""


def render_card(report: ReportInput, today: date) -> str:
    """Returns the card of a run.

    Args:
        report: What the report is made of.
        today: The date that the card bears.
    """
    about = report.title if report.classes != SEXES else report.title.lower()
    parts = {
        f"Model card: {as_markdown(about[0].lower() + about[1:])}": _summary(report, today),
        "Intended use": _list(INTENDED if report.is_of_people else NEUTRAL_USES),
        **(
            {"What it must not be used for": _list(FORBIDDEN)}
            if report.is_of_people
            else {"What to mind before it is used": _list(CAUTIONS)}
        ),
        "Data": _data(report),
        "Training": _training(report),
        "Accuracy": _accuracy(report),
        "Classes": _classes(report),
        "Calibration": _calibration(report),
        "Leaving doubtful pictures unanswered": _abstention(report),
        "Pictures that are bad": _robustness(report),
        "Limits": _limits(report),
    }
    first, *others = (f"# {title}\n\n{text}" for title, text in parts.items() if text)
    return "\n\n".join((first, *(f"#{part}" for part in others))) + "\n"


def _summary(report: ReportInput, today: date) -> str:
    config = report.config
    now, size = current_versions(), config.options.image_size
    versions = ", ".join(f"{name} {version}" for name, version in config.versions.items())
    lines = [
        f"Answers: {_answers(report)}, scaled to {size} x {size} pixels.",
        f"Network: `{report.model_text}`, {num_parameters(report.model):,} parameters.",
        f"Trained with: {versions}.",
    ]
    if now != config.versions:
        measured = ", ".join(f"{name} {version}" for name, version in now.items())
        lines.append(f"Measured with: {measured}.")
    nature = NATURE if report.is_of_people else NEUTRAL
    return f"{nature}\n\n{_list((*lines, f'Date of this card: {today.isoformat()}.'))}"


def _answers(report: ReportInput) -> str:
    """Returns what it answers, and for what."""
    if report.classes == SEXES:
        return f"{' or '.join(SEXES)}, with a probability, for a picture that one face fills"
    shown, rest = report.classes[:NUM_NAMED], len(report.classes) - NUM_NAMED
    named = ", ".join(map(as_markdown, shown))
    more = f", and {rest} more in `config.json`" if rest > 0 else ""
    return (
        f"one of {len(report.classes)} classes ({named}{more}), with a probability, for a picture"
    )


def _data(report: ReportInput) -> str:
    config = report.config
    if report.is_drawn:
        source = (
            "Made-up drawings, not photos of people. The two classes are a convention of the "
            "drawing, so the figures below say that the training works, and nothing about people. "
            "They are under the licence of the program, Apache-2.0."
        )
    else:
        name = as_markdown(Path(config.options.data).name)
        source = (
            f"Photos in a folder named {name}, which are not part "
            "of the run. Rondo does not know their licence: find it out before you share the "
            f"network. {OF_COLLECTIONS if report.is_of_people else ''}"
        ).rstrip()
    left_out = [f"{as_markdown(reason)}: {count}" for reason, count in report.skipped]
    sources = sorted({photo.source for one in report.data.values() for photo in one.photos} - {""})
    lines = [
        f"Sources that the labels name: {', '.join(map(as_markdown, sources)) or 'none'}.",
        f"Left out: {'; '.join(left_out) or 'nothing'}.",
        f"Fingerprint of the pictures and labels: `{config.data_fingerprint}`.",
    ]
    lines += [f"{as_markdown(note)}." for note in report.notes]
    table = markdown_table([as_markdown(cell) for cell in report.counts_head], report.counts)
    return f"{source}\n\n{table}\n\n{_list(lines)}"


def _training(report: ReportInput) -> str:
    config = report.config
    start = "from nothing"
    if config.options.weights is not None:
        name = as_markdown(Path(config.options.weights).name)
        start = f"from the weights {name} ({config.options.weights_fingerprint})"
    return _list(
        (
            f"Recipe {report.recipe_text}, {start}.",
            f"Seed {config.seed}; {report.speed}, {config.num_threads} threads.",
            "Every setting is in `config.json`, every epoch in `metrics.jsonl`.",
        )
    )


def _accuracy(report: ReportInput) -> str:
    rows = [
        [name, *_share(item.accuracy), f"{100 * item.majority_rate:.1f} %"]
        for name, item in report.evaluations.items()
    ]
    head = ["split", report.noun, "accuracy (95 % interval)", "always the most frequent label"]
    if any(item.top_5 is not None for item in report.evaluations.values()):
        head.append("among five guesses")
        for row, item in zip(rows, report.evaluations.values(), strict=True):
            row.append("-" if item.top_5 is None else percent(item.top_5))
    blocks = [markdown_table(head, rows)]
    for name, item in report.unseen.items():
        parts = [
            [as_markdown(title), as_markdown(key), *_share(share)]
            for title, shares in item.parts().items()
            if title != "label" or len(shares) <= MOST_SHOWN
            for key, share in shares.items()
        ]
        head = [name, "", report.noun, "accuracy (95 % interval)"]
        blocks.append(markdown_table(head, parts))
    blocks.append(
        "Intervals are those of Wilson, 1927, for this network alone: another seed differs."
    )
    return "\n\n".join(blocks)


def _classes(report: ReportInput) -> str:
    """Returns figures of each class, and which are confused; of two classes the rest says it."""
    if len(report.classes) == 2:
        return ""
    blocks = [
        "Precision, recall and F1 in %; in the mean over the classes each class weighs the same."
    ]
    if len(report.classes) > MOST_SHOWN:
        blocks.append(f"The {NUM_WORST} classes with the smallest F1 are shown.")
    for name, item in report.unseen.items():
        rows = [[as_markdown(first), *rest] for first, *rest in shown_rows(item)]
        rows.append(macro_row(item.macro))
        blocks.append(markdown_table([name, *SCORES[1:]], rows))
        confused = [list(map(as_markdown, row)) for row in mistake_rows(item.mistakes[:NUM_PAIRS])]
        if confused:
            blocks.append(markdown_table([f"{name}: {MISTAKES[0]}", *MISTAKES[1:]], confused))
    return "\n\n".join(blocks)


def _calibration(report: ReportInput) -> str:
    table = markdown_table(
        ["split", *tables.CALIBRATION], tables.calibration_rows(report.evaluations)
    )
    text = str(report.temperature)
    return (
        f"{text[0].upper()}{text[1:]}. Without -> with it, and smaller is better; it was fitted "
        f"on val, so val looks best:\n\n{table}"
    )


def _abstention(report: ReportInput) -> str:
    rows = [
        [name, f"{least:g}", percent(found.coverage), percent(found.accuracy)]
        for name in report.unseen
        for least in THRESHOLDS
        for found in [answered(report.probabilities[name], report.data[name].labels, least)]
    ]
    return markdown_table(["split", "least confidence", "answered", "of these right"], rows)


def _robustness(report: ReportInput) -> str:
    rows = [
        [name, *row]
        for name, trials in report.trials.items()
        for row in tables.robustness_rows(trials)
    ]
    if not rows:
        return ""
    counts = ", ".join(
        f"{name} {trials[0].accuracy.num_photos}" for name, trials in report.trials.items()
    )
    return (
        f"On some {report.noun} of each split ({counts}), made bad in one way at a time. "
        f"Strengths of {'; '.join(MEANINGS)}.\n\n"
        f"{markdown_table(['split', *tables.ROBUSTNESS], rows)}"
    )


def _limits(report: ReportInput) -> str:
    knows = (
        "It knows two words only, and gives one of them to any picture, with or without a face.",
        "Pictures must be aligned crops in which one face fills the picture.",
    )
    others = (f"It knows {len(report.classes)} words only, and gives one of them to any picture.",)
    lines = [
        *(knows if report.classes == SEXES else others),
        f"Some labels {'are' if report.is_of_people else 'may be'} wrong; no figure above can be "
        "better than they are.",
        "The temperature was fitted on one source, and holds for pictures like those.",
    ]
    is_grouped = any(item.by_age or item.by_groups for item in report.unseen.values())
    if report.is_of_people and not is_grouped:
        lines.append("The labels name no age and no group, so whom it fails more often is unknown.")
    if report.is_drawn:
        lines.append("It was trained on made-up drawings and knows nothing of photos.")
    return _list(lines)


def _share(share: Share) -> list[str]:
    return [f"{share.num_photos:g}", percent(share)]


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
