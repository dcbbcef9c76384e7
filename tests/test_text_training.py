"""The task `text` from the command line: learning, resuming, evaluating, reading, wrong use."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Run, check_answered_in_one_line
from rondo import cli
from rondo.errors import RunError
from rondo.models.crnn import CRNN
from rondo.tasks.text import drawn as drawn_words
from rondo.tasks.text.answers import Decoding, Reader, edit_distance, read_lexicon
from rondo.tasks.text.words import load_words
from rondo.training.engine import Engine
from rondo.training.fit import fit
from rondo.training.optimising import learning_rate
from rondo.training.recipe import Recipe
from run_records import without_times
from small_runs import begun, resumed
from small_runs import folder_of as run_folder
from text_words import folder_of, picture, words_folder

TEXTS = ("xo", "oxx", "o", "xoxo", "oo", "皖")
SMALL = ("--channels", "8", "--hidden-size", "32", "--num-layers", "1", "--threads", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with words and a run that has learnt them by heart."""
    folder = tmp_path_factory.mktemp("text")
    words_folder(folder / "words", tuple(text.replace("皖", "H") for text in TEXTS))
    labels = folder / "words" / "labels.csv"
    written = labels.read_text(encoding="utf-8").replace("H", "皖")  # the font has no such letter
    labels.write_text(written, encoding="utf-8")
    words = [
        *("train", "text", "--data", str(folder / "words"), *SMALL, "--epochs", "150"),
        *("--batch-size", "6", "--distortion", "0", "--learning-rate", "0.015", "--dropout", "0"),
    ]
    assert cli.main([*words, "--run", str(folder / "run")]) == 0
    return folder


# --- learning


def test_words_are_learnt(trained: Path, rondo: Run) -> None:
    code, out, err = rondo("evaluate", str(trained / "run"), "--json")
    values = json.loads(out)
    assert code == 0
    assert list(values) == ["val", "test"]
    assert values["test"]["words"] == {
        "num_correct": 6, "num_photos": 6, "value": 1.0, "low": pytest.approx(0.6097, abs=1e-4),
        "high": 1.0,
    }  # fmt: skip
    assert values["test"]["character_error_rate"] == 0
    assert values["test"]["num_characters"] == 13
    assert values["test"]["wrong"] == []
    assert "train 6, val 6, test 6 words; none skipped" in err


def test_a_folder_becomes_a_table(trained: Path, rondo: Run) -> None:
    (trained / "words" / "zz.png").write_bytes(b"nothing")
    try:
        code, out, _ = rondo("predict", str(trained / "run"), str(trained / "words"), "--csv")
    finally:
        (trained / "words" / "zz.png").unlink()
    *rows, last = csv.DictReader(io.StringIO(out))
    assert code == 1
    assert len(rows) == 18
    for row in rows:
        number = int(Path(row["source"]).stem[-1])
        assert row["text"] == TEXTS[number]
        assert 0.5 < float(row["probability"]) <= 1
        assert row["error"] == ""
    assert last["text"] == ""
    assert "zz.png: is not a picture in one of the formats" in last["error"]


def test_a_table_of_no_pictures_has_its_first_line(
    trained: Path, rondo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, out, _ = rondo("predict", str(trained / "run"), "-", "--from-list", "--csv")
    assert (code, out) == (0, "source,text,probability,label,error\n")


def test_every_way_of_decoding(trained: Path, rondo: Run) -> None:
    run, image = str(trained / "run"), str(trained / "words" / "test3.png")
    Path("lexicon.txt").write_text("xo\nnever\n\nxoxx\n")
    answers = {}
    for words in ("", "--decoder beam", "--decoder beam --beam-width 3", "--lexicon lexicon.txt",
                  "--min-confidence 1"):  # fmt: skip
        code, out, _ = rondo("predict", run, image, "--json", *words.split())
        assert code == 0
        answers[words] = json.loads(out)["predictions"][0]
    plain = answers[""]
    assert plain["text"] == "xoxo"
    for words in ("--decoder beam", "--decoder beam --beam-width 3"):
        assert answers[words]["text"] == "xoxo"
        assert answers[words]["probability"] == pytest.approx(plain["probability"])
    assert answers["--lexicon lexicon.txt"]["text"] in ("xo", "xoxx")
    assert answers["--lexicon lexicon.txt"]["probability"] < 1 - plain["probability"] + 1e-6
    assert answers["--min-confidence 1"]["text"] is None
    code, out, _ = rondo("predict", run, image, "--min-confidence", "1")
    assert out.splitlines()[1].startswith("not sure ")


def test_a_picture_from_standard_input(
    trained: Path, rondo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (trained / "words" / "test1.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    _, out, _ = rondo("predict", str(trained / "run"), "-")
    head, line = out.splitlines()
    assert head.split() == ["text", "probability", "picture"]
    assert line.split()[0] == "oxx"
    assert line.endswith("standard input")


def test_other_data_with_characters_that_the_run_does_not_know(trained: Path, rondo: Run) -> None:
    rows = [("a.png", "xo", "train"), ("b.png", "xo", "val"), ("c.png", "xo", "test"),
            ("d.png", "xoZ", "test"), ("e.png", "oo", "test")]  # fmt: skip
    folder_of(Path("other"), rows)
    words = ("evaluate", str(trained / "run"), "--data", "other", "--split", "test")
    code, out, _ = rondo(*words)
    lines = out.splitlines()
    assert code == 0
    assert lines[1].split()[:5] == ["test", "3", "66.7", "%", "(20.8"]
    assert "test: the run has no output for Z" in lines
    assert lines[-1].split()[1] == "xoZ"
    assert lines[-1].endswith("d.png")
    values = json.loads(rondo(*words, "--json")[1])["test"]
    assert values["unknown_characters"] == "Z"
    assert values["num_characters"] == 7
    (wrong,) = values["wrong"]
    assert values["character_error_rate"] == edit_distance(wrong["text"], "xoZ") / 7


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_a_reading_does_not_depend_on_what_is_read_beside_it(trained: Path, decoder: str) -> None:
    reader = Reader.load(trained / "run", Decoding(decoder))
    columns = [word.columns for word in load_words(trained / "words").splits["test"]]
    wide = torch.randint(256, (400, 32)).byte()
    alone = [reader.texts([one])[0] for one in columns]
    beside = reader.texts([*columns, wide])[:-1]
    assert [text for text, _ in alone] == [text for text, _ in beside] == list(TEXTS)
    assert [p for _, p in alone] == pytest.approx([p for _, p in beside], rel=1e-3)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("abc", "", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("abc", "bcd", 2),
     ("aa", "a", 1)],
)  # fmt: skip
def test_the_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == distance


# --- a later start


def test_a_run_starts_from_an_earlier_one(trained: Path, tmp_path: Path) -> None:
    rows = [("a.png", "xZ", "train"), ("b.png", "xo", "val"), ("c.png", "x", "test")]
    data = str(folder_of(tmp_path / "other", rows))
    options = {"data": data, "start_from": str(trained / "run"), "epochs": 1}
    session = begun("text", tmp_path / "run", **options)
    assert session.task.symbols == "Zox皖"
    recipe = session.config.recipe
    assert (recipe.channels, recipe.hidden_size, recipe.num_layers) == (8, 32, 1)
    config = session.config.to_json()
    assert json.loads(config)["start_from"] == str(trained / "run")
    weights: list[dict[str, torch.Tensor]] = []
    step = Engine.train_step

    def train_step(self: Engine) -> None:
        weights.append({name: value.clone() for name, value in self.model.state_dict().items()})
        step(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "train_step", train_step)
        fit(session, say=lambda text: None)
    earlier = run_folder("text", trained / "run").read_model()
    assert isinstance(earlier, CRNN)
    before, after = earlier.state_dict(), weights[0]
    assert torch.equal(before["convolutions.3.weight"], after["convolutions.3.weight"])
    assert torch.equal(before["norms.3.running_var"], after["norms.3.running_var"])
    rows_there = [0, 1, 2, 3]  # blank, o, x, 皖
    assert torch.equal(before["joins.0.weight"][rows_there], after["joins.0.weight"][[0, 2, 3, 4]])
    again = resumed("text", tmp_path / "run")
    assert again.config == session.config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 8}, "cannot start from .*run: layers.0.* leave out --cell, --hidden-size"),
        ({"start_from": "nowhere"}, "cannot start from nowhere: there is no such run folder"),
    ],
)
def test_a_start_that_does_not_fit(
    trained: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given = {"data": str(trained / "words"), "start_from": str(trained / "run"), **options}

    def start() -> None:
        fit(begun("text", tmp_path / "run", **given), say=lambda text: None)

    with pytest.raises(RunError, match=message):
        start()


# --- resuming


def test_a_resumed_run_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words_folder(tmp_path / "words", ("ab", "b", "aab", "ba", "a"))
    options = {"data": str(tmp_path / "words"), "channels": 2, "hidden_size": 4,
               "num_layers": 1, "epochs": 3, "batch_size": 2}  # fmt: skip
    step = Engine.train_step

    def run(path: Path, stops: tuple[int, ...]) -> list[dict[str, Any]]:
        begun("text", path, **options)
        for stop_after in (*stops, 1000):
            left = [stop_after]

            def train_step(self: Engine, left: list[int] = left) -> None:
                step(self)
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGTERM)

            monkeypatch.setattr(Engine, "train_step", train_step)
            session = resumed("text", path)
            fit(session, say=lambda text: None)
        return without_times(session.folder.read_metrics())

    whole, part = run(tmp_path / "whole", ()), run(tmp_path / "part", (1, 3))
    assert whole == part
    assert [record["split"] for record in whole] == [*["train", "val"] * 3, "test"]
    weights = [run_folder("text", tmp_path / n).read_model() for n in ("whole", "part")]
    pairs = zip(*(model.state_dict().values() for model in weights), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_changed_pictures_are_refused(trained: Path, tmp_path: Path, rondo: Run) -> None:
    data = words_folder(tmp_path / "words", ("ab", "b"))
    begun("text", tmp_path / "run", data=str(data), channels=2, hidden_size=4)
    picture("b!").save(data / "train0.png")
    code, _, err = rondo("train", "text", "--resume", str(tmp_path / "run"))
    assert code == 2
    assert "are not those that the run" in err.splitlines()[-1]


def test_the_rate_rises_and_falls() -> None:
    recipe = Recipe(learning_rate=0.5, schedule="cosine")
    rates = [learning_rate(recipe, 0, 1, done) for done in (0, 0.02, 0.05, 0.3, 0.5, 0.9, 1.0)]
    assert 0 < rates[0] < rates[1] < rates[2] <= 0.5
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[4] == pytest.approx(0.25)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert learning_rate(Recipe(learning_rate=0.5), 0, 1, 0.9) == 0.5


# --- drawn words


@pytest.mark.slow
def test_the_example_draws_trains_and_reads(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples" / "read_words.py"
    done = subprocess.run(
        [sys.executable, str(script), "--steps", "50"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].startswith("step 50: ")
    assert lines[2].split() == ["drawn", "greedy", "beam", "lexicon"]
    assert [line.split()[0] for line in lines[3:]][:2] == ["head", "cage"]
    assert len(lines) == 11


def test_without_data_words_are_drawn(rondo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_words, "FONT_FOLDERS", ())
    monkeypatch.setattr("rondo.tasks.text.task.NUM_CHECKED", 4)
    monkeypatch.setattr("rondo.tasks.text.task.NUM_TESTED", 6)
    code, out, err = rondo(
        *("train", "text", *SMALL, "--sequences", "8", "--alphabet", "xo", "--length", "3")
    )
    assert code == 0
    assert "drawing words of xo in 1 fonts" in err
    assert out.startswith("ended after 32 sequences; test: ")
    run = str(next(Path("runs").iterdir()))
    code, out, _ = rondo("evaluate", run)
    assert code == 0
    assert out.splitlines()[1].split()[:2] == ["test", "6"]
    font, _ = drawn_words._embedded()
    monkeypatch.setattr(drawn_words, "_embedded", lambda: (font, "another digest"))
    code, _, err = rondo("train", "text", "--resume", run)
    assert code == 2
    assert "the data that are drawn here are not those that the run" in err


# --- wrong use


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train text --data nowhere", "there is no .*nowhere/labels.csv; text needs a folder"),
        ("train text --data file", "there is no .*file/labels.csv"),
        ("train text --channels 0", "the number of channels must be 1 or more, but is 0"),
        ("train text --width 30", "the width must be a multiple of 4 from 8 to 2048, but is 30"),
        ("train text --alphabet aa", "the alphabet must have characters, each once"),
        (
            "train text --start-from nowhere",
            "cannot start from nowhere: there is no such run folder",
        ),
        ("train text --fonts nowhere", "nowhere holds no font"),
        ("train adding --channels 4", "does not take '--channels'"),
        ("predict run a.png --csv --json", "there is no run folder run"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict RUN a.png --csv --json", "--csv and --json are two forms; leave one out"),
        ("predict RUN a.png --decoder bean", "there is no decoder 'bean'; did you mean 'beam'"),
        ("predict RUN a.png --decoder beam --beam-width 0", "the beam width must be 1 or more"),
        ("predict RUN a.png --lexicon gone.txt", "the lexicon gone.txt cannot be read"),
        ("predict RUN a.png --lexicon none.txt", "the lexicon none.txt holds no word"),
        ("predict RUN a.png --lexicon other.txt", r"no word of the lexicon .* reads \(ox皖\)"),
        ("predict RUN a.png --lexicon other.txt --decoder beam", "leave out --decoder"),
        ("evaluate RUN --robustness", "does not take '--robustness'"),
        ("predict RUN a.png --stream", "does not take '--stream'"),
        ("evaluate RUN --split tset", "there is no split 'tset'; did you mean 'test'"),
        ("evaluate RUN --data gone", "cannot use the data gone: there is no .*gone/labels.csv"),
        ("train characters --resume RUN", "is a run of `rondo train text`"),
    ],
)
def test_wrong_use_of_a_run(
    trained: Path, rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    (tmp_path / "none.txt").write_text("\n \n")
    (tmp_path / "other.txt").write_text("qq\nOX\n")
    told = words.replace("RUN", str(trained / "run"))
    check_answered_in_one_line(rondo, tmp_path, told, message)


def test_options_of_text_are_refused_for_other_runs(rondo: Run, tmp_path: Path) -> None:
    begun("parity", tmp_path / "run")
    for words in ("predict RUN a.png --lexicon words.txt", "evaluate RUN --beam-width 3"):
        told = words.replace("RUN", str(tmp_path / "run"))
        check_answered_in_one_line(rondo, tmp_path, told, "does not take '--(lexicon|beam-width)'")
    code, _, err = rondo("predict", "nowhere", "a.png", "--lexicon", "words.txt")
    assert code == 2
    assert "there is no run folder nowhere" in err


def test_a_run_of_another_task_reads_nothing(tmp_path: Path) -> None:
    session = begun("parity", tmp_path / "run")
    with pytest.raises(RunError, match="is a run of `rondo train parity`, and not of text"):
        Reader.load(session.folder.path)


def test_a_lexicon_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "words").write_text(" 皖A \n\nb c\ne\u0301\n", encoding="utf-8")
    assert read_lexicon(tmp_path / "words") == ("皖A", "b c", "é")
    (tmp_path / "words").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="cannot be read as text in UTF-8"):
        read_lexicon(tmp_path / "words")
    with pytest.raises(RunError, match="must be from 0 to 1"):
        Decoding(min_confidence=1.5)
