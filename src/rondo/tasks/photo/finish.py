"""What ends a run on photos: its temperature, its report and its model card."""

from __future__ import annotations

from collections.abc import Callable

from rondo.tasks.photo.report.finish import finish as write_report
from rondo.tasks.photo.report.tables import accuracy_table, calibration_table
from rondo.training.session import Session


def finish(session: Session, say: Callable[[str], None]) -> list[str]:
    """Writes report and model card of a trained run; returns what to print."""
    folder = session.folder
    evaluations = write_report(session, say)
    return [
        accuracy_table(evaluations),
        "\n" + calibration_table(evaluations, folder.read_temperature()),
        f"\nmodel card: {folder.card_file}",
        f"report: {folder.report_file.resolve().as_uri()}",
    ]
