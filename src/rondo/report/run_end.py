"""The end of a run: its report and card where they can be drawn, and where they are."""

from __future__ import annotations

from collections.abc import Callable

from rondo.extras import how_to_install
from rondo.training.session import Session


def report_lines(
    session: Session, say: Callable[[str], None], notes: tuple[str, ...] = ()
) -> list[str]:
    """Writes report and model card, where Matplotlib is there to draw them.

    Args:
        session: A run that has ended.
        say: Is told where there is none.
        notes: What to tell with the run.

    Returns:
        Where they are, in lines to print.
    """
    try:
        from rondo.report.run_report import write_report
    except ModuleNotFoundError as error:
        say(f"no report: {error.name} is not installed; {how_to_install('plot')}")
        return []
    write_report(session, notes)
    folder = session.folder
    return [
        "",
        f"model card: {folder.card_file}",
        f"report: {folder.report_file.resolve().as_uri()}",
    ]
