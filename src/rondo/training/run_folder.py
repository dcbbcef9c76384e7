"""The folder of a run on photos."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rondo.errors import RunError
from rondo.measures.calibration import Temperature, temperature_from_json
from rondo.system.files import write_text
from rondo.tasks.photo.task import build_model
from rondo.training.config import RunConfig, config_from_json
from rondo.training.run_files import RunFiles


class RunFolder(RunFiles[RunConfig]):
    """A run folder of `rondo train photo`."""

    command = "rondo train photo"

    def parse_config(self, text: str) -> RunConfig:
        """Returns the settings that a `config.json` holds."""
        return config_from_json(text)

    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name; its weights lie in memory as convolutions want them."""
        model = build_model(name, arguments)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def expected_origin(self, config: RunConfig) -> dict[str, Any]:
        """Returns what stands beside the weights of a run."""
        return {"model": config.model, **config.model_arguments}

    def write_model(self, model: nn.Module, config: RunConfig) -> None:
        """Keeps the weights that predict."""
        self.write_weights(model.state_dict(), origin_of(config))

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


def origin_of(config: RunConfig) -> dict[str, Any]:
    """Returns what stands beside the weights of a run."""
    return {
        "model": config.model,
        "arguments": config.model_arguments,
        "version": config.versions["rondo"],
        "classes": config.classes,
    }
