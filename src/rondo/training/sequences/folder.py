"""The folder of a run on sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from rondo.errors import RunError
from rondo.training.run_files import RunFiles
from rondo.training.sequences.config import SequenceConfig, config_from_json
from rondo.training.sequences.networks import build_network

Network = TypeVar("Network", bound=nn.Module)


class SequenceFolder(RunFiles[SequenceConfig]):
    """A run folder of a task on sequences.

    Args:
        path: The folder.
        task: The name of the task, for messages.
    """

    def __init__(self, path: Path, task: str) -> None:
        super().__init__(path)
        self.task = task

    @property
    def command(self) -> str:
        """The command that makes such runs."""
        return f"rondo train {self.task}"

    def parse_config(self, text: str) -> SequenceConfig:
        """Returns the settings that a `config.json` holds."""
        return config_from_json(text)

    def expected_origin(self, config: SequenceConfig) -> dict[str, Any]:
        """Returns what stands beside the weights of a run, but for what its data decide."""
        recipe = config.recipe
        return {
            "task": config.task,
            "cell": recipe.cell,
            "hidden_size": recipe.hidden_size,
            "num_layers": recipe.num_layers,
        }

    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        """Returns a new network of a name."""
        return build_network(name, arguments)


def read_run(
    path: Path, task: str, kind: type[Network]
) -> tuple[SequenceConfig, Network, dict[str, Any]]:
    """Returns the settings of a run of a task, its network, and what stands beside the weights.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """
    folder = SequenceFolder(path, task)
    config = folder.read_config()
    if config.task != task:
        raise RunError(f"{path} is a run of `rondo train {config.task}`, not of {task}")
    model, origin = folder.read_model_and_origin()
    assert isinstance(model, kind)
    return config, model, origin
