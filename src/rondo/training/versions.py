"""The settings of a run as text, with the versions of what computes it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import Any, TypeVar

import torch

import rondo
from rondo.errors import RunError

Config = TypeVar("Config")


def current_versions() -> dict[str, str]:
    """Returns the versions of rondo, torch and Python that run now."""
    return {
        "rondo": rondo.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def from_json(
    text: str, task: str | None, known_format: int, build: Callable[[dict[str, Any]], Config]
) -> Config:
    """Returns the settings that `dataclass_text` wrote.

    Args:
        text: What the file holds.
        task: "photo", or None for a task on sequences.
        known_format: The form of the run folder that this version of rondo reads.
        build: Makes the settings of their values.

    Raises:
        RunError: If the text is none, or is of another kind of run or version of the run folder.
    """
    try:
        return build(_values_of(text, task, known_format))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"config.json cannot be understood ({error})") from error


def _values_of(text: str, task: str | None, known_format: int) -> dict[str, Any]:
    """Returns the values of a `config.json`, once it is of the right kind and version."""
    values = json.loads(text)
    found_task = values.get("task", "photo")
    if (found_task == "photo") != (task == "photo"):
        wanted = "photos" if task == "photo" else "sequences"
        raise RunError(f"it is a run of `rondo train {found_task}`, and not of {wanted}")
    found = values.get("format")
    if found != known_format:
        raise RunError(
            f"the run has folder format {found}, this version of rondo ({rondo.__version__}) "
            f"reads format {known_format}; use rondo {values.get('versions', {}).get('rondo')}"
        )
    return values
