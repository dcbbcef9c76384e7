"""`rondo train captions`, and `evaluate` and `predict` of its runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import Run, check_answered_in_one_line
from rondo.errors import RunError
from rondo.tasks.captions import task as task_module
from rondo.tasks.captions.answers import Captioner
from rondo.tasks.captions.evaluate import evaluate
from rondo.tasks.captions.vocabulary import UNKNOWN
from rondo.training.fit import Outcome
from small_runs import folder_of, trained
from test_captions import photo_folder

SMALL = {"hidden_size": 16, "embedding_size": 8, "batch_size": 8}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few drawn pictures in a check and in the test."""
    monkeypatch.setattr(task_module, "NUM_CHECKED", 8)
    monkeypatch.setattr(task_module, "NUM_TESTED", 8)


def run(path: Path, **options: Any) -> Outcome:
    return trained("captions", path, **{**SMALL, **options})


@pytest.fixture(scope="module")
def walls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on photos of walls of three colours."""
    place = tmp_path_factory.mktemp("walls")
    data = photo_folder(place / "data", 30)
    run(place / "run", data=str(data), epochs=40, dropout=0.0, learning_rate=1e-2)
    return place


def test_colours_are_told_of_photos_that_were_not_seen(walls: Path) -> None:
    scores = evaluate(folder_of("captions", walls / "run")).scores
    score = scores["test"]
    assert score.num_pictures == 2
    assert score.bleu.exact == 100
    assert score.typical is not None
    assert score.typical.orders[3] < score.bleu.orders[3]
    assert score.nearest is not None
    assert score.perplexity is not None
    assert 1 < score.perplexity < 2.5  # two captions each, with probability 1/2
    assert set(score.said) == {"images/27.png", "images/29.png"}


def test_one_caption_and_more_for_a_photo(walls: Path) -> None:
    photo = walls / "data" / "images" / "28.png"
    (caption,) = Captioner(walls / "run").captions([photo])
    assert caption.text in ("a green wall", "the wall it is green")
    assert caption.probability is not None
    assert 0.2 < caption.probability <= 1
    assert len(caption.others) == len(caption.other_probabilities) == 4
    assert caption.probability > caption.other_probabilities[-1]
    (greedy,) = Captioner(walls / "run", beam_width=1).captions([photo])
    assert greedy.others == ()
    with pytest.raises(RunError, match="beam width must be 1 or more"):
        Captioner(walls / "run", beam_width=0)


def test_photos_are_told_of_some_together_in_their_order(
    walls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("nothing")
    images = walls / "data" / "images"
    photos = [images / "28.png", broken, images / "27.png", images / "29.png", images / "3.png"]
    captioner = Captioner(walls / "run")
    alone = [next(captioner.captions([photo])) for photo in photos]
    monkeypatch.setattr("rondo.tasks.captions.answers.TOLD_TOGETHER", 3)
    together = list(captioner.captions(photos))
    assert [item.source for item in together] == [str(photo) for photo in photos]
    assert [(item.text, item.others, item.error) for item in together] == [
        (item.text, item.others, item.error) for item in alone
    ]
    assert [item.error is None for item in together] == [True, False, True, True, True]


@pytest.mark.usefixtures("few")
def test_the_commands(rondo: Run, tmp_path: Path) -> None:
    words = ("--hidden-size", "8", "--embedding-size", "4", "--threads", "1", "--run", "mine")
    code, out, err = rondo("train", "captions", *words, "--sequences", "64")
    assert code == 0, err
    assert "nats a word" in out
    code, out, _ = rondo("evaluate", "mine")
    assert code == 0
    assert out.startswith("test, 8 pictures")
    assert "BLEU-4" in out
    code, out, _ = rondo("predict", "mine", "drawn", "--beam-width", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["predictions"]) == 6
    assert "of people" in found["notes"][0]
    code, out, _ = rondo("predict", "mine", "drawn", "--beam-width", "2")
    assert code == 0
    assert [line.count("(p = ") for line in out.splitlines()] == [1] * 12 + [0]
    assert out.count("\n    or: ") == 6
    code, out, _ = rondo("predict", "mine", "drawn")
    assert "or: " not in out
    (tmp_path / "broken.png").write_text("nothing")
    code, out, _ = rondo("predict", "mine", "broken.png", "none.png", "--csv")
    assert code == 1
    assert out.splitlines()[0] == "source,text,probability,others,other_probabilities,error"
    assert len(out.splitlines()) == 3
    code, out, err = rondo("evaluate", "mine", "--data", str(photo_folder(tmp_path / "data")))
    assert (code, out) == (2, "")
    assert "learnt from drawn pictures" in err


def test_the_missing_sacrebleu_is_told_before_any_caption_is_made(
    walls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setattr(Captioner, "say", None)
    with pytest.raises(ModuleNotFoundError, match=r'do, .* pip install -e "\.\[captions\]"$'):
        evaluate(folder_of("captions", walls / "run"))


def test_no_caption_has_an_unknown_word(walls: Path) -> None:
    captioner = Captioner(walls / "run")
    with torch.no_grad():
        captioner.model.output.bias[UNKNOWN] = 20.0  # rare words are the likeliest everywhere
    (caption,) = captioner.captions([walls / "data" / "images" / "28.png"])
    assert not any("<unknown>" in str(text) for text in (caption.text, *caption.others))


def test_photos_and_drawn_pictures_are_not_mixed_up(walls: Path) -> None:
    (caption,) = Captioner(walls / "run").captions(["drawn"])
    assert caption.error == "the run learnt from photos; give it photos"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train captions --data nowhere", "nowhere holds no captions"),
        ("train captions --weights x.pth", "leave out --weights"),
        ("train captions --embedding-size 0", "embedding size must be 1 or more"),
        ("predict {} drawn --decoder greedy", "does not take '--decoder'"),
        ("predict {} drawn --min-confidence 0.5", "does not take '--min-confidence'"),
        ("predict {} drawn --beam-width 0", "beam width must be 1 or more"),
        ("predict {} drawn --stream", "does not take '--stream'"),
        ("evaluate {} --split all", "there is no split 'all'"),
    ],
)
def test_what_cannot_be_done_is_said(
    rondo: Run, tmp_path: Path, walls: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words.format(walls / "run"), message)


@pytest.mark.slow
def test_fifty_photos_are_learnt_by_heart(tmp_path: Path) -> None:
    """Drawn pictures as files, one caption each: greedy decoding gives every word back."""
    import csv

    from PIL import Image

    (tmp_path / "data" / "images").mkdir(parents=True)
    with (tmp_path / "data" / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "caption"])
        for number, told in enumerate(task_module.drawn_test()[:50]):
            for split in ("train", "val", "test"):  # what is learnt by heart is what is checked
                name = f"images/{split}-{number}.png"
                Image.fromarray(told.seen.permute(1, 2, 0).numpy()).save(tmp_path / "data" / name)
                writer.writerow([name, split, told.captions[0]])
    run(tmp_path / "run", data=str(tmp_path / "data"), epochs=200, dropout=0.0, hidden_size=64)
    torch.set_num_threads(1)
    folder = folder_of("captions", tmp_path / "run")
    score = evaluate(folder, split="train", beam_width=1).scores["train"]
    assert score.bleu.exact == 100
