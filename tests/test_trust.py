"""What a finished run says of itself: its temperature, its card, its report, its commands."""

import json
import os
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rondo as rondo_package
from commands import Run, check_answered_in_one_line
from photo_runs import (
    SHORT,
    SIZE,
    TinyNetwork,
    add_network,
    photo_data,
    photo_set,
    run_config,
    session_of,
    trained_run,
)
from rondo.errors import RunError
from rondo.looks.sweeps import sweeps
from rondo.measures.calibration import Temperature, fit_temperature, temper
from rondo.measures.corruptions import CORRUPTIONS
from rondo.measures.intervals import percent
from rondo.tasks.photo.answers import Predictor
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.report.build import render_report
from rondo.tasks.photo.report.card import render_card
from rondo.tasks.photo.report.finish import evaluate_splits, finish, predict_splits
from rondo.tasks.photo.report.input import ReportInput
from rondo.tasks.photo.report.looks import mean_sweeps
from rondo.tasks.photo.sets import PhotoSet
from rondo.tasks.photo.task import PhotoSource
from rondo.training.run_folder import RunFolder
from rondo.training.session import Session
from test_report import pictures, report_input

TODAY = date(2026, 1, 31)


class Bright(nn.Module):
    """Answers by the brightness, and is very sure."""

    def __init__(self, **_unused: object) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(120.0))

    def forward(self, photos: Tensor) -> Tensor:
        z = (photos.mean((1, 2, 3)) - self.threshold) / 5
        return torch.stack((-z, z), dim=1)


class Swept(nn.Module):
    """A tiny network of two spatial layers."""

    def __init__(self, **_unused: object) -> None:
        super().__init__()
        cell = rondo_package.ElmanCell
        self.first = rondo_package.SpatialRNN(8, cell, input_channels=3, hidden_size=2)
        self.second = rondo_package.SpatialRNN(2, cell, input_channels=4, hidden_size=2)
        self.head = nn.Linear(4, 2)

    def forward(self, photos: Tensor) -> Tensor:
        return self.head(self.second(self.first(photos / 128)).mean((2, 3)))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    add_network(monkeypatch, TinyNetwork)
    add_network(monkeypatch, Bright, "bright")


def data_with_val(num_val: int) -> dict[str, PhotoSet]:
    """Photos of which brightness tells the label, but for every fifth."""
    data = {**photo_data(), "val": photo_set("val", num_val)}
    return {
        name: replace(one, labels=one.labels ^ (torch.arange(len(one)) % 5 == 4).long())
        for name, one in data.items()
    }


def session_in(path: Path, data: dict[str, PhotoSet], *, source: str = "drawn") -> Session:
    """A run that answers by brightness."""
    config = run_config(data, source=source, model="bright")
    return session_of(trained_run(path, config, Bright(), data), data)


def photos_of(session: Session) -> dict[str, PhotoSet]:
    """The photos of a run, by split."""
    assert isinstance(session.task.source, PhotoSource)
    return dict(session.task.source.data)


def ignore(text: str) -> None:
    """Says nothing."""


# --- the temperature of a run


def test_the_temperature_is_fitted_on_val_alone(tmp_path: Path) -> None:
    data = data_with_val(120)
    session = session_in(tmp_path / "run", data)
    evaluations = finish(session, ignore)
    probabilities = predict_splits(session.folder.read_model(), session.config, data)
    expected = fit_temperature(probabilities["val"], data["val"].labels)
    assert expected.is_fitted
    assert expected.value > 3
    assert session.folder.read_temperature() == expected
    assert {item.temperature for item in evaluations.values()} == {expected.value}
    val = evaluations["val"]
    assert val.calibration.loss < val.before.loss
    other = {**data, "test": replace(data["test"], labels=1 - data["test"].labels)}
    finish(session_of(session.folder, other), ignore)
    assert session.folder.read_temperature() == expected


def test_predictions_and_evaluation_have_the_same_temperature(tmp_path: Path) -> None:
    data = photo_data()
    session = session_in(tmp_path / "run", data)
    session.folder.write_temperature(Temperature(2.0, 120, 1.5, 2.5, ""))
    predictor = Predictor.load(session.folder.path)
    pixels = data["test"].pixels
    plain = predict(session.folder.read_model(), pixels, mirror=SHORT.mirror, precision="float32")
    assert plain is not None
    torch.testing.assert_close(predictor.probabilities(pixels), temper(plain, 2.0))


def test_a_run_of_before_temperatures_answers_as_ever(tmp_path: Path) -> None:
    session = session_in(tmp_path / "run", photo_data())
    assert not session.folder.calibration_file.exists()
    predictor = Predictor.load(session.folder.path)
    assert predictor.temperature == 1.0
    pixels = photos_of(session)["test"].pixels
    plain = predict(predictor.model, pixels, mirror=SHORT.mirror, precision="float32")
    assert predictor.probabilities(pixels).equal(plain)


@pytest.mark.parametrize("labels", ["one photo", "one class"])
def test_tiny_data_are_finished(tmp_path: Path, labels: str) -> None:
    data = data_with_val(1)
    if labels == "one class":
        data = {
            name: replace(one, labels=torch.zeros_like(one.labels)) for name, one in data.items()
        }
    session = session_in(tmp_path / "run", data)
    finish(session, ignore)
    assert session.folder.read_temperature().value == 1.0
    assert "temperature 1, none fitted: val holds 1 photos" in (
        session.folder.report_file.read_text().lower()
    )
    assert "none fitted" in session.folder.card_file.read_text()


# --- the model card


def tables_of(text: str) -> list[list[list[str]]]:
    """The tables of a page of Markdown, as rows of cells, without the line below the head."""
    found = re.findall(r"(?:^\|.*\|\n?)+", text, flags=re.MULTILINE)
    split = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for table in found
    ]
    for head, line, *rows in split:
        assert set(line) == {"---"}
        assert {len(row) for row in rows} == {len(head)}
    return [[head, *rows] for head, _, *rows in split]


def section(text: str, title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return found


def finished(tmp_path: Path, source: str = "drawn") -> tuple[Session, str]:
    session = session_in(tmp_path / "run", data_with_val(120), source=source)
    finish(session, ignore)
    return session, session.folder.card_file.read_text()


def test_the_card_has_the_figures_that_are_measured(tmp_path: Path) -> None:
    session, text = finished(tmp_path)
    value = session.folder.read_temperature().value
    predicted = predict_splits(session.folder.read_model(), session.config, photos_of(session))
    evaluations = evaluate_splits(predicted, photos_of(session), value)
    splits, by_test, by_cross = tables_of(section(text, "Accuracy"))
    for name, num_photos, accuracy, majority in splits[1:]:
        item = evaluations[name]
        assert int(num_photos) == item.accuracy.num_photos
        assert accuracy == percent(item.accuracy)
        assert majority == f"{100 * item.majority_rate:.1f} %"
    assert [row[0] for row in splits[1:]] == ["val", "test", "cross"]
    for table, name in ((by_test, "test"), (by_cross, "cross")):
        expected = [
            [title, key, str(share.num_photos), percent(share)]
            for title, shares in evaluations[name].parts().items()
            for key, share in shares.items()
        ]
        assert table[1:] == expected
        assert {row[0] for row in table[1:]} == {"label", "source", "age", "group"}
    (figures,) = tables_of(section(text, "Calibration"))
    test = evaluations["test"]
    assert figures[2][:2] == [
        "test",
        f"{100 * test.before.error:.1f} -> {100 * test.calibration.error:.1f}",
    ]
    assert f"Temperature {value:.2f} (" in section(text, "Calibration")
    (bad,) = tables_of(section(text, "Pictures that are bad"))
    assert len(bad) == 1 + 2 * (1 + 3 * len(CORRUPTIONS))
    (given,) = tables_of(section(text, "Leaving doubtful pictures unanswered"))
    assert len(given) == 1 + 2 * 6


def test_the_card_counts_the_data_and_names_versions_and_date(tmp_path: Path) -> None:
    session, text = finished(tmp_path)
    (counts,) = tables_of(section(text, "Data"))
    assert counts[1:] == [
        [name, str(len(one)), str(int((one.labels == 0).sum())), str(int(one.labels.sum()))]
        for name, one in photos_of(session).items()
    ]
    assert session.config.data_fingerprint in text
    assert f"rondo {rondo_package.__version__}" in text
    assert f"Date of this card: {date.today().isoformat()}" in text
    uses = section(text, "What it must not be used for")
    assert "Never to decide anything about a person" in uses
    assert "Apache-2.0" in section(text, "Data")


def test_the_card_of_photos_tells_no_path_and_asks_for_the_licence(tmp_path: Path) -> None:
    _, text = finished(tmp_path, source="/home/maria/faces")
    assert "maria" not in text
    assert "folder named faces," in text
    assert "Rondo does not know their licence" in text
    assert "drawings" not in text


def test_names_from_outside_are_no_markdown() -> None:
    name = "a | [b](http://x) <i>*c*\n# d"
    report = report_input("photos")
    data = {
        split: replace(photos, photos=tuple(replace(one, source=name) for one in photos.photos))
        for split, photos in report.data.items()
    }
    text = render_card(replace(report, data=data), TODAY)
    assert r"a \| \[b\](http://x) \<i\>\*c\* \# d" in text
    assert name not in text


def test_the_card_names_other_versions_that_measured() -> None:
    report = report_input()
    old = replace(report.config, versions={"rondo": "0.0.1"})
    text = render_card(replace(report, config=old), TODAY)
    assert "Trained with: rondo 0.0.1." in text
    assert f"Measured with: rondo {rondo_package.__version__}" in text
    assert "Date of this card: 2026-01-31" in text


def test_a_card_without_trials_has_no_section_on_them() -> None:
    assert "Pictures that are bad" not in render_card(report_input(), TODAY)


# --- the report


def swept_report(source: str) -> ReportInput:
    return replace(report_input(source), model=Swept())


def test_sweeps_of_photos_are_shown_as_means_alone() -> None:
    page = render_report(swept_report("photos"))
    assert "layer first, 4 x 4 blocks" in page
    assert "layer second, 2 x 2 blocks" in page
    assert [one.size for one in pictures(page)[1:]] == [(4, 4)] * 4 + [(2, 2)] * 4


def test_the_mean_sweeps_are_those_of_all_pictures() -> None:
    model, pixels = Swept(), photo_set("test", 70).pixels
    every = [sweeps(model, one.unsqueeze(0)) for one in pixels]
    for index, mean in enumerate(mean_sweeps(model, pixels)):
        expected = torch.cat([of_one[index].strength for of_one in every]).mean(0, keepdim=True)
        torch.testing.assert_close(mean.strength, expected)
    assert len(mean_sweeps(TinyNetwork(), pixels)) == 0


def test_a_predictor_refuses_what_is_no_confidence(tmp_path: Path) -> None:
    session = session_in(tmp_path / "run", photo_data())
    with pytest.raises(RunError, match=r"must be from 0 to 1, as 0\.9, but is 2"):
        Predictor(session.folder.path, min_confidence=2)


def test_sweeps_of_drawings_are_shown_for_some_of_them() -> None:
    page = render_report(swept_report("drawn"))
    swept = pictures(page)[-(8 + 4 * 9) :]
    assert [one.size for one in swept[8:17]] == [(SIZE, SIZE)] + [(4, 4)] * 4 + [(2, 2)] * 4


def test_a_network_without_sweeps_says_so() -> None:
    assert "no layers that sweep over the picture" in render_report(report_input())


def test_the_report_shows_calibration_coverage_and_bad_pictures(tmp_path: Path) -> None:
    session, _ = finished(tmp_path)
    page = session.folder.report_file.read_text()
    for name in ("confidence", "coverage", "corruptions"):
        assert re.search(rf"<svg [^>]*aria-label=\"[^\"]*{name}", page)
    assert "without temperature" in page
    assert page.count("<th>blur 1 %</th>") == 2


# --- the commands


@pytest.fixture
def last_run(rondo: Run, tmp_path: Path) -> Path:
    code, _, err = rondo(
        *("train", "photo", "--num-drawn", "16", "--image-size", str(SIZE), "--model", "tiny"),
        *("--epochs", "1", "--batch-size", "8", "--threads", "1", "--run", "runs/one"),
    )
    assert code == 0, err
    return tmp_path / "runs" / "one"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict one a.png --min-confidence 1.5", r"must be from 0 to 1, as 0\.9, but is 1\.5"),
        (
            "predict one a.png --min-confidence sure",
            "must be a number, but is 'sure'",
        ),
        ("evaluate one --min-confidence -1", r"must be from 0 to 1, as 0\.9, but is -1"),
        ("evaluate one --min-confidence nan", r"must be from 0 to 1, as 0\.9, but is nan"),
        ("evaluate one --robust", "did you mean '--robustness'"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    trained_run(tmp_path / "one", run_config(photo_data()))
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_a_doubtful_photo_is_not_answered(rondo: Run, last_run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    photo_image(picture)
    code, out, _ = rondo("predict", "last", "a.png", "--min-confidence", "1")
    assert code == 0
    assert out.splitlines()[1].startswith("not sure ")
    assert out.splitlines()[1].count(" %") == 2
    _, out, _ = rondo("predict", "last", "a.png", "--min-confidence", "1", "--json")
    (doubtful,) = json.loads(out)["predictions"]
    _, out, _ = rondo("predict", "last", "a.png", "--min-confidence", "0.5", "--json")
    (sure,) = json.loads(out)["predictions"]
    assert sure["answer"] in ("female", "male")
    assert doubtful == {**sure, "answer": None}


def photo_image(path: Path) -> None:
    from PIL import Image

    Image.fromarray(photo_data()["test"].pixels[0].permute(1, 2, 0).numpy()).save(path)


def test_evaluation_tells_what_is_answered_and_how_bad_photos_do(
    rondo: Run, last_run: Path
) -> None:
    code, out, err = rondo("evaluate", "last", "--min-confidence", "0.6", "--robustness")
    assert code == 0
    assert "answers of a confidence of 0.6 or more" in out
    assert "test, 8 photos" in out
    assert "val, 8 photos" not in out
    assert "measuring cross under" in err
    words = ("--min-confidence", "0.6", "--robustness", "--json", "--split", "val")
    values = json.loads(rondo("evaluate", "last", *words)[1])["val"]
    assert values["answered"]["min_confidence"] == 0.6
    assert values["temperature"] == 1.0
    assert values["calibration"]["error"] == values["before"]["error"]
    assert len(values["robustness"]) == 1 + 3 * len(CORRUPTIONS)


def test_a_damaged_temperature_is_told_and_made_again(rondo: Run, last_run: Path) -> None:
    (last_run / "calibration.json").write_text("{")
    for words in (("evaluate", "last"), ("predict", "last", "a.png")):
        code, _, err = rondo(*words)
        assert code == 2
        assert re.search(r"calibration.json cannot be used: .*--resume runs/one` makes it", err)
    assert rondo("train", "photo", "--resume", "last")[0] == 0
    assert rondo("evaluate", "last")[0] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_that_cannot_be_written_is_evaluated(rondo: Run, last_run: Path) -> None:
    last_run.chmod(0o555)
    try:
        assert rondo("evaluate", "last")[0] == 0
        code, _, err = rondo("train", "photo", "--resume", "last")
    finally:
        last_run.chmod(0o755)
    assert code == 2
    assert "Permission denied; nothing saved before is lost" in err


def test_a_full_disk_at_the_end_is_told_in_one_line(
    rondo: Run, last_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: RunFolder, *args: object) -> None:
        raise OSError(28, "No space left on device", "calibration.json")

    monkeypatch.setattr(RunFolder, "write_temperature", write)
    code, _, err = rondo("train", "photo", "--resume", "last")
    assert code == 2
    assert err.splitlines()[-1] == (
        "rondo: calibration.json: No space left on device; nothing saved before is lost"
    )
