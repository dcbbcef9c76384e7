"""The folder that a training run leaves behind, and the only place that knows its files.

    config.json         everything needed to build the model and the data again
    model.safetensors   the weights that predict, with the model's name and arguments: the best of
                        all checks, or the last
    best.safetensors    the best weights, where the last predict
    last.safetensors    the last weights, where the best predict
    metrics.jsonl       one JSON object for each check and split
    calibration.json    the temperature of the answers, for photos, when the training has ended
    report.html         what to look at, when the training has ended
    model_card.md       what must be known before the network is used, for photos
    tensorboard/        the same numbers, and other files of loggers, where they were asked for
    resume/state.pt     what an interrupted run needs to go on
    lock                held by the process that trains

Beside the weights and the state stand their digests, `*.sha256`. Every file but the TensorBoard
events is written under a temporary name and then renamed (`rondo.system.files`), so that a run that
is killed at any moment leaves the old file or the new one, never a piece. The state holds all that
a resume needs, the records of `metrics.jsonl` too; the other files follow it.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from rondo.errors import RunError
from rondo.system.digests import DamagedError, read_checked, write_with_digest
from rondo.system.files import remove_parts, write_text
from rondo.system.lock import FolderLock, HeldError
from rondo.system.memory import is_lack_of_memory
from rondo.training.divergence import first_not_finite
from rondo.training.records import Record, cut_records, read_records, write_records
from rondo.training.run_paths import exists_words, is_unused

BYTES_PER_PARAMETER = 56
"""The disk that a run may need for each parameter, in bytes.

Weights, their average, two moments of the optimiser and the best weights in the state, and two
files of weights beside it; all of it twice while a file is replaced.
"""


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
        self.best_file = path / "best.safetensors"
        self.last_file = path / "last.safetensors"
        self.metrics_file = path / "metrics.jsonl"
        self.calibration_file = path / "calibration.json"
        self.report_file = path / "report.html"
        self.card_file = path / "model_card.md"
        self.state_file = path / "resume" / "state.pt"
        self._lock = FolderLock(path)

    @abstractmethod
    def parse_config(self, text: str) -> Config:
        """Returns the settings that a `config.json` holds."""

    @abstractmethod
    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name."""

    @abstractmethod
    def expected_origin(self, config: Config) -> dict[str, Any]:
        """Returns what stands beside the weights of a run, as far as its settings say it."""

    @property
    @abstractmethod
    def command(self) -> str:
        """The command that makes such runs."""

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Keeps other processes from training in the folder while the block runs.

        What a killed process left unfinished is cleared away.

        Args:
            say: Is told where the folder cannot be locked.

        Raises:
            RunError: If another process trains there, or the folder cannot be written.
        """
        with holding(self._lock, say):
            for folder in (self.path, self.state_file.parent):
                remove_parts(folder)
            yield

    def create(self, config: Config, say: Callable[[str], None] = print) -> None:
        """Makes the folder with its `config.json`.

        Raises:
            RunError: If it cannot be written, or another process has just made it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self.held(say):
                if self.config_file.exists():
                    raise RunError(exists_words(self.path))
                write_text(self.config_file, config.to_json())
            self.state_file.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.path}: {error.strerror}") from error

    def read_config(self) -> Config:
        """Returns the settings of the run."""
        if not self.path.is_dir():
            raise RunError(f"there is no run folder {self.path}; `{self.command}` makes one")
        if is_unused(self.path):
            raise RunError(
                f"{self.path} is not a run folder: its config.json cannot be read, for nothing was "
                f"saved in it; begin with `{self.command} --run {self.path}`"
            )
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

    def write_weights(
        self, weights: dict[str, Any], origin: dict[str, Any], file: Path | None = None
    ) -> None:
        """Keeps weights, with the model's name, arguments and version.

        Args:
            weights: The weights.
            origin: What stands beside them.
            file: `best_file` or `last_file`; default the file of the weights that predict.
        """
        tensors = {name: value.contiguous() for name, value in weights.items()}
        metadata = {"rondo": json.dumps(origin)}  # one entry: safetensors keeps no order
        write_with_digest(file or self.model_file, save(tensors, metadata))

    def check_weights(self) -> None:
        """Raises `RunError` where there are weights that predict, and they are damaged."""
        if self.model_file.exists():
            self.read_model_and_origin()

    def read_model(self) -> nn.Module:
        """Returns the network that predicts, in evaluation mode."""
        return self.read_model_and_origin()[0]

    def read_model_and_origin(self, file: Path | None = None) -> tuple[nn.Module, dict[str, Any]]:
        """Returns the same, and what was written beside the weights.

        Args:
            file: `best_file` or `last_file`; default the file of the weights that predict.
        """
        file = file or self.model_file
        if not self.model_file.exists():
            raise RunError(
                f"the run {self.path} has not finished an epoch yet, so it cannot predict; "
                f"go on with `{self.command} --resume {self.path}`"
            )
        repair = (
            f"put back an unchanged copy, or remove it and give `{self.command} --resume "
            f"{self.path}`, which writes it again from the saved state"
        )
        contents = _read(file, repair)
        try:
            origin = _origin(contents)
            self.check_origin(origin)
            weights = load(contents)
            model = self.build_model(origin["model"], origin["arguments"])
            model.load_state_dict(weights)
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            _pass_on_lack_of_memory(error)
            raise RunError(f"{file} cannot be read ({_text(error)}); {repair}") from error
        _check_finite(file, weights, repair)
        return model.eval(), origin

    def check_origin(self, origin: Mapping[str, Any]) -> None:
        """Raises `ValueError` where weights with this beside them are of another run's network."""
        for name, value in self.expected_origin(self.read_config()).items():
            found = {**origin, **origin["arguments"]}.get(name, value)
            if found != value:
                raise ValueError(
                    f"it holds the weights of another network: its {name.replace('_', ' ')} is "
                    f"{found}, and the run's {value}"
                )

    def write_state(self, state: dict[str, Any]) -> None:
        """Keeps what the run needs to go on, the records so far among it."""
        self.state_file.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_with_digest(self.state_file, buffer.getvalue())

    def read_state(self) -> dict[str, Any] | None:
        """Returns what `write_state` kept, but for the records; None where nothing was kept yet."""
        saved = self.read_saved()
        return saved and {name: value for name, value in saved.items() if name != "records"}

    def read_saved(self) -> dict[str, Any] | None:
        """Returns all that `write_state` kept, or None where nothing was kept yet."""
        if not self.state_file.exists():
            return None
        repair = (
            f"put back an unchanged copy, or remove {self.state_file.parent} to begin the run from "
            "its start"
        )
        contents = _read(self.state_file, repair)
        try:
            state = torch.load(io.BytesIO(contents), weights_only=True, map_location="cpu")
            weights = state["model"]
        except Exception as error:  # torch.load raises whatever it stumbles over
            _pass_on_lack_of_memory(error)
            raise RunError(
                f"{self.state_file} cannot be read ({_text(error)}); {repair}"
            ) from error
        _check_finite(self.state_file, weights, repair)
        return state

    @contextmanager
    def loading_state(self) -> Iterator[None]:
        """Raises `RunError` where the state that a block loads is of another run's network."""
        try:
            yield
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            _pass_on_lack_of_memory(error)
            raise RunError(
                f"{self.state_file} is the state of another network than that of "
                f"{self.config_file} ({_text(error)}); put back the run's own, or remove "
                f"{self.state_file.parent} to begin the run from its start"
            ) from error

    def write_metrics(self, records: list[Record]) -> None:
        """Writes all records, one JSON object in a line."""
        write_records(self.metrics_file, records)

    def read_metrics(self, say: Callable[[str], None] = print) -> list[Record]:
        """Returns the records, an empty list where there are none yet.

        Args:
            say: Is told of a torn last line, which is dropped.
        """
        return read_records(self.metrics_file, say)

    def records_of(
        self,
        state: Mapping[str, Any] | None,
        is_counted: Callable[[Record], bool],
        say: Callable[[str], None],
    ) -> list[Record]:
        """Returns the records up to where a state stands, and cuts `metrics.jsonl` to them.

        Args:
            state: The saved state, or None for a run at its start.
            is_counted: Whether a state that holds no records itself, as those of older versions,
                counts a record.
            say: Is told of a torn last line.
        """
        written = self.read_metrics(say)
        kept = None if state is None else state.get("records")
        records = [record for record in written if is_counted(record)] if kept is None else kept
        cut_records(self.metrics_file, records)
        return list(records)


@contextmanager
def holding(lock: FolderLock, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of a folder while the block runs.

    Raises:
        RunError: If somebody else holds it, or its file cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.held(say))
        except HeldError as error:
            raise RunError(
                f"{lock.folder} is in use by {error}; let it end, or end it, and try again"
            ) from error
        except OSError as error:
            raise RunError(f"cannot write {lock.folder}: {error.strerror}") from error
        yield


def _read(path: Path, repair: str) -> bytes:
    """Returns what a file holds that has a digest.

    Raises:
        RunError: If it cannot be read or is damaged; it ends with how to repair that.
    """
    try:
        return read_checked(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror})") from error
    except DamagedError as error:
        raise RunError(f"{path} is not the file that the run wrote: {error}; {repair}") from error


def _origin(contents: bytes) -> dict[str, Any]:
    """Returns what stands beside the weights in a file of safetensors."""
    length = int.from_bytes(contents[:8], "little")
    header = json.loads(contents[8 : 8 + length])
    origin: dict[str, Any] = json.loads(header["__metadata__"]["rondo"])
    return origin


def _check_finite(path: Path, weights: Mapping[str, Any], repair: str) -> None:
    name = first_not_finite(weights)
    if name is not None:
        raise RunError(
            f"{path} holds NaN or infinite numbers in {name}, where weights are finite; {repair}"
        )


def _pass_on_lack_of_memory(error: Exception) -> None:
    """Raises an error again that says nothing against a file: there is not enough memory."""
    if is_lack_of_memory(error):
        raise error


def _text(error: Exception) -> str:
    """Returns an error in one line; torch puts what it has found on a line of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
