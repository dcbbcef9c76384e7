"""The table of a sweep: for a terminal, and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from rondo.sweep.plan import METHODS, Plan
from rondo.sweep.result import Best, Result, Row, share_text, spread
from rondo.sweep.trial import Trial
from rondo.system.columns import as_markdown, columns, markdown_table

MISSING = "-"

CHOSEN = (
    "Settings are chosen by their val loss alone, the smallest in a check of a training; the test "
    "was looked at for the best one only, after the choice. As the best of {number}, its val loss "
    "is a little too good; its test is not."
)
"""What must be known of the best setting."""

METHOD_WORDS = dict(
    zip(METHODS, ("all combinations", "random draws", "successive halving"), strict=True)
)


def head_of(result: Result) -> list[str]:
    """Returns the names of the columns."""
    names = [name.removeprefix("recipe.") for name in result.trials[0].settings]
    return ["trial", *names, "val loss", "right", "examples", "seconds", "parameters", "state"]


def cells_of(row: Row, plan: Plan) -> list[str]:
    """Returns the texts of a row, one for each column."""
    losses, right, size = row.val_losses, row.val_right, row.num_parameters
    has_figures = bool(losses) and not row.is_lost
    return [
        ",".join(str(trial.number) for trial in row.trials),
        *row.settings.values(),
        spread(losses, "{:.4g}".format) if has_figures else MISSING,
        f"{100 * right:.1f} %" if has_figures and right is not None else MISSING,
        f"{row.num_seen:,.0f}" if has_figures else MISSING,
        f"{row.seconds:,.1f}" if has_figures else MISSING,
        MISSING if size is None else f"{size:,}",
        state_of(row, plan),
    ]


def state_of(row: Row, plan: Plan) -> str:
    """Returns what has become of the trials of a row."""
    states = Counter(_state(trial, plan.shares) for trial in row.trials)
    return ", ".join(state if len(states) == 1 else f"{n} {state}" for state, n in states.items())


def _state(trial: Trial, shares: Sequence[Fraction]) -> str:
    if trial.state != "stopped":
        return trial.state
    return f"stopped at {share_text(shares[trial.rung])}"


def lines_of(result: Result) -> list[str]:
    """Returns the table for a terminal, with the best setting below it."""
    rows = (cells_of(row, result.plan) for row in result.rows)
    return [*columns(head_of(result), rows), "", *below(result)]


def below(result: Result) -> list[str]:
    """Returns what is said of the best setting, and what must be known to read the table."""
    lost = [
        f"{trial.name} {trial.state}: {trial.reason}" for trial in result.trials if trial.reason
    ]
    if result.best is None:
        return [*lost, *result.notes]
    chosen = CHOSEN.format(number=len(result.rows))
    return [*best_words(result.best), chosen, *lost, *result.notes]


def best_words(best: Best) -> list[str]:
    """Returns the best setting and its test."""
    settings = ", ".join(f"{name} {value}" for name, value in best.settings.items())
    noun = "trial" if len(best.trials) == 1 else "trials"
    parts = []
    if best.test_losses:
        parts.append(f"loss {spread(best.test_losses, '{:.4g}'.format)}")
    if best.test_rights:
        parts.append(f"right {spread(best.test_rights, lambda x: f'{100 * x:.1f} %')}")
    test = f"; test: {', '.join(parts)}" if parts else ""
    return [f"best: {settings} ({noun} {', '.join(map(str, best.trials))}){test}"]


def summary(plan: Plan) -> str:
    """Returns what a sweep does, as a sentence."""
    seeds = f", {plan.num_seeds} seeds each" if plan.num_seeds > 1 else ""
    words = f" {' '.join(plan.words)}" if plan.words else ""
    return (
        f"rondo train {plan.task}{words}, over {' and '.join(plan.over)}: "
        f"{METHOD_WORDS[plan.method]}{seeds}, {plan.num_threads} thread"
        f"{'' if plan.num_threads == 1 else 's'} for a trial"
    )


def markdown(result: Result) -> str:
    """Returns the table as Markdown."""
    rows = [list(map(as_markdown, cells_of(row, result.plan))) for row in result.rows]
    table = markdown_table(list(map(as_markdown, head_of(result))), rows)
    notes = [f"- {as_markdown(line)}" for line in below(result)]
    parts = (f"# Sweep of {result.plan.task}", as_markdown(summary(result.plan)), table)
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"
