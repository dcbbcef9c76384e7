"""Where commands are hit: what is given, what is there before, and what must come of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fault_kinds import COMPILER, put_compiler
from fault_processes import Command, Lane
from fault_visits import Visitor

RUN = "mine"
"""The run folder, in the folder in which commands are given."""

SMALL = ("--batch-size", "4", "--threads", "1", "--precision", "float32")
PHOTO = ("train", "photo", "--num-drawn", "16", "--image-size", "32", *SMALL)
FCNN = (*PHOTO, "--epochs", "2", "--model", "fcnn_1", "--run", RUN)
SWEEPS = (*PHOTO, "--epochs", "1", "--model", "sweep_net", "--run", RUN)
ADDING = (
    *("train", "adding", "--length", "20", "--hidden-size", "4", "--batch-size", "32"),
    *("--threads", "1", "--run", RUN, "--sequences"),
)
TABLE = ("table", "photo", "--models", "fcnn_1", "--num-drawn", "16", "--size", "32", *SMALL)
FLOW = ("show", "lstm", "--stage", "gradient", "--output")

TRAINED = (f"{RUN}/metrics.jsonl", f"{RUN}/model.safetensors")
PHOTOS_TRAINED = (*TRAINED, f"{RUN}/calibration.json")


@dataclass(frozen=True)
class Place:
    """What a command does when it is hit.

    Args:
        name: The place in the table.
        words: The command.
        results: The files whose numbers must be those of the undisturbed command.
        before: A command that was given before, undisturbed; nothing if empty.
        at_changes: The share of moments that are before a change of a file, and shortly after;
            the others are at any time.
        is_cold: Whether no kernel was compiled before.
    """

    name: str
    words: tuple[str, ...]
    results: tuple[str, ...] = TRAINED
    before: tuple[str, ...] = ()
    at_changes: float = 0.2
    is_cold: bool = False

    @property
    def serves(self) -> bool:
        return self.words[0] == "web"

    def again(self, home: Path) -> list[str]:
        """The command that goes on with what a hit one has left, or repeats it."""
        is_begun = (home / RUN / "config.json").exists() and "--run" in self.words
        return ["train", self.words[1], "--resume", RUN] if is_begun else list(self.words)


def exported(words: tuple[str, ...], *results: str, before: tuple[str, ...] = ()) -> Place:
    return Place("exporting", words, results, before, at_changes=0.5)


PLACES: dict[str, tuple[Place, ...]] = {
    "compiling": tuple(
        Place("compiling", (*ADDING, "64", "--cell", cell), is_cold=True)
        for cell in ("lstm", "gru", "tanh")
    ),
    "training, photos": (
        Place("training, photos", FCNN, PHOTOS_TRAINED),
        Place("training, photos", SWEEPS, PHOTOS_TRAINED),
    ),
    "training, sequences": (
        Place("training, sequences", (*ADDING, "4096")),
        Place("training, sequences", (*ADDING, "4096", "--cell", "gru", "--dropout", "0.2")),
    ),
    "saving": (
        Place("saving", FCNN, PHOTOS_TRAINED, at_changes=1.0),
        Place("saving", (*ADDING, "4096"), at_changes=1.0),
    ),
    "exporting": (
        exported(
            ("train", "photo", "--resume", RUN),
            *(f"{RUN}/{name}" for name in ("report.html", "model_card.md", "calibration.json")),
            before=FCNN,
        ),
        exported(
            (*TABLE, "--epochs", "1", "--output", RUN),
            *(f"{RUN}/table.{form}" for form in ("md", "csv", "html", "svg")),
            before=(*TABLE, "--epochs", "1", "--output", RUN),
        ),
        exported((*FLOW, "flow.png"), "flow.png"),
        exported((*FLOW, "flow.svg"), "flow.svg"),
        exported((*FLOW, "flow.pdf"), "flow.pdf"),
        exported(("show", "gru", "--stage", "plan", "--output", "plan.svg"), "plan.svg"),
    ),
    "serving": (
        Place("serving", ("web", RUN, "--port", "0"), TRAINED, before=SWEEPS, at_changes=0.0),
    ),
}
"""The places of the table, with what is done there; one is drawn for each row."""


@dataclass(frozen=True)
class Undisturbed:
    """What a command does that nothing hits.

    Args:
        before: The folder in which it was given, as it was then.
        after: The same folder at its end.
        seconds: How long it took, with its kernels in the cache if they are to be there.
        num_changes: How often it changed a file.
        num_bytes: How many bytes lie in the folder at its end.
        answers: What the page answered.
    """

    before: Path
    after: Path
    seconds: float
    num_changes: int
    num_bytes: int
    answers: dict[str, str]


@dataclass(frozen=True)
class Workplace:
    """The folders of one row, on the disk of its lane.

    Args:
        path: The folder that holds them.
        cache: Where kernels are kept.
    """

    path: Path
    cache: Path

    @property
    def home(self) -> Path:
        """The folder in which commands are given."""
        return self.path / "home"

    @property
    def programs(self) -> Path:
        return self.path / "programs"

    @property
    def environment(self) -> dict[str, str]:
        """What its commands find there, beside what all of them do."""
        return {
            "CC": COMPILER,
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "RONDO_CACHE": str(self.cache),
            "TMPDIR": str(self.path / "temporary"),
        }

    def start(self, lane: Lane, words: list[str], stop_at: int | None = 0) -> Command:
        return lane.start(words, self.home, self.environment, stop_at)


def new_workplace(lane: Lane, before: Path | None, warm: Path | None) -> Workplace:
    """Makes the folders of a row, in place of those of the row before.

    Args:
        lane: The lane, on the disk of which they are.
        before: What is there before; None: nothing.
        warm: The folder of kernels that were compiled before; None: a new one of the row's own.
    """
    path = lane.disk.path / "row"
    shutil.rmtree(path, ignore_errors=True)
    for name in ("programs", "temporary"):
        (path / name).mkdir(parents=True)
    place = Workplace(path, path / "home" / "cache" if warm is None else warm)
    if before is None:
        place.home.mkdir()
    else:
        shutil.copytree(before, place.home)
    put_compiler(place.programs / COMPILER)
    return place


def undisturbed(place: Place, lane: Lane, kept: Path, warm: Path) -> Undisturbed:
    """Does what a place does without a fault, and keeps it below a folder.

    Raises:
        RuntimeError: If the command fails, or does not give the same when it is repeated.
    """
    before, after = kept / "before", kept / "after"
    found = new_workplace(lane, None, warm)
    if place.before:
        finish(found.start(lane, list(place.before)))
    shutil.copytree(found.home, before)
    cache = None if place.is_cold else warm
    for folder in (kept / "first", after):  # the second time with the kernels of the first
        found = new_workplace(lane, before, cache)
        began = time.monotonic()
        command = found.start(lane, list(place.words), stop_at=None)
        answers = Visitor(command).round_and_end() if place.serves else {}
        finish(command, 130 if place.serves else 0)
        seconds = time.monotonic() - began
        shutil.copytree(found.home, folder)
    written = sum(path.stat().st_size for path in files_in(after))
    return Undisturbed(before, after, seconds, command.num_changes, written, answers)


def finish(command: Command, code: int = 0) -> None:
    if command.end() != code:
        raise RuntimeError(f"an undisturbed command ended with {command.code}:\n{command.text}")


def files_in(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder."""
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
