"""The folder of a run on photos."""

from __future__ import annotations

from typing import Any

from torch import nn

from rondo.tasks.photo import build_model
from rondo.training.config import RunConfig, config_from_json
from rondo.training.run_files import RunFiles


class RunFolder(RunFiles[RunConfig]):
    """A run folder of `rondo train photo`."""

    command = "rondo train photo"

    def parse_config(self, text: str) -> RunConfig:
        """Returns the settings that a `config.json` holds."""
        return config_from_json(text)

    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name."""
        return build_model(name, arguments)

    def write_model(self, model: nn.Module, config: RunConfig) -> None:
        """Keeps the weights that predict."""
        self.write_weights(
            model.state_dict(),
            {
                "model": config.model,
                "arguments": config.model_arguments,
                "version": config.versions["rondo"],
            },
        )
