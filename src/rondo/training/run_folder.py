"""The folder of a run of any task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from rondo.errors import RunError
from rondo.measures.calibration import Temperature, temperature_from_json
from rondo.system.files import write_text
from rondo.training.config import RunConfig, config_from_json
from rondo.training.definition import Definition
from rondo.training.run_files import RunFiles

Kind = TypeVar("Kind", bound=nn.Module)


class RunFolder(RunFiles[RunConfig]):
    """A run folder of a task.

    Args:
        path: The folder.
        definition: What the task states of itself.
    """

    def __init__(self, path: Path, definition: Definition) -> None:
        super().__init__(path)
        self.definition = definition

    @property
    def command(self) -> str:
        """The command that makes such runs."""
        return f"rondo train {self.definition.name}"

    def parse_config(self, text: str) -> RunConfig:
        """Returns the settings that a `config.json` holds."""
        return config_from_json(text, self.definition)

    def expected_origin(self, config: RunConfig) -> dict[str, Any]:
        """Returns what stands beside the weights of a run, but for what its data decide."""
        recipe = config.recipe
        return {
            "task": config.task,
            "cell": recipe.cell,
            "hidden_size": recipe.hidden_size,
            "num_layers": recipe.num_layers,
            **{name: value for name, value in vars(config.options).items() if value is not None},
        }

    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name; its weights lie in memory as its recipe says."""
        model = self.definition.network(name).build(**arguments)
        if self.read_config().recipe.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def write_temperature(self, temperature: Temperature) -> None:
        """Keeps the temperature of the weights that predict."""
        write_text(self.calibration_file, temperature.to_json())

    def read_temperature(self) -> Temperature:
        """Returns the temperature; of a run that has none yet, one that changes nothing."""
        if not self.calibration_file.exists():
            return Temperature()
        try:
            return temperature_from_json(self.calibration_file.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.calibration_file} cannot be used: {error}; `{self.command} --resume "
                f"{self.path}` makes it again"
            ) from error


def read_run(
    path: Path, definition: Definition, kind: type[Kind]
) -> tuple[RunConfig, Kind, dict[str, Any]]:
    """Returns the settings of a run, its network, and what stands beside the weights.

    Args:
        path: The run folder.
        definition: What the task of the run states of itself.
        kind: The class of the network.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """
    folder = RunFolder(path, definition)
    config = folder.read_config()
    model, origin = folder.read_model_and_origin()
    assert isinstance(model, kind)
    return config, model, origin
