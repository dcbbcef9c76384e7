"""Frames that a video lost are numbered and told, and those after them keep their numbers."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondo.data.lost_frames import LostFramesWarning, gaps_in, gaps_in_names, numbers_text, runs_of
from rondo.data.video import numbered_frames, pictures_and_gaps, read_frames, read_pictures
from rondo.data.video_clock import Clock, Placement
from rondo.tasks.actions.kth import read_kth
from videos import FORMATS, NUM_FRAMES, cut, damage, number_of, write_counting


def numbers_in(path: Path) -> list[int]:
    """The numbers that the frames of a video show."""
    return [number_of(float(frame.float().mean())) for frame in read_frames(path, 1)]


def assert_numbered(path: Path, tolerance: int) -> Placement:
    """Asserts that frames stand at their numbers and that lost ones show the one before them."""
    with pytest.warns(LostFramesWarning, match=path.name):
        shown = numbers_in(path)
    placement = numbered_frames(path, 1).placement
    expected = [placement.numbers[placement.at(number)] for number in range(placement.end)]
    assert len(shown) == placement.end
    assert max(abs(a - b) for a, b in zip(shown, expected, strict=True)) <= tolerance
    return placement


# --- whole videos


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_video_loses_nothing(tmp_path: Path, name: str) -> None:
    path = write_counting(tmp_path / name)
    shown = numbers_in(path)  # a warning would be an error
    assert len(shown) == NUM_FRAMES
    assert max(abs(found - number) for number, found in enumerate(shown)) <= 2
    assert sum(1 for _ in read_pictures(path)) == NUM_FRAMES


def test_frames_that_are_shown_in_another_order_are_not_lost(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "mpeg4.avi", bf="2")
    assert numbered_frames(path).placement == Placement(tuple(range(NUM_FRAMES)), NUM_FRAMES)


# --- broken ones


@pytest.mark.parametrize(
    "name", ["mpeg4.avi", "mjpeg.avi", "ffv1.avi", "mpeg4.mp4", "h264.mp4", "h264.mkv", "vp8.webm"]
)
def test_the_end_of_a_file_that_is_cut_off_is_told(tmp_path: Path, name: str) -> None:
    share = 0.9 if name == "h264.mp4" else 0.5  # most of a short one is its head
    placement = assert_numbered(cut(write_counting(tmp_path / name), share), tolerance=2)
    assert placement.lost[-1].stop == placement.num_frames == NUM_FRAMES
    assert placement.end < NUM_FRAMES


@pytest.mark.parametrize("name", ["mpeg4.avi", "mjpeg.avi", "ffv1.avi", "mpeg4.mp4", "mpeg1.mpg"])
def test_frames_after_a_damage_keep_their_numbers(tmp_path: Path, name: str) -> None:
    path = damage(write_counting(tmp_path / name, g="12"))
    with pytest.warns(LostFramesWarning, match=name):
        shown = numbers_in(path)
    assert len(shown) == NUM_FRAMES
    whole = [*range(14), *range(48, NUM_FRAMES)]  # before the damage, and after the next key frame
    assert max(abs(shown[number] - number) for number in whole) <= 3
    placement = numbered_frames(path, 1).placement
    assert sum(map(len, placement.lost)) >= 3
    assert all(shown[run.start] == shown[run.start - 1] for run in placement.lost)


@pytest.mark.parametrize("start", [0.45, 0.6, 0.75])
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_video_is_read_or_refused(tmp_path: Path, name: str, start: float) -> None:
    path = damage(write_counting(tmp_path / name), start)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            num_frames = len(read_frames(path, 1))
        except ValueError as error:
            message = str(error)
        else:
            message = ""
    if message:
        assert f"{path} cannot be read as a video: " in message
        return
    placement = numbered_frames(path, 1).placement
    assert num_frames == placement.end <= NUM_FRAMES
    assert [warning.category for warning in told] == [LostFramesWarning] * bool(placement.lost)


def test_the_warning_names_the_file_and_the_numbers(tmp_path: Path) -> None:
    path = write_counting(tmp_path / "mjpeg.avi", times=[*range(4), *range(5, 20), *range(23, 64)])
    message = rf"^{path}: 4 of 64 frames are lost: 4, 20-22, counted from 0$"
    with pytest.warns(LostFramesWarning, match=message) as told:
        frames = read_frames(path, 1)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert len(frames) == 64
    assert bool((frames[4] == frames[3]).all())
    assert bool((frames[22] == frames[19]).all())
    assert not bool((frames[23] == frames[19]).all())


def test_of_every_second_frame_a_lost_one_shows_the_one_before_it(tmp_path: Path) -> None:
    times = [number for number in range(12) if number not in (4, 8)]
    path = write_counting(tmp_path / "ffv1.avi", 10, times=times)
    frames = numbered_frames(path, 2).pixels
    shown = [number_of(float(frame.float().mean())) for frame in frames]
    # at the times 3 and 7, before the lost ones, the fourth and the seventh picture were written
    assert shown == [0, 2, 3, 5, 6, 8]


def test_pictures_and_gaps_come_in_order(tmp_path: Path) -> None:
    times = [number for number in range(2, 12) if number not in (4, 5)]
    path = write_counting(tmp_path / "mpeg4.mp4", 8, times=times)
    with pytest.warns(LostFramesWarning, match="2 of 10 frames are lost: 2-3, counted from 0"):
        found = list(pictures_and_gaps(path))
    assert [item if isinstance(item, range) else item.shape for item in found] == [
        *[(120, 160, 3)] * 2,
        range(2, 4),
        *[(120, 160, 3)] * 6,
    ]
    with pytest.warns(LostFramesWarning):
        pictures = list(read_pictures(path))
    assert len(pictures) == 10
    assert (pictures[3] == pictures[1]).all()


def test_a_recording_of_a_screen_loses_nothing(tmp_path: Path) -> None:
    times = [0, 1, 7, 8, 20, 21, 24, 40, 41, 60, 90, 92]
    path = write_counting(tmp_path / "h264.mkv", len(times), times=times)
    assert numbered_frames(path).placement.numbers == tuple(range(len(times)))


def test_a_pipe_a_folder_and_an_empty_file_are_no_videos(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match=r"empty\.mp4 cannot be read as a video: it is empty"):
        read_frames(tmp_path / "empty.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match=r"pipe\.mp4 cannot be read as a video: it is no regular"):
        read_frames(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match="cannot be read as a video: it is a folder"):
        read_frames(tmp_path)


def test_what_the_videos_of_kth_lost_is_noted(tmp_path: Path) -> None:
    lines = []
    for person in (11, 12, 19, 22):
        path = write_counting(tmp_path / "mpeg4.avi", g="12")
        path = cut(path) if person == 11 else damage(path) if person == 12 else path
        path.rename(tmp_path / f"person{person}_boxing_d1_uncomp.avi")
        lines.append(f"person{person}_boxing_d1 frame 1-10, 11-40, 50-60")
    (tmp_path / "00sequences.txt").write_text("\n".join(lines))
    found = read_kth(tmp_path)
    lost = {
        person: numbered_frames(tmp_path / f"person{person}_boxing_d1_uncomp.avi").placement.lost
        for person in (11, 12)
    }
    lossy, empty, short = found.notes
    assert lossy.startswith("2 of 4 videos lost frames, for which the frame before stands: ")
    for person, runs in lost.items():
        name = rf"person{person}_boxing_d1_uncomp.avi: "
        assert f"{numbers_text(runs, first=1)}, counted from 1" in lossy.partition(name)[2]
    assert empty == "1 repetitions are left out, whose frames no video has"
    assert short == "1 repetitions are cut short, whose end no video has"
    lengths = [len(clip.inputs) for clip in found.train]
    assert lengths[0] == 5
    assert 0 < lengths[1] < 15
    assert lengths[2:] == [5, 15, 5]


# --- a video that its matrix turns

CORNER = np.zeros((96, 128), np.uint8)
CORNER[:48, :64] = 240  # above, on the left


def corner_of(pixels: np.ndarray) -> str:
    """Where a picture (H, W) is bright."""
    rows, columns = np.nonzero(pixels > 120)
    height, width = pixels.shape
    across = "left" if columns.mean() < width / 2 else "right"
    return f"{'above' if rows.mean() < height / 2 else 'below'} {across}"


@pytest.mark.parametrize("name", ["mpeg4.mp4", "h264.mkv"])
@pytest.mark.parametrize(
    ("turn", "corner", "size"),
    [
        ((0,), "above left", (96, 128)),
        ((90,), "below left", (128, 96)),
        ((180,), "below right", (96, 128)),
        ((270,), "above right", (128, 96)),
        ((0, True, False), "above right", (96, 128)),
        ((0, False, True), "below left", (96, 128)),
    ],
)
def test_a_video_is_read_upright(
    tmp_path: Path, name: str, turn: tuple[object, ...], corner: str, size: tuple[int, int]
) -> None:
    path = write_counting(tmp_path / name, 3, turn=turn, picture=CORNER)
    first = read_frames(path)[0].numpy()
    assert first.shape == (48, 64)
    assert corner_of(first) == corner
    picture = next(read_pictures(path))
    assert picture.shape == (*size, 3)
    assert corner_of(picture[..., 0]) == corner


# --- the clock


@dataclass
class Packet:
    """What the clock reads of a packet of PyAV."""

    pts: int | None
    dts: int | None = None
    pos: int | None = None
    size: int = 100
    is_discard: bool = False


def placed(times: list[int], shown: list[int | None], **options: object) -> Placement:
    clock = Clock(**options)
    for time in times:
        clock.add_packet(Packet(time, time))
    for time in shown:
        clock.add_frame(time)
    return clock.placement()


def test_times_of_rounded_milliseconds_are_even() -> None:
    times = [round(1000 * number / 30) for number in range(300)]
    del times[100:103]
    assert placed(times, list(times)).lost == (range(100, 103),)


def test_a_packet_without_a_frame_is_lost_where_times_are_uneven() -> None:
    times = [0, 10, 100, 110, 500, 510]
    assert placed(times, [0, 10, 110, 500]).lost == (range(2, 3), range(5, 6))


def test_frames_without_times_are_counted() -> None:
    assert placed([0, 1, 2], [None, None], declared=5) == Placement((0, 1), 5)


def test_packets_that_an_edit_hides_are_not_lost() -> None:
    clock = Clock(declared=6)
    for time in range(-2, 4):
        clock.add_packet(Packet(time, time, is_discard=time < 0))
    for time in range(4):
        clock.add_frame(time)
    assert clock.placement() == Placement((0, 1, 2, 3), 4)


def test_a_jump_of_the_clock_is_no_gap() -> None:
    times = [*range(10), *range(10**9, 10**9 + 10)]
    assert placed(times, list(times)) == Placement(tuple(range(20)), 20)


def test_the_index_mends_the_times_after_a_damage() -> None:
    clock = Clock(declared=12, index=[(1000 * number, 100) for number in range(10)])
    for count, number in enumerate([2, 3, 6, 7]):  # the demuxer counts 0, 1, 2, 3
        clock.add_packet(Packet(count, count, pos=1000 * number + 8))
        clock.add_frame(count)
    assert clock.placement() == Placement((2, 3, 6, 7), 10)


@given(st.sets(st.integers(0, 60)), st.integers(0, 8))
def test_any_frames_are_placed_in_order(lost: set[int], end: int) -> None:
    times = [40 * number for number in range(70)]
    shown: list[int | None] = [40 * number for number in range(70) if number not in lost]
    found = placed(times, shown, ends_at=40.0 * (70 + end))
    assert found.numbers == tuple(number for number in range(70) if number not in lost)
    assert found.num_frames == 70 + end


# --- numbers of names


def test_gaps_in_numbers() -> None:
    assert gaps_in([0, 1, 2, 5, 6]) == [3, 4]
    assert gaps_in([0, 2, 4, 8, 10]) == [6]
    assert gaps_in([7, 8, 11]) == [9, 10]
    assert gaps_in([5]) == gaps_in([]) == gaps_in([3, 9]) == []
    assert gaps_in([1, 2, 3, 20240101]) == []  # and at once
    assert gaps_in([20231224, 20240101, 20240520]) == []


def test_names_of_several_videos_are_counted_apart() -> None:
    names = ["a_1", "a_2", "a_3", "a_10", "b_7", "b_8", "cover", "a_1_x"]
    assert gaps_in_names(names) == {"a_10": list(range(4, 10))}


def test_many_gaps_are_cut_short() -> None:
    words = numbers_text(runs_of(range(0, 60, 2)))
    assert words.startswith("0, 2, 4")
    assert words.endswith("18 and 20 more gaps")
