"""The folder that a training run leaves behind, and the only place that knows its files.

    config.json         everything needed to build the model and the data again
    model.safetensors   the weights that predict, with the model's name and arguments
    metrics.jsonl       one JSON object for each check and split
    calibration.json    the temperature of the answers, for photos, when the training has ended
    report.html         what to look at, for photos
    model_card.md       what must be known before the network is used, for photos
    tensorboard/        the same numbers for TensorBoard, for photos
    resume/state.pt     what an interrupted run needs to go on

Every file but the TensorBoard events is written under a temporary name and then renamed, so that a
run that is killed at any moment leaves the old file or the new one, never a piece.
"""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from rondo.training.run_error import RunError

NEEDED_BYTES = 256 * 2**20
"""Free space that a run folder may need, old and new files together, in bytes, if not told."""

RUNS = Path("runs")
"""Where new runs are put, below the folder in which the command is given."""


class Settings(Protocol):
    """What a `config.json` holds."""

    def to_json(self) -> str:
        """Returns the text of the file."""
        ...


Config = TypeVar("Config", bound=Settings)


class RunFiles(ABC, Generic[Config]):
    """A run folder.

    Reading and making one raise `RunError` with what to do; writing on raises `OSError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.model_file = path / "model.safetensors"
        self.metrics_file = path / "metrics.jsonl"
        self.calibration_file = path / "calibration.json"
        self.report_file = path / "report.html"
        self.card_file = path / "model_card.md"
        self.state_file = path / "resume" / "state.pt"
        self.tensorboard = path / "tensorboard"

    @abstractmethod
    def parse_config(self, text: str) -> Config:
        """Returns the settings that a `config.json` holds."""

    @abstractmethod
    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name."""

    @property
    @abstractmethod
    def command(self) -> str:
        """The command that makes such runs."""

    def create(self, config: Config) -> None:
        """Makes the folder with its `config.json`.

        Raises:
            RunError: If it cannot be written.
        """
        try:
            self.state_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.config_file, lambda path: path.write_text(config.to_json()))
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.path}: {error.strerror}") from error

    def read_config(self) -> Config:
        """Returns the settings of the run."""
        if not self.path.is_dir():
            raise RunError(f"there is no run folder {self.path}; `{self.command}` makes one")
        try:
            text = self.config_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(
                f"{self.path} is not a run folder: its config.json cannot be read ({error})"
            ) from error
        try:
            return self.parse_config(text)
        except RunError as error:
            raise RunError(f"cannot use the run {self.path}: {error}") from error

    def write_weights(self, weights: dict[str, Any], origin: dict[str, Any]) -> None:
        """Keeps the weights that predict, with the model's name, arguments and version."""
        tensors = {name: value.contiguous() for name, value in weights.items()}
        metadata = {"rondo": json.dumps(origin)}  # one entry: safetensors keeps no order
        write_atomically(self.model_file, lambda path: path.write_bytes(save(tensors, metadata)))

    def read_model(self) -> nn.Module:
        """Returns the network that predicts, in evaluation mode."""
        return self.read_model_and_origin()[0]

    def read_model_and_origin(self) -> tuple[nn.Module, dict[str, Any]]:
        """Returns the same, and what was written beside the weights."""
        if not self.model_file.exists():
            raise RunError(
                f"the run {self.path} has not finished an epoch yet, so it cannot predict; "
                f"go on with `{self.command} --resume {self.path}`"
            )
        try:
            with safe_open(self.model_file, framework="pt") as file:
                origin = json.loads(file.metadata()["rondo"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            model = self.build_model(origin["model"], origin["arguments"])
            model.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise RunError(f"{self.model_file} cannot be read ({_one_line(error)})") from error
        return model.eval(), origin

    def write_state(self, state: dict[str, Any]) -> None:
        """Keeps what the run needs to go on."""
        write_atomically(self.state_file, lambda path: torch.save(state, path))

    def read_state(self) -> dict[str, Any] | None:
        """Returns what `write_state` kept, or None where nothing was kept yet."""
        if not self.state_file.exists():
            return None
        try:
            return torch.load(self.state_file, weights_only=True, map_location="cpu")
        except Exception as error:  # torch.load raises whatever it stumbles over
            raise RunError(f"{self.state_file} cannot be read ({_one_line(error)})") from error

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        """Writes all records, one JSON object in a line."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self.metrics_file, lambda path: path.write_text(lines))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Returns the records, an empty list where there are none yet."""
        if not self.metrics_file.exists():
            return []
        try:
            return [json.loads(line) for line in self.metrics_file.read_text().splitlines()]
        except ValueError as error:
            raise RunError(f"{self.metrics_file} cannot be read ({error})") from error


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file under a temporary name, has it reach the disk, and gives it its name."""
    temporary = path.with_name(path.name + ".part")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def new_run_path(task: str, runs: Path = RUNS) -> Path:
    """Returns a path `runs/<task>-<date>-<n>` that does not exist yet."""
    number = 1
    while (path := runs / f"{task}-{date.today():%Y-%m-%d}-{number}").exists():
        number += 1
    return path


def last_run(runs: Path = RUNS, task: str = "photo") -> Path:
    """Returns the newest run folder.

    Raises:
        RunError: If there is none.
    """
    configs = sorted(runs.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise RunError(f"there is no run in {runs.resolve()}; `rondo train {task}` makes one")
    return configs[-1].parent


def task_of(path: Path) -> str | None:
    """Returns the name of the task of a run folder; None where it cannot be read."""
    try:
        return str(json.loads((path / "config.json").read_text()).get("task", "photo"))
    except (OSError, ValueError, AttributeError):
        return None


def check_new_folder(path: Path, needed_bytes: int = NEEDED_BYTES) -> None:
    """Raises `RunError` where a run folder that grows to so many bytes cannot be made."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path} exists already; give another --run, or go on with it by --resume {path}"
        )
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


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
