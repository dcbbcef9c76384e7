"""The versions of what computes a run."""

from __future__ import annotations

import json
import platform
from typing import Any

import torch

import rondo
from rondo.training.run_error import RunError


def current_versions() -> dict[str, str]:
    """Returns the versions of rondo, torch and Python that run now."""
    return {
        "rondo": rondo.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def values_of(text: str, task: str | None, known_format: int) -> dict[str, Any]:
    """Returns the values of a `config.json`.

    Args:
        text: What the file holds.
        task: "photo", or None for a task on sequences.
        known_format: The form of the run folder that this version of rondo reads.

    Raises:
        RunError: If it is a run of another kind or of another version of the run folder.
    """
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
