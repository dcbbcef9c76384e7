"""`rondo train segmentation`, and `evaluate` and `predict` of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from commands import Run, check_answered_in_one_line
from rondo.data.lost_frames import LostFramesWarning
from rondo.errors import RunError
from rondo.models.reseg import ReSeg
from rondo.tasks.segmentation import task as task_module
from rondo.tasks.segmentation.answers import Picture, Segmenter, colours, overlay
from rondo.tasks.segmentation.evaluate import evaluate
from rondo.training.fit import Outcome, fit
from rondo.training.network import new_engine
from small_runs import begun, folder_of, resumed, trained
from test_segmentation import scene_folder

SMALL = {"hidden_size": 6, "num_layers": 1, "channels": 6, "batch_size": 4}
WORDS = ("--hidden-size", "6", "--channels", "6", "--threads", "1", "--run", "mine")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few drawn scenes in a check and in the test."""
    monkeypatch.setattr(task_module, "NUM_CHECKED", 4)
    monkeypatch.setattr(task_module, "NUM_TESTED", 6)


def run(path: Path, **options: Any) -> Outcome:
    return trained("segmentation", path, **{**SMALL, **options})


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a memory on a folder of pictures."""
    place = tmp_path_factory.mktemp("drive")
    (place / "data").mkdir()
    data = scene_folder(place / "data", size=(48, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_module, "NUM_FRAMES", 2)
        run(place / "run", data=str(data), video=True, size="40x32", epochs=2)
    return place


@pytest.mark.usefixtures("few")
def test_drawn_scenes_are_learnt(tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", num_sequences=480, batch_size=8, hidden_size=24, channels=24)
    assert outcome.records[-1]["right"] > 0.5  # the most frequent class has less than 30 %
    assert outcome.records[-1]["num_examples"] == 6


@pytest.mark.usefixtures("few")
def test_a_resumed_run_gives_the_same_numbers(tmp_path: Path) -> None:
    data = str(scene_folder(tmp_path / "data"))
    whole = run(tmp_path / "whole", data=data, epochs=2, precision="bfloat16")
    options = {**SMALL, "data": data, "epochs": 2, "precision": "bfloat16"}
    session = begun("segmentation", tmp_path / "part", **options)
    trainer = new_engine(session.definition, session.config, session.task)
    trainer.train_step()
    session.folder.write_state(trainer.state())
    session = resumed("segmentation", tmp_path / "part")
    part = fit(session, say=lambda text: None)
    assert part.records[-1]["loss"] == whole.records[-1]["loss"]


def test_the_last_weights_are_kept(drive: Path) -> None:
    folder = folder_of("segmentation", drive / "run")
    model, origin = folder.read_model_and_origin()
    assert isinstance(model, ReSeg)
    assert origin["classes"] == ["road", "car"]
    state = folder.read_state()
    assert state is not None
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in state["model"].items())


def test_frames_follow_each_other_and_pictures_do_not(drive: Path) -> None:
    segmenter = Segmenter(drive / "run")
    folder = drive / "data" / "image"
    frames = [Picture(p.source, p.pixels, p.follows) for p in segmenter.pictures([str(folder)])]
    assert [frame.follows for frame in frames] == [False, *[True] * 9]
    alone = segmenter.pictures([str(folder / "a1.png"), str(folder / "a2.png")])
    assert [picture.follows for picture in alone] == [False, False]
    answers = list(segmenter.segment(iter(frames[:2])))
    assert [a.labels.shape for a in answers if a.labels is not None] == [(40, 48)] * 2


def test_a_picture_that_cannot_be_read_ends_no_others(drive: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("nothing")
    good = drive / "data" / "image" / "a1.png"
    segmenter = Segmenter(drive / "run")
    words = [str(tmp_path / "broken.png"), str(tmp_path / "none.png"), str(good), str(tmp_path)]
    answers = list(segmenter.segment(segmenter.pictures(words)))
    assert [bool(answer.picture.error) for answer in answers] == [True, True, False, True]


def frames_in(folder: Path, numbers: Sequence[int], size: tuple[int, int] = (48, 40)) -> Path:
    """A folder of numbered frames."""
    folder.mkdir()
    for number in numbers:
        Image.new("RGB", size, (number, 90, 90)).save(folder / f"f{number}.png")
    return folder


def test_frames_of_a_folder_are_in_order_and_gaps_are_told(drive: Path, tmp_path: Path) -> None:
    folder = frames_in(tmp_path / "frames", [8, 9, 10, 11, 14, 15])
    segmenter = Segmenter(drive / "run")
    with pytest.warns(LostFramesWarning, match="frames: frames are missing: 12-13 before f14; a"):
        pictures = list(segmenter.pictures([str(folder)]))
    names = [Path(picture.source).stem for picture in pictures]
    assert names == ["f8", "f9", "f10", "f11", "f14", "f15"]
    assert [p.follows for p in pictures] == [False, True, True, True, False, True]


def test_a_frame_of_another_size_begins_anew(drive: Path, tmp_path: Path) -> None:
    frames_in(tmp_path / "frames", [1, 2])
    Image.new("RGB", (64, 40), (9, 90, 90)).save(tmp_path / "frames" / "f3.png")
    segmenter = Segmenter(drive / "run")
    segmenter.size = None  # as of a run without --size
    answers = list(segmenter.segment(segmenter.pictures([str(tmp_path / "frames")])))
    shapes = [answer.labels.shape for answer in answers if answer.labels is not None]
    assert shapes == [(40, 48), (40, 48), (40, 64)]


def test_a_jpeg_that_exif_turns_is_answered_upright_in_its_full_size(
    drive: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (120, 80), (9, 90, 90)).save(tmp_path / "turned.jpg", exif=exif)
    segmenter = Segmenter(drive / "run")
    (answer,) = segmenter.segment(segmenter.pictures([str(tmp_path / "turned.jpg")]))
    assert answer.labels is not None
    assert answer.labels.shape == (120, 80)


def test_lost_frames_of_a_video_are_told_and_the_others_answered(
    rondo: Run, drive: Path, tmp_path: Path
) -> None:
    videos = pytest.importorskip("videos")
    times = [number for number in range(12) if number not in (4, 5)]
    path = videos.write_counting(tmp_path / "mpeg4.avi", 10, times=times)
    code, out, err = rondo("predict", str(drive / "run"), str(path), "--json", "--output", "to")
    assert code == 1
    lines = [line for line in err.splitlines() if "lost" in line]
    assert lines == [f"rondo: {path}: 2 of 12 frames are lost: 4-5, counted from 0"]
    answers = {
        answer["source"].partition("#")[2]: answer["error"]
        for answer in json.loads(out)["predictions"]
    }
    assert answers == {**dict.fromkeys(map(str, times)), "4-5": "lost in the video"}


def test_pixels_that_are_not_sure_have_no_class(drive: Path) -> None:
    picture = drive / "data" / "image" / "a1.png"
    segmenter = Segmenter(drive / "run", 1.0)
    (answer,) = segmenter.segment(segmenter.pictures([str(picture)]))
    assert answer.labels is not None
    assert set(np.unique(answer.labels)) == {255}
    assert sum(segmenter.shares(answer.labels).values()) == 0
    with pytest.raises(RunError, match=r"between 0 and 1|0 to 1"):
        Segmenter(drive / "run", 1.5)


def test_an_overlay_has_the_colours_of_the_classes() -> None:
    labels = np.array([[0, 1, 255]], np.uint8)
    found = np.asarray(overlay(np.full((1, 3, 3), 100, np.uint8), labels, 2))
    expected = 0.4 * 100 + 0.6 * colours(2).astype(float)
    np.testing.assert_allclose(found[0, :2], expected, atol=1)
    assert found[0, 2].tolist() == [100, 100, 100]
    assert len(np.unique(colours(20), axis=0)) == 20


def test_data_of_other_classes_are_refused(drive: Path, tmp_path: Path) -> None:
    data = scene_folder(tmp_path)
    (data / "classes.csv").write_text("id,name\n0,road\n1,tree\n7,void\n")
    with pytest.raises(RunError, match="the data have the classes road, tree, but the run learnt"):
        evaluate(folder_of("segmentation", drive / "run"), data=str(data))
    with pytest.raises(RunError, match="there is no split 'all'"):
        evaluate(folder_of("segmentation", drive / "run"), split="all")


# ---- the commands ----


@pytest.mark.usefixtures("few")
def test_the_commands(rondo: Run, tmp_path: Path) -> None:
    code, out, err = rondo("train", "segmentation", *WORDS, "--sequences", "16")
    assert code == 0, err
    assert "ended after 16 sequences" in out
    code, out, _ = rondo("evaluate", "mine")
    assert code == 0
    assert out.splitlines()[0].split() == ["intersection", "over", "union", "val", "test"]
    code, out, _ = rondo("evaluate", "mine", "--json", "--split", "test")
    found = json.loads(out)["test"]
    assert found["pictures"] == 6
    assert sum(map(sum, found["confusion"])) == 6 * 48 * 64
    code, out, _ = rondo("predict", "mine", "drawn", "nothing.png", "--json")
    answers = json.loads(out)["predictions"]
    assert code == 1
    assert len(answers) == 9
    assert answers[-1]["error"]
    with (
        Image.open(answers[3]["files"][0]) as labels,
        Image.open(answers[3]["files"][1]) as picture,
    ):
        assert labels.size == picture.size == (64, 48)
    code, _, err = rondo("predict", "mine", "drawn")
    assert (code, err.count("\n")) == (2, 1)
    assert "segmented is there already; name another folder" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--size 64x48", "drawn scenes have a size of their own"),
        ("--context none", "context must be"),
        ("--data nowhere", "nowhere/list.csv"),
        ("--precision float8", "there is no precision 'float8'"),
        ("--epochs 3", "draws a new sequence every time"),
        ("--weights none.pth", "there is no file none.pth"),
    ],
)
def test_what_cannot_be_trained_is_said(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, f"train segmentation {words}", message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict {} drawn --csv --json", "--csv and --json are two forms"),
        ("predict {} drawn --stream", "does not take '--stream'"),
        ("evaluate {} --min-confidence 0.5", "does not take '--min-confidence'"),
        ("predict {} -", "pictures and videos are files"),
    ],
)
def test_options_of_other_tasks_are_refused(
    rondo: Run, tmp_path: Path, drive: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words.format(drive / "run"), message)
