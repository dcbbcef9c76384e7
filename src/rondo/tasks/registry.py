"""The tasks by name: those of this package, and those that other packages add by entry points.

A package adds one in its `pyproject.toml`, docs/extending.md says how:

    [project.entry-points."rondo.tasks"]
    my-task = "my_package.definition:MY_TASK"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.errors import RunError, look_up
from rondo.training.definition import Definition, at_place
from rondo.training.run_paths import task_of

if TYPE_CHECKING:
    from rondo.training.run_folder import RunFolder

GROUP = "rondo.tasks"
"""The group of entry points that tasks are found by."""

PLACES = {
    "photo": "rondo.tasks.photo.definition:PHOTO",
    "text": "rondo.tasks.text.definition:TEXT",
    "actions": "rondo.tasks.actions.definition:ACTIONS",
    "segmentation": "rondo.tasks.segmentation.definition:SEGMENTATION",
    "series": "rondo.tasks.series.definition:SERIES",
    "captions": "rondo.tasks.captions.definition:CAPTIONS",
    "characters": "rondo.tasks.characters.definition:CHARACTERS",
    "music": "rondo.tasks.music.definition:MUSIC",
    "digits-by-row": "rondo.tasks.digits_by_row.definition:DIGITS_BY_ROW",
    "adding": "rondo.tasks.memory.definitions:ADDING",
    "multiplication": "rondo.tasks.memory.definitions:MULTIPLICATION",
    "temporal-order-6a": "rondo.tasks.memory.definitions:TEMPORAL_ORDER_6A",
    "temporal-order-6b": "rondo.tasks.memory.definitions:TEMPORAL_ORDER_6B",
    "reber": "rondo.tasks.memory.definitions:REBER",
    "copy": "rondo.tasks.memory.definitions:COPY",
    "parity": "rondo.tasks.memory.definitions:PARITY",
}
"""Where the definitions of this package stand."""


def task_names() -> list[str]:
    """Returns the names of all tasks, those of this package first."""
    return [*PLACES, *(name for name in _added() if name not in PLACES)]


@cache
def definition_of(name: str) -> Definition:
    """Returns what a task states of itself.

    Raises:
        RunError: If there is none of that name, or the package that adds it cannot be loaded.

    Example:
        >>> from rondo.tasks.registry import definition_of
        >>> definition_of("copy").summary
        'say ten symbols again after a pause'
    """
    if name in PLACES:
        found: Definition = at_place(PLACES[name])
        return found
    entry = look_up("task", name, {**dict.fromkeys(PLACES), **_added()})
    assert entry is not None
    try:
        loaded = entry.load()
    except Exception as error:  # whatever a package of others raises
        raise RunError(
            f"the task {name!r} cannot be loaded from {entry.value} ({error}); mend or uninstall "
            "the package that adds it"
        ) from error
    if not isinstance(loaded, Definition) or loaded.name != name:
        raise RunError(
            f"the entry point {name!r} must lead to a rondo.training.definition.Definition of that "
            f"name, but {entry.value} is {loaded!r}"
        )
    return loaded


def folder_of(path: Path) -> RunFolder:
    """Returns a run folder, of whatever task it is.

    Raises:
        RunError: If it is none, or of a task that is not there.
    """
    from rondo.training.run_folder import RunFolder

    task = task_of(path)
    if task is None:
        raise RunError(_no_run(path))
    return RunFolder(path, definition_of(task))


def _no_run(path: Path) -> str:
    """Why a path is no run folder."""
    if not path.is_dir():
        return f"there is no run folder {path}; `rondo train TASK` makes one"
    return f"{path} is not a run folder: its config.json cannot be read"


@cache
def _added() -> dict[str, EntryPoint]:
    """The tasks that other packages add."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}
