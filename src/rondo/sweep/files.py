"""What is written of a sweep for people: its table, its picture and its page.

In goes a sweep, out come `sweep.md`, `parallel.svg` and `sweep.html` in its folder. A task may
write more, as its definition says.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from rondo.extras import how_to_install
from rondo.sweep.result import Result
from rondo.sweep.table import below, cells_of, head_of, markdown, summary
from rondo.system.files import write_text
from rondo.tasks.registry import definition_of
from rondo.training.definition import at_place

TABLE_FILE, PAGE_FILE, PICTURE_FILE = "sweep.md", "sweep.html", "parallel.svg"


def write(result: Result, folder: Path, say: Callable[[str], None]) -> None:
    """Writes the files of a sweep.

    Args:
        result: The sweep so far.
        folder: Its folder.
        say: Is told what is left out because a package is missing.
    """
    write_text(folder / TABLE_FILE, markdown(result))
    try:
        from rondo.report import plots
        from rondo.sweep.parallel import parallel
    except ModuleNotFoundError as error:
        say(
            f"{PICTURE_FILE} and {PAGE_FILE} are not drawn: {error.name} is not installed; "
            f"{how_to_install('photo')}"
        )
        return
    svg = parallel(result)
    write_text(folder / PICTURE_FILE, plots.standalone(svg))
    write_text(folder / PAGE_FILE, page(result, svg))
    more = definition_of(result.plan.task).sweep
    if more is not None:
        ended = [row for row in result.rows if row.is_ended]
        runs = [tuple(folder / trial.name for trial in row.trials) for row in ended]
        at_place(more)([row.settings for row in ended], runs, folder)


def page(result: Result, svg: str) -> str:
    """Returns the table and the picture as an HTML page that needs no other file."""
    from rondo.report.page import html_table, page_of

    title = f"Sweep of {result.plan.task}"
    table = html_table(head_of(result), (cells_of(row, result.plan) for row in result.rows))
    notes = "".join(f"<li>{escape(line)}</li>" for line in below(result))
    body = (
        f"<h1>{escape(title)}</h1><p class='note'>{escape(summary(result.plan))}</p>"
        f"<div class='card'>{table}</div>"
        f"<ul class='note'>{notes}</ul>"
        f"<section><h2>Settings and what they gave</h2><div class='card'>{svg}</div></section>"
    )
    return page_of(title, body)
