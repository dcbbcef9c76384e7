"""What ends a run on series: its test beside simple rules, its report and its model card."""

from __future__ import annotations

from collections.abc import Callable

from rondo.report.run_end import report_lines
from rondo.tasks.series.evaluation import evaluations
from rondo.training.session import Session


def finish(session: Session, say: Callable[[str], None]) -> list[str]:
    """Measures the rules on the test, and writes report and card; returns what to print."""
    model, recipe = session.folder.read_model(), session.config.recipe
    found = evaluations(model, session.task, recipe, ("test",))["test"]
    return ["", found.text(), *report_lines(session, say, (f"On the test {found.verdict()}.",))]
