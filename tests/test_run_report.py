"""The report and the card of runs of any task."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rondo.data.batch import Batch
from rondo.measures.intervals import wilson
from rondo.report.run_input import Examined, RunInput
from rondo.report.run_report import write_report
from rondo.tasks.registry import definition_of
from rondo.training.engine import Engine
from rondo.training.fit import fit
from rondo.training.request import Request
from rondo.training.session import Session, begin
from rondo.training.task import Shown


def trained(folder: Path, task: str, **recipe: object) -> Session:
    small = {"num_sequences": 32, "check_every": 16, "batch_size": 8, "hidden_size": 4, **recipe}
    definition = definition_of(task)
    session = begin(definition, Request(recipe=small, threads=1), folder, lambda text: None)
    fit(session, say=lambda text: None)
    return session


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, RunInput]:
    session = trained(tmp_path_factory.mktemp("adding") / "run", "adding")
    return session, write_report(session, ("A note.",))


def test_the_examples_of_the_test_add_up_to_its_figures(adding: tuple[Session, RunInput]) -> None:
    _, report = adding
    losses = torch.tensor([one.loss for one in report.examined], dtype=torch.float64)
    assert len(losses) == report.test["num_examples"] == 2000
    assert float(losses.mean()) == pytest.approx(report.test["loss"], rel=1e-5)
    assert report.right == wilson(report.test["right"] * 2000, 2000)


def test_losses_of_steps_are_means_over_the_steps_of_each_sequence(tmp_path: Path) -> None:
    session = trained(tmp_path / "run", "parity")
    model = session.folder.read_model()
    engine = Engine(session.config, session.task, lambda: model)
    batch, _, losses, right = next(engine.examine(session.task.source.test_batches()))
    assert batch.lengths is not None
    assert right is not None
    with torch.no_grad():
        outputs, _ = model.eval()(batch.inputs, None, lengths=batch.lengths)
    steps = int(batch.lengths[3])
    wanted = torch.nn.functional.cross_entropy(outputs[3, :steps], batch.targets[3, :steps])
    assert float(losses[3]) == pytest.approx(float(wanted), rel=1e-5)


def test_the_page_holds_the_figures_and_examples(adding: tuple[Session, RunInput]) -> None:
    session, report = adding
    page = session.folder.report_file.read_text()
    assert f"{report.test['loss']:.4f}" in page
    assert f"{100 * report.test['right']:.1f}" in page
    assert page.count("<figure") == 12
    assert "A note." in page
    assert "Short and long" in page
    assert "http" not in re.sub(r"http://www.w3.org/[\w/.]*", "", page)


def test_short_and_long_sequences_are_told_apart(adding: tuple[Session, RunInput]) -> None:
    _, report = adding
    groups = report.by_length()
    assert sum(group.num_examples for group in groups) == 2000
    assert groups[0].shortest == 100
    assert groups[-1].longest == 110
    assert all(a.longest < b.shortest for a, b in pairwise(groups))


def test_sequences_of_one_length_are_no_groups(tmp_path: Path) -> None:
    session = trained(tmp_path / "run", "copy")
    assert write_report(session).by_length() == []
    assert "Short and long" not in session.folder.report_file.read_text()


def test_a_mark_in_an_example_cannot_break_the_page(adding: tuple[Session, RunInput]) -> None:
    from dataclasses import replace

    from rondo.report.run_page import render_run

    _, report = adding
    shown = Shown("<b>", "<script>alert(1)</script>", "<i>")
    one = Examined(1e9, 0.0, 5, shown)
    page = render_run(replace(report, examined=[one, *report.examined]))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_card_names_the_figures_and_the_data(adding: tuple[Session, RunInput]) -> None:
    session, report = adding
    card = session.folder.card_file.read_text()
    assert card.startswith("# Model card: add two marked numbers")
    assert f"{report.test['loss']:.4f}" in card
    assert "draws" in card


def test_examples_that_show_people_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    session = trained(tmp_path / "run", "adding")
    hidden = replace(session, task=replace(session.task, may_be_shown=False))
    report = write_report(hidden)
    assert not report.worst()
    assert "<figure" not in session.folder.report_file.read_text()


@pytest.mark.parametrize("task", ["temporal-order-6b", "reber", "copy", "parity", "multiplication"])
def test_examples_of_every_drawn_task_can_be_shown(task: str) -> None:
    definition = definition_of(task)
    made = definition.make_task(definition.options())
    batch: Batch = next(iter(made.source.test_batches()))
    assert made.show is not None
    final = batch.targets.ndim == 1 or batch.inputs.ndim > batch.targets.ndim + 1
    steps = () if made.final or final else (batch.inputs.shape[1],)
    outputs = torch.zeros(len(batch.inputs), *steps, made.output_size)
    shown = made.show(outputs, batch, 1)
    assert shown.wanted
    assert shown.answered
