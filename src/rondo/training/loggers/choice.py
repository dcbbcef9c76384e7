"""From the words of `--log` to a logger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rondo.errors import RunError, look_up
from rondo.extras import how_to_install
from rondo.training.loggers.csv_table import CsvTable
from rondo.training.loggers.logger import Logger, Loggers
from rondo.training.loggers.sent import Sent
from rondo.training.loggers.tracker import RunPlace, TrackedRun, Tracker

NONE = "none"
"""The word for no logger."""


@dataclass(frozen=True)
class Kind:
    """A logger that is a package of its own.

    Args:
        package: The package, as Python imports it; the extra that brings it has the logger's name.
        module: Where its class is, which is imported when the first record comes.
        name: The class, which opens a run where it is made.
    """

    package: str
    module: str
    name: str

    def opened(self, place: RunPlace) -> TrackedRun:
        """Imports the package and opens a run."""
        module = import_module(f"rondo.training.loggers.{self.module}")
        run: TrackedRun = getattr(module, self.name)(place)
        return run


TRACKERS = {
    "tensorboard": Kind("tensorboard", "tensorboard_events", "TensorBoardEvents"),
    "mlflow": Kind("mlflow", "mlflow_run", "MLflowRun"),
    "wandb": Kind("wandb", "wandb_run", "WandbRun"),
    "trackio": Kind("trackio", "trackio_run", "TrackioRun"),
}
"""The loggers that need a package."""

LOGGERS = (*TRACKERS, "csv")
"""The names of all loggers."""


def check_names(words: str) -> list[str]:
    """Returns the loggers that the words of `--log` name, each once.

    Args:
        words: Names with commas between; "none" stands for no logger.

    Raises:
        RunError: If there is no such logger, or its package is not installed.

    Example:
        >>> from rondo.training.loggers import check_names
        >>> check_names("csv"), check_names("none")
        (['csv'], [])
    """
    names = list(dict.fromkeys(word.strip() for word in words.split(",")))
    if names == [NONE]:
        return []
    for name in names:
        look_up("logger", name, dict.fromkeys((*LOGGERS, NONE)))
        if name == NONE:
            raise RunError(f"--log {NONE} stands alone, but is {words!r}")
        if name in TRACKERS and find_spec(TRACKERS[name].package) is None:
            raise RunError(f"{name} is not installed; {how_to_install(name)}")
    return names


def make_logger(
    words: str | None,
    path: Path,
    config: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> Logger | None:
    """Returns what is given the records of a run, or None where nobody wants them.

    Args:
        words: What `--log` says; None takes the loggers that the run had so far.
        path: The run folder, already made.
        config: The settings of the run, as in `config.json`.
        say: Is told of a logger that fails, once.

    Raises:
        RunError: If there is no such logger, its package is not installed, or the file that keeps
            the loggers of the run is damaged or cannot be written.
    """
    sent = Sent(path)
    names = check_names(",".join(sent.names) or NONE if words is None else words)
    try:
        sent.keep_names(names)
    except OSError as error:
        raise RunError(f"cannot write {sent.file}: {error.strerror}") from error
    if not names:
        return None
    return Loggers({name: _logger(name, path, config, say, sent) for name in names}, say)


def _logger(
    name: str, path: Path, config: Mapping[str, Any], say: Callable[[str], None], sent: Sent
) -> Logger:
    if name not in TRACKERS:
        return CsvTable(path)
    place = RunPlace(path, config, sent.run_of(name), say)
    return Tracker(name, TRACKERS[name].opened, place, sent)
