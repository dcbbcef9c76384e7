"""KTH's videos of actions: a folder of AVI files with `00sequences.txt`.

Schuldt, Laptev and Caputo, "Recognizing human actions: a local SVM approach", 2004: six actions of
25 persons in four scenes, 160 x 120 pixels, 25 frames a second, at
https://www.csc.kth.se/cvap/actions/. The list gives the frames of each repetition, such as

    person01_boxing_d1      frame   1-95, 96-185, 186-245, 246-360

counted from 1 with both ends, and the persons of each split; a clip is one repetition. The videos
`person01_boxing_d1_uncomp.avi` lie anywhere below the folder.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rondo.data.sources import Example
from rondo.data.video import FRAME_SIZE, Frames, describe, numbered_frames
from rondo.tasks.actions.clips import ActionSet

LIST = "00sequences.txt"
"""The file of the frames of all repetitions."""

STRIDE = 2
"""Of 25 frames a second, in which the list counts, every second one is kept."""

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
"""The names of the actions, in the order of their numbers."""

PERSONS = {
    "train": (11, 12, 13, 14, 15, 16, 17, 18),
    "val": (19, 20, 21, 23, 24, 25, 1, 4),
    "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
"""The persons of each split, as published."""

ENTRY = re.compile(r"person(\d\d)_([a-z]+)_d([1-4])\s+frames?\s+([\d\s,-]+)")
RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")

SHOWN = 3
"""So many files that were left out, or lost frames, are named."""


@dataclass(frozen=True)
class Entry:
    """One video of the list.

    Args:
        name: Its name without `_uncomp.avi`.
        person: Who is seen.
        action: What is done.
        ranges: First and last frame of each repetition, counted from 1.
    """

    name: str
    person: int
    action: str
    ranges: tuple[tuple[int, int], ...]


def read_kth(folder: Path) -> ActionSet:
    """Returns the clips of a folder; what cannot be read is left out and noted.

    Raises:
        ValueError: Where the list cannot be understood, or nothing is left for a split.
        ModuleNotFoundError: Where PyAV is not installed.
    """
    entries = read_list(folder / LIST)
    videos = {path.stem.removesuffix("_uncomp"): path for path in sorted(folder.rglob("*.avi"))}
    clips: dict[str, list[Example]] = {split: [] for split in PERSONS}
    left_out = _LeftOut(len(entries))
    for entry in entries:
        if entry.name not in videos:
            left_out.videos.append(f"{entry.name}: there is no such video")
            continue
        try:
            frames = numbered_frames(videos[entry.name], STRIDE)
        except (ValueError, OSError) as error:
            left_out.videos.append(str(error))
            continue
        clips[_split(entry.person)] += segments(frames, entry)
        left_out.add(videos[entry.name], frames, entry)
    notes = left_out.notes()
    for split, of_split in clips.items():
        if not of_split:
            words = "; ".join(notes) or f"{folder / LIST} names none of its persons"
            raise ValueError(f"{folder} has no clip for {split}: {words}")
    return ActionSet(
        "video",
        FRAME_SIZE,
        ACTIONS,
        clips["train"],
        clips["val"],
        clips["test"],
        notes,
        len(left_out.videos) + left_out.num_empty,
    )


def read_list(path: Path) -> list[Entry]:
    """Returns the videos of `00sequences.txt`.

    Raises:
        ValueError: Where a line cannot be understood, or no line names a video.
        OSError: Where it cannot be read.
    """
    entries = []
    for number, line in enumerate(_lines_of(path), 1):
        if not line.startswith("person") or "missing" in line:
            continue
        match = ENTRY.fullmatch(line.strip())
        ranges = tuple((int(a), int(b)) for a, b in RANGE.findall(match[4])) if match else ()
        if match is None or not _is_known(match, ranges):
            raise ValueError(
                f"{path}, line {number}: must be like `person01_boxing_d1 frame 1-95, 96-185`, got "
                f"{line.strip()!r}"
            )
        name = f"person{match[1]}_{match[2]}_d{match[3]}"
        entries.append(Entry(name, int(match[1]), match[2], ranges))
    if not entries:
        raise ValueError(f"{path} names no video; it must be that of the KTH actions")
    return entries


def _lines_of(path: Path) -> list[str]:
    """The lines of a list, of which only those in ASCII are read."""
    return path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()


def segments(frames: Frames, entry: Entry) -> Iterator[Example]:
    """Yields the clips of a video of which every second frame is given.

    Those of which no frame could be read are left out, and others end with the video.
    """
    label = torch.tensor(ACTIONS.index(entry.action))
    for first, last in entry.ranges:
        if _num_seen(frames, first, last):
            clip = frames.pixels[-(-(first - 1) // STRIDE) : (last - 1) // STRIDE + 1]
            yield Example(clip.flatten(1), label)


def _num_seen(frames: Frames, first: int, last: int) -> int:
    """How many frames of a repetition could be read."""
    numbers = frames.placement.numbers
    return bisect_right(numbers, last - 1) - bisect_left(numbers, first - 1)


def _is_known(match: re.Match[str], ranges: tuple[tuple[int, int], ...]) -> bool:
    """Whether a line names one of the 25 persons, an action, and frames from 1 on."""
    is_person = any(int(match[1]) in persons for persons in PERSONS.values())
    return is_person and match[2] in ACTIONS and bool(ranges) and min(ranges)[0] >= 1


def _split(person: int) -> str:
    return next(split for split, persons in PERSONS.items() if person in persons)


@dataclass
class _LeftOut:
    """What of the list is not in the clips.

    Args:
        num_videos: The videos of the list.
        videos: Why videos are left out.
        lossy: Which videos lost which frames.
        num_empty: Repetitions without a frame.
        num_short: Repetitions that end with the video, not where the list says.
    """

    num_videos: int
    videos: list[str] = field(default_factory=list)
    lossy: list[str] = field(default_factory=list)
    num_empty: int = 0
    num_short: int = 0

    def add(self, path: Path, frames: Frames, entry: Entry) -> None:
        """Notes what a video lacks."""
        if frames.placement.lost:
            self.lossy.append(f"{path.name}: {describe(frames.placement, first=1)}")
        for first, last in entry.ranges:
            if not _num_seen(frames, first, last):
                self.num_empty += 1
            elif last > frames.placement.end:
                self.num_short += 1

    def notes(self) -> tuple[str, ...]:
        """Says it to the user."""
        notes = []
        if self.videos:
            notes.append(
                f"{len(self.videos)} of {self.num_videos} videos are left out: {_some(self.videos)}"
            )
        if self.lossy:
            notes.append(
                f"{len(self.lossy)} of {self.num_videos} videos lost frames, for which the frame "
                f"before stands: {_some(self.lossy)}"
            )
        if self.num_empty:
            notes.append(f"{self.num_empty} repetitions are left out, whose frames no video has")
        if self.num_short:
            notes.append(f"{self.num_short} repetitions are cut short, whose end no video has")
        return tuple(notes)


def _some(words: list[str]) -> str:
    more = f"; and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return "; ".join(words[:SHOWN]) + more
