"""Runs on photos of any classes: what they keep, answer, and say of themselves."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import Run
from drawn_classes import class_names, draw_shape, write_classes
from photo_runs import (
    SIZE,
    TinyNetwork,
    add_network,
    class_data,
    new_run,
    photo_data,
    run_config,
    trained_run,
)
from rondo.errors import RunError
from rondo.looks.saliency import evidence, saliency
from rondo.measures.calibration import Temperature
from rondo.report.page import page_of
from rondo.tasks.photo.answers import EXPECTS, NO_BASIS, Predictor
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.evaluation import evaluate
from rondo.tasks.photo.report.build import render_report
from rondo.tasks.photo.report.card import render_card
from rondo.tasks.photo.report.classes import MOST_SHOWN, confusions, scores
from rondo.tasks.photo.report.input import ReportInput
from rondo.tasks.photo.report.tables import accuracy_table, detail_table
from rondo.tasks.photo.table import page
from rondo.training.run_folder import RunFolder
from rondo.web.photo import about, look
from web_pages import SweepingNetwork, portrait, predictor_of

TODAY = date(2026, 1, 31)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    add_network(monkeypatch, TinyNetwork)


def report_of(classes: tuple[str, ...], *, wrong: int = 2) -> ReportInput:
    """The report of a run in which so many answers on every split are wrong."""
    data = class_data(classes)
    probabilities = {}
    for split, photos in data.items():
        answers = photos.labels.clone()
        answers[:wrong] = (answers[:wrong] + 1) % len(classes)
        sure = nn.functional.one_hot(answers, len(classes)).double()
        probabilities[split] = 0.6 * sure + 0.4 / len(classes)
    others = {split: found for split, found in probabilities.items() if split != "train"}
    return ReportInput(
        run_config(data, source="photos"),
        [],
        data,
        others,
        {split: evaluate(found, data[split]) for split, found in others.items()},
        TinyNetwork(num_classes=len(classes)),
        Temperature(),
        trials={},
        arguments={},
    )


def letters(number: int) -> tuple[str, ...]:
    return tuple(f"class {index:02}" for index in range(number))


# --- looking into networks


def test_saliency_of_two_classes_is_that_of_the_difference_of_the_logits() -> None:
    model, pixels = TinyNetwork().eval(), photo_data()["test"].pixels
    images = pixels.float().requires_grad_()
    logits = model(images)
    (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), images)
    expected = gradient.abs().sum(1)
    maps = saliency(model, pixels)  # for 32 pixels smoothed over 3 x 3
    smooth = expected.unsqueeze(1)
    for _ in range(3):
        smooth = nn.functional.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)
    expected = (smooth / smooth.sum((2, 3), keepdim=True)).squeeze(1)
    torch.testing.assert_close(maps, expected)


class Halves(nn.Module):
    """Three classes: one for the left half, one for the right, one that is never likely."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def evidence_map(self, photos: Tensor) -> Tensor:
        grey = self.weight * photos.mean(1, keepdim=True) / 100
        left, right = grey.clone(), grey.clone()
        left[..., photos.shape[-1] // 2 :] = 0
        right[..., : photos.shape[-1] // 2] = 0
        return torch.cat((left, right, grey * 0 - 9), 1)

    def forward(self, photos: Tensor) -> Tensor:
        return self.evidence_map(photos).mean((2, 3))


def test_evidence_of_more_classes_is_for_the_answer_against_the_second_likeliest() -> None:
    pixels = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    pixels[..., : SIZE // 2] = 200
    pixels[..., SIZE // 2 :] = 50
    maps = evidence(Halves(), pixels)
    assert maps is not None
    assert maps[0, :, 2].min() == pytest.approx(2.0)
    assert maps[0, :, -3].max() == pytest.approx(-0.5)
    looked = saliency(Halves(), pixels)[0]
    assert looked[:, : SIZE // 2 - 2].mean() > 0


# --- answers


def test_a_run_answers_with_the_classes_beside_its_weights(tmp_path: Path) -> None:
    classes = letters(7)
    data = class_data(classes)
    network = TinyNetwork(num_classes=7)
    folder = trained_run(tmp_path / "run", run_config(data), network, data)
    assert folder.read_model_and_origin()[1]["classes"] == list(classes)
    predictor = Predictor(folder.path)
    draw_shape("red star", 1).save(tmp_path / "a.png")
    (found, missing) = predictor.predict([str(tmp_path / "a.png"), tmp_path / "b.png"])
    assert found.probabilities is not None
    assert tuple(found.probabilities) == classes
    assert found.answer == max(found.probabilities, key=found.probabilities.__getitem__)
    assert found.guesses.count(" %") == 5
    assert found.guesses.startswith(f"{found.answer} ")
    assert missing.error is not None
    assert missing.guesses == ""
    assert predictor.notes == (
        "It gives one of its 7 classes to any picture, also to one that shows none of them.",
    )
    (unsure,) = Predictor(folder.path, min_confidence=1.0).predict([tmp_path / "a.png"])
    assert unsure == replace(found, answer=None)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(SEXES, (EXPECTS, NO_BASIS)), (("child", "man", "woman"), (NO_BASIS,))],
)
def test_answers_about_people_keep_their_warning(
    tmp_path: Path, classes: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    data = class_data(classes)
    config = run_config(data, source="photos")
    folder = trained_run(tmp_path / "run", config, TinyNetwork(num_classes=len(classes)), data)
    assert Predictor(folder.path).notes == expected


def test_weights_without_classes_are_refused(tmp_path: Path) -> None:
    config = run_config(photo_data())
    folder = new_run(tmp_path / "run", config)
    folder.write_weights(TinyNetwork().state_dict(), {"model": "tiny", "arguments": {}})
    with pytest.raises(RunError, match=r"do not say which classes they know.*: train again"):
        Predictor(folder.path)


def test_the_page_of_rondo_web_shows_the_likeliest_of_many_classes() -> None:
    predictor = predictor_of(SweepingNetwork(), class_data(letters(2)))
    assert look(predictor, portrait())["answer"] in letters(2)
    told = about(predictor)
    assert told is not None
    assert (told["is_of_people"], told["has_drawings"], told["num_classes"]) == (False, False, 2)
    many = predictor_of(TinyNetwork(num_classes=9), class_data(letters(9)))
    found = look(many, portrait())
    assert len(found["probabilities"]) == 5
    assert found["probabilities"][0] == (found["answer"], found["probability"])
    shares = [share for _, share in found["probabilities"]]
    assert shares == sorted(shares, reverse=True)


# --- the page, the card and the tables


def test_the_whole_confusion_of_a_few_classes_is_shown() -> None:
    report = report_of(letters(MOST_SHOWN))
    assert report.title == "Telling 30 classes apart in photos"
    shown = confusions(report)
    assert shown.count("<td style='--share:") == MOST_SHOWN**2
    assert "class 00 taken for class 01: 1 of 2" in shown
    assert scores(report).count("<th>class 29</th>") == 1


def test_of_many_classes_those_are_shown_that_are_confused() -> None:
    report = report_of(letters(MOST_SHOWN + 1))
    shown, told = confusions(report), scores(report)
    assert "class='map'" not in shown
    assert "<tr><th>class 00</th><td>class 01</td><td>1</td><td>50.0\N{NO-BREAK SPACE}%" in shown
    assert "the 20 with the smallest F1 are shown" in told
    assert "<th>class 00</th><td>2</td><td>100.0</td><td>50.0</td><td>66.7</td>" in told
    assert told.count("<tr>") == 1 + 20 + 1


def test_answers_that_are_all_right_are_told() -> None:
    shown = confusions(report_of(letters(MOST_SHOWN + 1), wrong=0))
    assert "Nothing for anything else: every answer is right." in shown


@pytest.mark.parametrize(
    ("classes", "warns", "shows"),
    [
        (("cat", "dog", "fox"), False, True),
        (("cat", "dog"), False, True),
        (SEXES, True, False),
        (("child", "man", "woman"), True, False),
    ],
)
def test_people_are_warned_of_and_never_shown(
    classes: tuple[str, ...], warns: bool, shows: bool
) -> None:
    report = report_of(classes)
    page, card = render_report(report), render_card(report, TODAY)
    for text in (page, card):
        assert ("Never to decide anything about a person" in text) is warns
        assert ("also to one that shows none of them" in text) is not warns
    assert ("The most doubtful photos" in page) is shows
    assert ("This page holds pictures of the test data" in page) is shows
    assert page.count("data:image/png") == (num_shown(report) if shows else 0) + 1


def num_shown(report: ReportInput) -> int:
    """Three pictures each of some photos, and of doubtful and wrong ones."""
    num_test = min(8, len(report.data["test"]))
    num_wrong = 2 if len(report.classes) > 2 else 0
    return 3 * (2 * num_test + num_wrong)


NASTY = ("<b>$x$", "a|b`", "{body}", "\u4e2d\u6587 & co")


def test_names_of_classes_are_shown_as_they_are() -> None:
    report = report_of(NASTY)
    page, card = render_report(report), render_card(report, TODAY)
    assert "&lt;b&gt;$x$" in page
    assert "<b>$x$" not in page
    assert "{body}" in page
    assert "\u4e2d\u6587 &amp; co" in page
    assert "a\\|b\\`" in card
    assert page.count("<!doctype html>") == 1


def test_a_title_is_put_in_once() -> None:
    page = page_of("{body}", "<p>{title}</p>")
    assert "<title>{body}</title>" in page
    assert "<p>{title}</p>" in page


def test_a_card_tells_the_figures_of_the_classes() -> None:
    card = render_card(report_of(letters(31)), TODAY)
    assert card.startswith("# Model card: telling 31 classes apart in photos")
    assert "| class 00 | 2 | 100.0 | 50.0 | 66.7 |" in card
    assert "| class 00 | class 01 | 1 | 50.0 % |" in card
    assert "| mean over the classes |  |" in card
    assert "## Classes" not in render_card(report_of(SEXES), TODAY)
    many = render_card(report_of(letters(60)), TODAY)
    assert "one of 60 classes (class 00, " in many
    assert "class 49, and 10 more in `config.json`)" in many


def test_tables_for_a_terminal() -> None:
    few, many = report_of(letters(3)).unseen, report_of(letters(31)).unseen
    assert "of five" not in accuracy_table(few)
    assert "mean F1" in accuracy_table(few)
    assert "of five" in accuracy_table(many)
    lines = detail_table(few["test"]).splitlines()
    assert lines[0].split("  ")[0] == "labelled"
    assert re.search(r"class 00 +1 +1 +0$", lines[1])
    lines = detail_table(many["test"]).splitlines()
    assert lines[0].split() == ["labelled", "taken", "for", "times", "of", "that", "label"]
    assert re.search(r"class 00 +2 +100\.0 +50\.0 +66\.7$", "\n".join(lines), re.MULTILINE)
    assert "of many classes those with the smallest F1 are shown; --json gives all" in lines


def test_groups_and_notes_of_the_data_stand_on_the_page_and_the_card() -> None:
    report = report_of(letters(7))
    train = replace(report.data["train"], notes=("1 class has <few> photos",))
    report = replace(report, data={**report.data, "train": train})
    page, card = render_report(report), render_card(report, TODAY)
    assert "<li>1 class has &lt;few&gt; photos</li>" in page
    assert "- 1 class has \\<few\\> photos." in card
    assert {"one", "two"} == set(report.unseen["test"].by_groups["group"])
    assert "test, by group" in page
    share = report.unseen["test"].top_5
    assert share is not None
    assert f"{100 * share.value:.1f} % are among the five likeliest" in page


@pytest.mark.parametrize(("classes", "warns"), [(SEXES, True), (("cat", "dog"), False)])
def test_a_table_of_networks_warns_of_what_judges_people(
    classes: tuple[str, ...], warns: bool
) -> None:
    text = page((), "10 epochs", "<svg></svg>", classes)
    assert ("Never to decide anything about a person" in text) is warns
    assert ("Networks that predict a person's sex from a photo" in text) is warns
    assert ("Networks that name the class of a photo" in text) is not warns


# --- the commands


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "shapes", 6, 12)


def trained(rondo: Run, *words: str) -> tuple[int, str, str]:
    return rondo(
        *("train", "photo", "--model", "cnn_1", "--image-size", str(SIZE), "--epochs", "1"),
        *("--batch-size", "16", "--threads", "1", "--run", "runs/one", *words),
    )


def values_of(rondo: Run, *words: str) -> Any:
    code, out, err = rondo(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_run_on_own_classes_is_trained_measured_and_used(
    rondo: Run, shapes: Path, tmp_path: Path
) -> None:
    code, out, err = trained(rondo, "--data", "shapes", "--recipe", "unmirrored")
    assert code == 0, err
    names = class_names(6)
    assert "train 60, val 6, test 6 at 32 px" in err
    assert "of five" in out
    folder = RunFolder(tmp_path / "runs" / "one", PHOTO)
    origin = folder.read_model_and_origin()[1]
    assert origin["classes"] == names
    assert origin["arguments"]["num_classes"] == 6
    found = values_of(rondo, "evaluate", "last")["test"]
    assert [score["name"] for score in found["scores"]] == names
    assert found["top_5"]["num_photos"] == 6
    assert len(found["confusion"]) == 6
    code, out, _ = rondo("evaluate", "last", "--split", "test")
    assert "mean over the classes" in out
    picture = shapes / names[0] / "0.png"
    code, out, _ = rondo("predict", "last", str(picture))
    header, line, note = out.splitlines()
    assert header.split() == ["answer", "photo:", "likeliest", "classes"]
    assert any(line.startswith(f"{name} ") for name in names)
    assert line.count(" %") == 5
    assert note.startswith("It gives one of its 6 classes to any picture")
    (answer,) = values_of(rondo, "predict", "last", str(picture))["predictions"]
    assert list(answer["probabilities"]) == names
    assert sorted(answer) == ["answer", "error", "probabilities", "probability", "source"]
    _, out, _ = rondo("predict", "last", str(picture), "--csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["answer"] == answer["answer"]


def test_other_data_of_some_of_the_classes_are_measured(
    rondo: Run, shapes: Path, tmp_path: Path
) -> None:
    assert trained(rondo, "--data", "shapes")[0] == 0
    names = class_names(6)
    for name in names[:2]:
        (tmp_path / "other" / name).mkdir(parents=True)
        draw_shape(name, 77).save(tmp_path / "other" / name / "0.png")
    found = values_of(rondo, "evaluate", "last", "--data", "other")
    assert [score["support"] for score in found["test"]["scores"]] == [1, 1, 0, 0, 0, 0]
    (tmp_path / "other" / names[1]).rename(tmp_path / "other" / "pink cube")
    code, _, err = rondo("evaluate", "last", "--data", "other")
    assert code == 2
    assert err.splitlines()[-1].endswith("it knows no 'pink cube'")
    code, _, err = rondo("evaluate", "last", "--data", "drawn")
    assert code == 2
    assert "the drawings show female and male faces, but the run learnt" in err


def test_an_interrupted_run_goes_on_with_its_classes(
    rondo: Run, shapes: Path, tmp_path: Path
) -> None:
    assert trained(rondo, "--data", "shapes")[0] == 0
    code, _, err = rondo("train", "photo", "--resume", "runs/one")
    assert code == 0, err
    (shapes / class_names(6)[0]).rename(shapes / "renamed")
    code, _, err = rondo("train", "photo", "--resume", "runs/one")
    assert code == 2
    assert "are not those that the run runs/one began with" in err


@pytest.mark.parametrize("words", [("--data", "shapes"), ("--data", "shapes", "--layout", "csv")])
def test_data_that_cannot_be_learnt_are_refused_in_one_line(
    rondo: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_classes(tmp_path / "shapes", 1, 4)
    code, _, err = trained(rondo, *words)
    assert code == 2
    assert re.match(r"rondo: cannot use the data .*shapes: .*(one class only|looked for labels)",
        err.splitlines()[-1])  # fmt: skip
    assert not (tmp_path / "runs").exists()
