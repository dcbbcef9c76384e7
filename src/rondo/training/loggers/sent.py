"""What the loggers of a run have got so far: `loggers.json` in the run folder.

A run that goes on does again what came after its saved state, with the same results. What a logger
got of that is not sent a second time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rondo.errors import RunError
from rondo.system.files import write_text
from rondo.system.json_text import json_text
from rondo.training.records import Record

NAME = "loggers.json"
"""The file of a run folder."""

ORDER = ("train", "val", "test")
"""The order of the records of one check."""

Position = tuple[int, int]
"""The examples seen at a record, and the place of its split among those of one check."""


class Sent:
    """The loggers of a run, the names by which trackers know the run, and what they have got.

    Args:
        path: The run folder.

    Raises:
        RunError: If the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.file = path / NAME
        self._values = _read(self.file)

    @property
    def names(self) -> list[str]:
        """The loggers of the run, none for a new one."""
        return list(self._values["names"])

    def keep_names(self, names: list[str]) -> None:
        """Keeps the names of the loggers, where they are other ones.

        Raises:
            OSError: If they cannot be written.
        """
        if names != self.names:
            self._values["names"] = names
            self._write()

    def run_of(self, name: str) -> dict[str, Any]:
        """Returns what a tracker calls the run, nothing where it does not know it yet."""
        found: dict[str, Any] = self._values["runs"].get(name, {})
        return dict(found)

    def is_new(self, name: str, record: Record) -> bool:
        """Whether a tracker has not got a record yet."""
        last = self._values["sent"].get(name)
        return last is None or _position(record) > tuple(last)

    def note(self, name: str, run: dict[str, Any], record: Record) -> None:
        """Notes that a tracker has got a record, and all before it."""
        self._values["runs"][name] = run
        self._values["sent"][name] = list(_position(record))
        self._write()

    def _write(self) -> None:
        write_text(self.file, json_text(self._values, indent=2) + "\n")


def _position(record: Record) -> Position:
    split = record["split"]
    return int(record["num_seen"]), ORDER.index(split) if split in ORDER else len(ORDER)


def _read(file: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"names": [], "runs": {}, "sent": {}}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read ({error}); {_REPAIR}") from error
    is_whole = isinstance(values, dict) and all(
        isinstance(values.get(key), type(default)) for key, default in empty.items()
    )
    if not is_whole:
        raise RunError(f"{file} is damaged; {_REPAIR}")
    return values


_REPAIR = "remove it, and the run goes on without loggers, or with those of --log"
