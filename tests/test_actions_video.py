"""Actions in videos: KTH's list and split, clips that these tests write, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import Run
from rondo.data.video import every, read_frames
from rondo.extras import how_to_install
from rondo.tasks.actions.kth import PERSONS, read_kth, read_list
from rondo.tasks.actions.task import actions, read_actions

av = pytest.importorskip("av")

HEAD = "***********\nTraining:     person11, 12, 13\n***********\n\n"


def write_video(path: Path, frames: np.ndarray, rate: int = 25) -> Path:
    """Writes grey frames (T, H, W) without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
    return path


def counting(num_frames: int, size: Sequence[int] = (120, 160)) -> np.ndarray:
    """Frames whose grey level is their number."""
    levels = np.arange(num_frames, dtype=np.uint8)[:, None, None]
    return np.broadcast_to(levels, (num_frames, *size)).copy()


def moving(action: str, start: int, num_frames: int = 40) -> np.ndarray:
    """A bright square: above, to and fro, where somebody is boxing; below, along, where walking."""
    frames = np.full((num_frames, 60, 80), 30, np.uint8)
    for number, frame in enumerate(frames):
        left = start + (2 * number if action == "walking" else 12 * (number // 4 % 2))
        top = 35 if action == "walking" else 5
        frame[top : top + 20, left % 60 : left % 60 + 16] = 200
    return frames


def kth_folder(folder: Path, persons: Sequence[int] = (11, 19, 22)) -> Path:
    """Videos of some persons who box and walk, with their list."""
    lines = []
    for person in persons:
        for action in ("boxing", "walking"):
            name = f"person{person:02}_{action}_d1"
            write_video(folder / action / f"{name}_uncomp.avi", moving(action, person))
            lines.append(f"{name}\t\tframe\t1-20, 21-40,")
    (folder / "00sequences.txt").write_text(HEAD + "\n".join(lines) + "\n")
    return folder


# --- frames


def test_frames_are_grey_scaled_and_every_second_one(tmp_path: Path) -> None:
    frames = read_frames(write_video(tmp_path / "a.avi", counting(9)))
    assert frames.dtype == torch.uint8
    assert frames.shape == (5, 48, 64)
    assert frames.float().mean((1, 2)).tolist() == [0, 2, 4, 6, 8]
    frames = read_frames(tmp_path / "a.avi", stride=4)
    assert frames.float().mean((1, 2)).tolist() == [0, 4, 8]


def test_fast_and_slow_videos_keep_as_many_frames_a_second(tmp_path: Path) -> None:
    for rate, kept in ((50, [0, 4, 8]), (12, list(range(9)))):
        video = write_video(tmp_path / f"{rate}.avi", counting(9), rate)
        assert read_frames(video).float().mean((1, 2)).tolist() == kept
    assert every(None) == 1


def test_pictures_stay_upright(tmp_path: Path) -> None:
    frames = np.zeros((2, 96, 128), np.uint8)
    frames[:, :48, :64] = 240  # above, on the left
    (first, *_) = read_frames(write_video(tmp_path / "a.avi", frames))
    corners = [first[:20, :28], first[:20, 36:], first[28:, :28], first[28:, 36:]]
    assert [round(float(corner.float().mean())) for corner in corners] == [240, 0, 0, 0]


def test_videos_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("no video " * 50)
    (tmp_path / "empty.avi").touch()
    whole = write_video(tmp_path / "whole.avi", moving("walking", 3))
    (tmp_path / "cut.avi").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for name in ("text.avi", "empty.avi", "cut.avi"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a video: ") as caught:
            read_frames(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError) as missing:
        read_frames(tmp_path / "absent.avi")
    assert missing.value.filename == str(tmp_path / "absent.avi")


def test_a_file_of_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"sound.wav cannot be read as a video: it has no video"):
        read_frames(path)


# --- KTH's folder


def test_the_split_is_the_published_one() -> None:
    assert sorted(sum(PERSONS.values(), ())) == list(range(1, 26))
    assert PERSONS["train"] == (11, 12, 13, 14, 15, 16, 17, 18)
    assert set(PERSONS["test"]) == {22, 2, 3, 5, 6, 7, 8, 9, 10}


def test_the_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "00sequences.txt"
    path.write_text(
        HEAD + "person01_boxing_d1\t\tframe\t1-95, 96-185, 186-245,\n\n"
        "person13_handclapping_d3 \tframes\t*missing*\n"
        "person25_walking_d4\tframes\t8-70\r\n"
    )
    first, second = read_list(path)
    assert (first.name, first.person, first.action) == ("person01_boxing_d1", 1, "boxing")
    assert first.ranges == ((1, 95), (96, 185), (186, 245))
    assert (second.person, second.action, second.ranges) == (25, "walking", ((8, 70),))


@pytest.mark.parametrize(
    "line",
    [
        "person01_boxing_d1 frame",
        "person01_flying_d1 frame 1-9",
        "person26_boxing_d1 frame 1-9",
        "person01_boxing_d1 frame 0-9",
        "person01_boxing_d1 frame one-nine",
    ],
)
def test_a_line_that_cannot_be_understood_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "00sequences.txt"
    path.write_text(f"{HEAD}{line}\n")
    with pytest.raises(ValueError, match=r"00sequences.txt, line 5: must be like .*got 'person"):
        read_list(path)
    path.write_text(HEAD)
    with pytest.raises(ValueError, match=r"00sequences.txt names no video"):
        read_list(path)


def test_clips_are_the_frames_of_the_list(tmp_path: Path) -> None:
    for person in (11, 19, 22):
        write_video(tmp_path / f"person{person}_boxing_d1_uncomp.avi", counting(30))
    lines = [f"person{n}_boxing_d1 frame 1-10, 12-21, 22-40, 41-50" for n in (11, 19, 22)]
    (tmp_path / "00sequences.txt").write_text("\n".join(lines))
    found = read_kth(tmp_path)
    numbers = [clip.inputs.float().mean(1).tolist() for clip in found.train]
    # frame n of the list, counted from 1, has the level n - 1; every second level is kept
    assert numbers == [[0, 2, 4, 6, 8], [12, 14, 16, 18, 20], [22, 24, 26, 28]]
    assert found.shape == (48, 64)
    assert [int(clip.targets) for clip in found.test] == [0, 0, 0]
    assert found.notes == (
        "3 repetitions are left out, whose frames no video has",
        "3 repetitions are cut short, whose end no video has",
    )


def test_persons_go_to_their_split(tmp_path: Path) -> None:
    found = read_actions(kth_folder(tmp_path, (11, 12, 4, 22, 2, 3)))
    assert [len(part) for part in (found.train, found.val, found.test)] == [8, 4, 12]
    assert found.notes == ()


def test_what_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    kth_folder(tmp_path, (11, 12, 19, 22))
    (tmp_path / "boxing" / "person12_boxing_d1_uncomp.avi").write_text("no video")
    (tmp_path / "walking" / "person22_walking_d1_uncomp.avi").unlink()
    found = read_kth(tmp_path)
    assert [len(part) for part in (found.train, found.val, found.test)] == [6, 4, 2]
    (note,) = found.notes
    assert note.startswith("2 of 8 videos are left out: ")
    assert "person12_boxing_d1_uncomp.avi cannot be read as a video" in note
    assert "person22_walking_d1: there is no such video" in note
    (tmp_path / "boxing" / "person22_boxing_d1_uncomp.avi").unlink()
    with pytest.raises(ValueError, match="has no clip for test: 3 of 8 videos are left out: "):
        read_kth(tmp_path)


# --- learning and predicting


def test_a_video_goes_through_all_commands(rondo: Run, tmp_path: Path) -> None:
    kth_folder(tmp_path / "kth", (11, 12, 19, 22))
    (tmp_path / "kth" / "boxing" / "person12_boxing_d1_uncomp.avi").write_text("no video")
    code, out, err = rondo(
        *("train", "actions", "--data", "kth", "--run", "mine", "--threads", "1"),
        *("--epochs", "40", "--batch-size", "4", "--hidden-size", "16", "--dropout", "0"),
        *("--learning-rate", "0.01"),
    )
    assert code == 0
    assert "1 of 8 videos are left out: " in err
    assert "100.0 % right" in out
    video = "kth/walking/person22_walking_d1_uncomp.avi"
    code, out, _ = rondo("predict", "mine", video, "kth/00sequences.txt", "--json")
    assert code == 1
    answer, failed = json.loads(out)["predictions"]
    assert (answer["action"], answer["num_frames"]) == ("walking", 20)
    assert "00sequences.txt cannot be read as a video" in failed["error"]
    stream = json.loads(rondo("predict", "mine", video, "--stream", "--json")[1])["predictions"]
    assert len(stream) == 20
    assert stream[-1]["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)


def test_a_missing_package_names_the_extra(tmp_path: Path) -> None:
    kth_folder(tmp_path / "kth")
    program = (
        "import sys; sys.modules['av'] = None; from rondo import cli; "
        "sys.exit(cli.main(['train', 'actions', '--data', 'kth']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last == f"rondo: av is not installed; {how_to_install('actions')}"
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_told_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kth_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r'PyAV; do, .* pip install -e "\.\[actions\]"$'):
        actions(str(tmp_path))
