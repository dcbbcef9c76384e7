"""What a run was asked to do, as data that is written to `config.json` and read back."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from typing import Any

from rondo.errors import RunError, check_from_0, check_from_1, look_up
from rondo.system.json_text import dataclass_text
from rondo.training.definition import Definition
from rondo.training.device import DEVICES
from rondo.training.precision import PRECISIONS
from rondo.training.recipe import Recipe, recipe_from

FORMAT = 3
"""Changes whenever a run folder of an older version could no longer be read."""


def current_versions() -> dict[str, str]:
    """Returns the versions of rondo, torch and Python that run now."""
    import torch

    import rondo

    return {
        "rondo": rondo.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to build the model and the data of a run again.

    Args:
        task: The name of the task.
        options: The task's own options, a value of the dataclass that its definition names.
        recipe_name: The name of the recipe that `recipe` was made from.
        recipe: How to train, with every change the user asked for.
        data_fingerprint: Digest of the data, or None where they are drawn.
        seed: Seed of the weights and of all that is drawn.
        num_threads: Threads of torch; other numbers of threads round differently.
        start_from: The run, file or hub name whose weights it starts from, or None: new weights.
        device: Where it is trained: "auto", "cpu" or "gpu"; see `rondo.training.device`.
        versions: Versions of what computed the run.
        format: Form of the run folder.
    """

    task: str
    options: Any
    recipe_name: str
    recipe: Recipe
    data_fingerprint: str | None
    seed: int
    num_threads: int
    start_from: str | None = None
    device: str = "auto"
    versions: dict[str, str] = field(default_factory=current_versions)
    format: int = FORMAT

    def check(self) -> None:
        """Raises `RunError` where a value cannot be used."""
        self.recipe.check()
        look_up("precision", self.recipe.precision, dict.fromkeys(PRECISIONS))
        look_up("device", self.device, dict.fromkeys(DEVICES))
        check_from_1(number_of_threads=self.num_threads)
        check_from_0(seed=self.seed)

    def to_json(self) -> str:
        """Returns the text of `config.json`."""
        return dataclass_text(self)


def config_from_json(text: str, definition: Definition) -> RunConfig:
    """Returns the settings that `RunConfig.to_json` wrote.

    Args:
        text: What the file holds.
        definition: That of the run's task.

    Raises:
        RunError: If the text is none, or is of another task or version of the run folder.
    """
    try:
        values = json.loads(text)
        _check_kind(values, definition.name)
        return RunConfig(
            **{
                **values,
                "options": definition.options_from(values["options"]),
                "recipe": recipe_from(values["recipe"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"config.json cannot be understood ({error})") from error


def _check_kind(values: dict[str, Any], task: str) -> None:
    """Raises `RunError` where a `config.json` is of another version or task."""
    import rondo

    found = values.get("format")
    if found != FORMAT:
        raise RunError(
            f"the run has folder format {found}, this version of rondo ({rondo.__version__}) "
            f"reads format {FORMAT}; use rondo {values.get('versions', {}).get('rondo')}"
        )
    if values["task"] != task:
        raise RunError(f"it is a run of `rondo train {values['task']}`, and not of {task}")
