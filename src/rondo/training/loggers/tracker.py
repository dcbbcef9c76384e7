"""What all trackers of experiments have in common: a run of theirs that is opened, fed and closed.

Weights & Biases, MLflow and Trackio append what they are given. So each record is sent once, and
the name that a tracker has given the run is kept, for a training that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rondo.training.loggers.logger import numbers_of
from rondo.training.loggers.sent import Sent
from rondo.training.records import Record

PROJECT = "rondo"
"""Where runs are put, if the variables of the tracker's own do not name another project."""


@dataclass(frozen=True)
class RunPlace:
    """The run as a tracker is told of it.

    Args:
        path: The run folder.
        config: The settings of the run, as in `config.json`.
        known: What the tracker called the run when it was opened before, or nothing.
        say: Is given what the user should know.
    """

    path: Path
    config: Mapping[str, Any]
    known: Mapping[str, Any]
    say: Callable[[str], None]

    @property
    def name(self) -> str:
        """What to call the run."""
        return self.path.resolve().name


class TrackedRun(Protocol):
    """A run of a tracker that is open."""

    @property
    def known(self) -> dict[str, Any]:
        """What finds the run again."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Sends the figures of a record, over the examples seen."""
        ...

    def close(self) -> None:
        """Ends the sending; the run can be opened again."""
        ...


class Tracker:
    """Sends records to a tracker, which is imported and opened for the first of them.

    Args:
        name: Its name as `--log` knows it.
        open_run: Opens the run.
        place: What it is told of the run.
        sent: What it has got.
    """

    def __init__(
        self, name: str, open_run: Callable[[RunPlace], TrackedRun], place: RunPlace, sent: Sent
    ) -> None:
        self._name, self._open_run, self._place, self._sent = name, open_run, place, sent
        self._run: TrackedRun | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Sends those records that were not sent before."""
        for record in records:
            if not self._sent.is_new(self._name, record):
                continue
            if self._run is None:
                self._run = self._open_run(self._place)
            self._run.log(numbers_of(record), record["num_seen"])
            self._sent.note(self._name, self._run.known, record)

    def close(self) -> None:
        """Ends the sending."""
        if self._run is not None:
            self._run.close()


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns settings without nesting.

    Example:
        >>> from rondo.training.loggers.tracker import flat
        >>> flat({"task": "adding", "recipe": {"cell": "gru"}})
        {'task': 'adding', 'recipe.cell': 'gru'}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = f"{prefix}{key}"
        found |= flat(value, f"{inner}.") if isinstance(value, Mapping) else {inner: value}
    return found
