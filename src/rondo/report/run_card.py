"""The card that goes with a network of any task: what must be known before it is used.

The sections follow Mitchell et al., "Model cards for model reporting", 2019; every figure on it is
measured by the run.
"""

from __future__ import annotations

from datetime import date

from rondo.measures.intervals import percent
from rondo.report.run_input import RunInput
from rondo.system.columns import as_markdown, markdown_table


def render_run_card(report: RunInput, today: date) -> str:
    """Returns the card of a run, in Markdown.

    Args:
        report: What the report is made of.
        today: The date that the card bears.
    """
    settings = _list([f"{name}: {as_markdown(text)}" for name, text in report.settings.items()])
    parts = {
        f"Model card: {report.summary}": f"Made on {today.isoformat()}. {_size(report)}",
        "Data": _list([as_markdown(note) for note in report.data_notes]),
        "Training": settings,
        "Test": _test(report),
        "Limits": _list(_limits(report)),
    }
    first, *others = (f"# {title}\n\n{text}" for title, text in parts.items() if text)
    return "\n\n".join((first, *(f"#{part}" for part in others))) + "\n"


def _size(report: RunInput) -> str:
    return f"The network has {report.num_parameters:,} parameters."


def _test(report: RunInput) -> str:
    test, task = report.test, report.task
    loss = "not finite" if test["loss"] is None else f"{test['loss']:.4f}"
    head, row = [report.loss_label, task.noun], [loss, str(test["num_examples"])]
    if test["right"] is not None:
        share = report.right if report.counts_whole else None
        head.insert(0, "right" if share is None else "right (95 % interval)")
        row.insert(0, f"{100 * test['right']:.1f} %" if share is None else percent(share))
    if task.baseline is not None:
        head.append("always the most frequent answer")
        row.append(f"{100 * task.baseline:.1f} %")
    table = markdown_table(head, [row])
    groups = report.by_length()
    if not groups:
        return table
    rows = [
        [f"{one.shortest} to {one.longest}", str(one.num_examples), f"{one.loss:.4f}"]
        for one in groups
    ]
    return f"{table}\n\n{markdown_table(['steps', task.noun, report.loss_label], rows)}"


def _limits(report: RunInput) -> list[str]:
    limits = [
        "The figures hold for data like those of the test; nothing is known of others.",
        *map(as_markdown, report.notes),
    ]
    if report.config.data_fingerprint is None:
        limits.append("It was trained on sequences that the program draws.")
    return limits


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
