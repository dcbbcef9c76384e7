"""Where run folders are, which are runs, and whether a new one can be made."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path

from rondo.errors import RunError
from rondo.system.files import parts_in
from rondo.system.lock import NAME as LOCK_NAME

NEEDED_BYTES = 256 * 2**20
"""Free space that a run folder may need, old and new files together, in bytes, if not told."""

RUNS = Path("runs")
"""Where new runs are put, below the folder in which the command is given."""


def new_run_path(task: str, runs: Path = RUNS) -> Path:
    """Returns a path `runs/<task>-<date>-<n>` that does not exist yet."""
    number = 1
    while (path := runs / f"{task}-{date.today():%Y-%m-%d}-{number}").exists():
        number += 1
    return path


def make_run_path(task: str, runs: Path = RUNS) -> Path:
    """Makes an empty folder of such a name, which no other process is given.

    Raises:
        RunError: If it cannot be made.
    """
    while True:
        path = new_run_path(task, runs)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"cannot make {path}: {error.strerror}; give another --run") from error
        return path


def last_run(runs: Path = RUNS) -> Path:
    """Returns the newest run folder.

    Raises:
        RunError: If there is none.
    """
    configs = sorted(runs.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise RunError(f"there is no run in {runs.resolve()}; `rondo train TASK` makes one")
    return configs[-1].parent


def task_of(path: Path) -> str | None:
    """Returns the name of the task of a run folder; None where it cannot be read."""
    try:
        return str(json.loads((path / "config.json").read_text()).get("task", "photo"))
    except (OSError, ValueError, AttributeError):
        return None


def check_new_folder(path: Path, needed_bytes: int = NEEDED_BYTES) -> None:
    """Raises `RunError` where a run folder that grows to so many bytes cannot be made."""
    if path.exists() and not (path.is_dir() and is_unused(path)):
        raise RunError(exists_words(path))
    check_place(path, "--run", needed_bytes)


def check_place(path: Path, option: str, needed_bytes: int) -> None:
    """Raises `RunError` where a folder cannot be made or lacks space; it names the option."""
    parent = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"cannot make {path}: {parent} cannot be written to; give another {option}")
    free = shutil.disk_usage(parent).free
    if free < needed_bytes:
        raise RunError(
            f"{free / 2**20:.0f} MiB are free on the disk of {parent}, and a run needs "
            f"{needed_bytes / 2**20:.0f}; free some, or give another {option}"
        )


def is_unused(path: Path) -> bool:
    """Whether a folder holds nothing but what a run killed in its first moment leaves."""
    rest = set(path.iterdir()) - {*parts_in(path), path / LOCK_NAME}
    return all(item.name == "resume" and not any(item.iterdir()) for item in rest)


def exists_words(path: Path) -> str:
    """Returns that a folder is there already, and what to do."""
    return f"{path} exists already; give another --run, or go on with it by --resume {path}"
