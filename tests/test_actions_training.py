"""`rondo train actions`, and `evaluate` and `predict` of its runs."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from commands import Run, check_answered_in_one_line
from rondo.errors import RunError
from rondo.measures.intervals import wilson
from rondo.models.action_model import ActionModel
from rondo.tasks.actions import drawn as stick_figures
from rondo.tasks.actions.answers import Clip, Recogniser
from rondo.tasks.actions.task import actions
from rondo.training.engine import Engine
from rondo.training.fit import Outcome, fit
from rondo.training.optimising import learning_rate
from run_records import without_times
from small_runs import begun, folder_of, resumed, trained
from test_actions import pose_file, pose_folder, signal_file

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
SMALL = {"train": 48, "val": 16, "test": 24}
WORDS = ("train", "actions", "--threads", "1", "--run", "mine", "--hidden-size", "8")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few drawn clips, which are drawn and learnt in a moment."""
    for split, number in SMALL.items():
        monkeypatch.setitem(stick_figures.SPLITS, split, number)


def run(path: Path, **options: Any) -> Outcome:
    return trained("actions", path, **{"hidden_size": 8, "epochs": 1, **options})


def rows(table: str) -> dict[str, list[str]]:
    """The words after the first of each line, by the first."""
    return {words[0]: words[1:] for line in table.splitlines() if (words := line.split())}


# --- training


def test_drawn_actions_are_learnt(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", epochs=3, hidden_size=24)
    assert outcome.records[-1]["right"] > 0.75
    assert outcome.records[-1]["num_examples"] == 400


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "cell": "lstm", "num_layers": 2}])
@pytest.mark.usefixtures("few")
def test_a_resumed_run_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole = run(tmp_path / "whole", epochs=2, **options)
    step, left = Engine.train_step, [4]

    def train_step(self: Engine) -> None:
        step(self)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Engine, "train_step", train_step)
    assert run(tmp_path / "part", epochs=2, **options).signal_number == signal.SIGTERM
    session = resumed("actions", tmp_path / "part")
    part = fit(session, say=lambda text: None)
    assert without_times(whole.records) == without_times(part.records)
    models = [folder_of("actions", tmp_path / name).read_model() for name in ("whole", "part")]
    states = [model.state_dict() for model in models]
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


@pytest.mark.usefixtures("few")
def test_a_run_folder_has_what_predicts(tmp_path: Path) -> None:
    run(tmp_path / "run", cell="min-gru", bidirectional=True)
    model, origin = folder_of("actions", tmp_path / "run").read_model_and_origin()
    assert isinstance(model, ActionModel)
    assert model.bidirectional
    assert tuple(origin["classes"]) == stick_figures.ACTIONS
    deviation = model.frames.deviation
    assert float(deviation.std()) > 0.01  # the figures of the training clips, not ones


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = actions().recipe
    rates = [learning_rate(recipe, 0, 1, done / 100) for done in range(101)]
    top = max(rates)
    assert 0.9 * recipe.learning_rate < top <= recipe.learning_rate
    assert rates.index(top) == 5
    assert rates[0] < 0.1 * top
    assert rates[-1] < 1e-6


# --- the commands on drawn figures


@pytest.mark.usefixtures("few")
def test_the_three_commands_run_without_data(rondo: Run, tmp_path: Path) -> None:
    code, trained, err = rondo(*WORDS, "--epochs", "2")
    assert code == 0
    assert "actions: gru, 8 units" in err
    assert rows(trained)["test"][0] == "24"

    code, out, _ = rondo("evaluate", "mine", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["val", "test"]
    test = found["test"]
    confusion = np.array(test["confusion"])
    assert confusion.sum(1).tolist() == [3] * 8
    share = wilson(int(np.trace(confusion)), 24)
    assert test["accuracy"] == {
        "num_correct": share.num_correct,
        "num_clips": 24,
        "value": share.value,
        "low": share.low,
        "high": share.high,
    }
    assert test["majority_rate"] == 1 / 8
    record = json.loads((tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["right"] == share.value
    assert record["loss"] == pytest.approx(test["loss"], rel=1e-5)

    code, table, _ = rondo("evaluate", "mine", "--split", "test", "--min-confidence", "0.5")
    assert code == 0
    assert f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})" in table
    assert "\nval" not in table
    counts = [int(n) for n in rows(table)["walk"][:8] if n != "."]
    assert sum(counts) == 3
    assert "probability 0.5 or more" in table

    code, out, _ = rondo("predict", "mine", "drawn", "--json")
    assert code == 0
    answers = json.loads(out)["predictions"]
    assert [answer["label"] for answer in answers] == list(stick_figures.ACTIONS)
    for answer in answers:
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        best = max(answer["probabilities"], key=answer["probabilities"].get)
        assert answer["action"] == best
    code, table, _ = rondo("predict", "mine", "drawn", "--min-confidence", "1")
    assert code == 0
    assert table.count("not sure") == 8


@pytest.mark.usefixtures("few")
def test_a_stream_ends_with_the_answer_for_the_whole_clip(rondo: Run) -> None:
    rondo(*WORDS, "--epochs", "1")
    whole = json.loads(rondo("predict", "mine", "drawn", "--json")[1])["predictions"]
    stream = json.loads(rondo("predict", "mine", "drawn", "--stream", "--json")[1])["predictions"]
    ends = [number for number, answer in enumerate(stream) if answer["num_frames"] == 1]
    assert len(ends) == len(whole) == 8
    assert len(stream) == sum(answer["num_frames"] for answer in whole)
    for answer, first, after in zip(whole, ends, [*ends[1:], len(stream)], strict=True):
        assert [s["num_frames"] for s in stream[first:after]] == list(range(1, after - first + 1))
        last = stream[after - 1]
        assert last["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
        assert last["num_frames"] == answer["num_frames"]


@pytest.mark.usefixtures("few")
def test_two_directions_do_not_stream(rondo: Run) -> None:
    rondo(*WORDS, "--epochs", "1", "--bidirectional")
    assert rondo("predict", "mine", "drawn")[0] == 0
    code, _, err = rondo("predict", "mine", "drawn", "--stream")
    assert code == 2
    assert "a stream needs a network of one direction" in err


# --- on files


def test_files_are_learnt_measured_and_predicted(rondo: Run, tmp_path: Path) -> None:
    folder = pose_folder(tmp_path / "poses")
    code, out, _ = rondo(*WORDS, "--epochs", "1", "--data", "poses")
    assert code == 0
    code, out, _ = rondo("predict", "mine", "poses/split1_test.npz")
    assert code == 0
    assert "split1_test.npz#1 (walk)" in out
    pose = np.load(folder / "split1_test.npz")["pose"]
    recogniser = Recogniser(tmp_path / "mine")
    first = recogniser.recognise(Clip("", torch.tensor(pose[:4]).flatten(1)))
    answers = json.loads(rondo("predict", "mine", "poses/split1_test.npz", "--json")[1])
    assert answers["predictions"][0]["probabilities"] == first.probabilities

    pose_file(tmp_path / "nan.npz", ["walk"], [3], pose=np.full((3, 15, 2), np.nan))
    signal_file(tmp_path / "signals.npz", [1])
    code, out, _ = rondo(
        "predict", "mine", "absent.npz", "nan.npz", "signals.npz", "poses/split1_test.npz"
    )
    assert code == 1
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["unread"] * 3
    assert "absent.npz: " in lines[1]
    assert "clip 0 has a number that is NaN" in lines[2]
    assert "signals of shape (3,), but the run learnt from poses of shape (15, 2)" in lines[3]
    assert len(lines) == 6

    other = pose_folder(tmp_path / "other")
    code, out, _ = rondo("evaluate", "mine", "--data", "other", "--split", "test", "--json")
    assert json.loads(out)["test"]["accuracy"]["num_clips"] == 2
    pose_file(other / "split1_train.npz", ["walk", "fly"] * 2, [3, 5, 4, 4])
    pose_file(other / "split1_test.npz", ["walk", "fly"], [3, 5])
    code, _, err = rondo("evaluate", "mine", "--data", "other")
    assert code == 2
    assert "the data have the classes fly, walk, but the run learnt run, walk" in err
    signals = tmp_path / "signals"
    signals.mkdir()
    signal_file(signals / "train.npz", [1, 2, 1, 2])
    signal_file(signals / "test.npz", [1, 2])
    code, _, err = rondo("evaluate", "mine", "--data", "signals")
    assert code == 2
    assert "the data are signals of shape (3,), but the run learnt from poses" in err

    pose_file(folder / "split1_test.npz", ["run", "walk"], [2, 2])
    code, _, err = rondo("train", "actions", "--resume", "mine")
    assert code == 2
    assert "are not those that the run mine began with" in err


def test_signals_are_learnt(rondo: Run, tmp_path: Path) -> None:
    """Two classes that differ in how fast they swing, so that the order of the steps matters."""
    time, random = np.arange(40) / 6, np.random.default_rng(0)
    for split, number in (("train", 60), ("test", 40)):
        y = np.arange(number) % 2
        phase = random.uniform(0, 6.3, (number, 1))
        x = np.sin((1 + 2 * y[:, None]) * time + phase)[..., None]
        x = x + random.normal(size=(number, 40, 1)) / 10
        np.savez(tmp_path / f"{split}.npz", x=x, y=y)
    code, out, _ = rondo(
        *(*WORDS, "--epochs", "30", "--data", ".", "--batch-size", "8", "--dropout", "0"),
        *("--learning-rate", "0.01"),
    )
    assert code == 0
    assert float(rows(out)["test"][1]) > 90


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train actions --data absent", "absent does not exist; actions need a folder of npz"),
        ("train actions --data file", "file is a file; actions need a folder"),
        ("train actions --cell grv", "there is no cell 'grv'; did you mean 'gru'"),
        ("train actions --length 3", "does not take '--length'"),
        ("train adding --bidirectional", "does not take '--bidirectional'"),
        ("evaluate absent", "there is no run folder absent"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


@pytest.mark.usefixtures("few")
def test_options_that_a_run_of_actions_does_not_take_are_refused(rondo: Run) -> None:
    rondo(*WORDS, "--epochs", "1")
    for words, message in (
        (
            "evaluate mine --robustness",
            "does not take '--robustness'",
        ),
        ("evaluate mine --split train", "there is no split 'train'; there are: test, val"),
        ("predict mine -", "clips are files, or the word drawn"),
        ("train photo --resume mine", "it is a run of `rondo train actions`, and not of photo"),
    ):
        code, out, err = rondo(*words.split())
        assert (code, out) == (2, "")
        assert message in err


@pytest.mark.usefixtures("few")
def test_a_run_without_weights_and_other_runs_cannot_predict(tmp_path: Path) -> None:
    begun("actions", tmp_path / "new")
    with pytest.raises(RunError, match="go on with `rondo train actions --resume"):
        Recogniser(tmp_path / "new")
    begun("adding", tmp_path / "other")
    with pytest.raises(RunError, match="is a run of `rondo train adding`, and not of actions"):
        Recogniser(tmp_path / "other")
    with pytest.raises(RunError, match="the least confidence must be from 0 to 1"):
        Recogniser(tmp_path / "new", min_confidence=2)


@pytest.mark.slow
def test_actions_need_none_of_the_photo_packages(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('lightning', 'matplotlib', 'tensorboard', 'av'):\n"
        "    sys.modules[name] = None\n"
        "from rondo import cli\n"
        "for words in ('train actions --epochs 1 --threads 1 --run r', 'evaluate r',\n"
        "              'predict r drawn --stream'):\n"
        "    assert cli.main(words.split()) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 0


@pytest.mark.usefixtures("few")
def test_the_example_streams_and_draws(tmp_path: Path) -> None:
    script = ROOT / "examples" / "actions_stream.py"
    run(tmp_path / "run")
    example = runpy.run_path(str(script))
    recogniser = Recogniser(tmp_path / "run")
    clips = dict(zip(stick_figures.ACTIONS, stick_figures.drawn_split("val"), strict=False))
    drawn = example["picture"](recogniser, {"kick": clips["kick"], "walk": clips["walk"]})
    words = {text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")}
    assert words >= {*stick_figures.ACTIONS}
    title = [text for text in words if text and text.startswith("24 other clips: ")]
    assert len(title) == 1


def test_the_picture_of_the_docs_shows_a_network_that_has_learnt() -> None:
    root = ElementTree.parse(ROOT / "docs" / "images" / "tasks" / "actions.svg")
    words = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert set(words) >= {*stick_figures.ACTIONS}
    (title,) = [text for text in words if text.startswith("400 other clips: ")]
    assert float(title.split()[3]) > 90
