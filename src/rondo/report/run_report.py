"""The end of a run of any task: its test example by example, its report and its model card."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from torch import Tensor

from rondo.cells.named import num_parameters
from rondo.report.run_card import render_run_card
from rondo.report.run_input import Examined, RunInput, lengths_of
from rondo.report.run_page import render_run
from rondo.system.files import write_text
from rondo.training.engine import Engine
from rondo.training.session import Session


def write_report(session: Session, notes: tuple[str, ...] = ()) -> RunInput:
    """Writes the report and the model card of a finished run.

    Args:
        session: The run.
        notes: What to tell with it.

    Returns:
        What they are made of.

    Raises:
        RunError: If the weights cannot be read.
    """
    folder, task = session.folder, session.task
    model = folder.read_model()
    engine = Engine(session.config, task, lambda: model)
    report = RunInput(
        summary=session.definition.summary,
        config=session.config,
        task=task,
        records=folder.read_metrics(),
        examined=list(examined(engine)),
        num_parameters=num_parameters(model),
        notes=notes,
    )
    write_text(folder.report_file, render_run(report))
    write_text(folder.card_file, render_run_card(report, date.today()))
    return report


def examined(engine: Engine) -> Iterator[Examined]:
    """Yields the examples of the test with what the network makes of them."""
    task = engine.task
    for batch, outputs, losses, right in engine.examine(task.source.test_batches()):
        is_sequence = not task.is_on_accelerator and batch.inputs.ndim in (2, 3)
        lengths = lengths_of(batch.inputs, batch.lengths, is_sequence)
        for row, (loss, length) in enumerate(zip(losses.tolist(), lengths, strict=True)):
            can_be_shown = task.show is not None and task.may_be_shown
            shown = task.show(outputs, batch, row) if can_be_shown and task.show else None
            is_right = None if right is None else _share(right[row])
            yield Examined(loss / task.nats_per_unit, is_right, length, shown)


def _share(right: Tensor) -> float:
    """The share of an example that is right: of all its steps, where there are several."""
    return float(right.float().mean())
