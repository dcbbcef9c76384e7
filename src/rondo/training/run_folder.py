"""The folder that a training run leaves behind, and the only place that knows its files.

    config.json         everything needed to build the model and the data again
    model.safetensors   the weights that predict, with the model's name and arguments
    metrics.jsonl       one JSON object for each epoch and split
    report.html         what to look at
    tensorboard/        the same numbers for TensorBoard
    resume/state.pt     what an interrupted run needs to go on

Every file but the TensorBoard events is written under a temporary name and then renamed, so that a
run that is killed at any moment leaves the old file or the new one, never a piece.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from rondo.tasks.photo import build_model
from rondo.training.config import RunConfig, RunError, config_from_json

RUNS = Path("runs")
"""Where new runs are put, below the folder in which the command is given."""


class RunFolder:
    """A run folder; reading raises `RunError` with what to do, writing raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.model_file = path / "model.safetensors"
        self.metrics_file = path / "metrics.jsonl"
        self.report_file = path / "report.html"
        self.state_file = path / "resume" / "state.pt"
        self.tensorboard = path / "tensorboard"

    def create(self, config: RunConfig) -> None:
        """Makes the folder with its `config.json`."""
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.config_file, lambda path: path.write_text(config.to_json()))

    def read_config(self) -> RunConfig:
        """Returns the settings of the run."""
        if not self.path.is_dir():
            raise RunError(f"there is no run folder {self.path}; `rondo train photo` makes one")
        try:
            text = self.config_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(
                f"{self.path} is not a run folder: its config.json cannot be read ({error})"
            ) from error
        try:
            return config_from_json(text)
        except RunError as error:
            raise RunError(f"cannot use the run {self.path}: {error}") from error

    def write_model(self, model: nn.Module, config: RunConfig) -> None:
        """Keeps the weights that predict."""
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        origin = {
            "model": config.model,
            "arguments": config.model_arguments,
            "version": config.versions["rondo"],
        }
        metadata = {"rondo": json.dumps(origin)}  # one entry: safetensors keeps no order
        write_atomically(self.model_file, lambda path: path.write_bytes(save(weights, metadata)))

    def read_model(self) -> nn.Module:
        """Returns the network that predicts, in evaluation mode."""
        if not self.model_file.exists():
            raise RunError(
                f"the run {self.path} has not finished an epoch yet, so it cannot predict; "
                f"go on with `rondo train photo --resume {self.path}`"
            )
        try:
            with safe_open(self.model_file, framework="pt") as file:
                origin = json.loads(file.metadata()["rondo"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            model = build_model(origin["model"], origin["arguments"])
            model.load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise RunError(f"{self.model_file} cannot be read ({_one_line(error)})") from error
        return model.eval()

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


def last_run(runs: Path = RUNS) -> Path:
    """Returns the newest run folder.

    Raises:
        RunError: If there is none.
    """
    configs = sorted(runs.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise RunError(f"there is no run in {runs.resolve()}; `rondo train photo` makes one")
    return configs[-1].parent


def _one_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
