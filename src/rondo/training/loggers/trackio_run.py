"""The figures of a run in Trackio, on this machine or where its variables say.

`TRACKIO_PROJECT` names another project. Trackio finds runs by their names, so the name is that of
the run folder with a word that no other run has.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from rondo.training.loggers.tracker import PROJECT, RunPlace


class TrackioRun:
    """A run of Trackio, which goes on with the one that it was before.

    Args:
        place: The run.
    """

    def __init__(self, place: RunPlace) -> None:
        with redirect_stdout(sys.stderr):  # standard output is for results
            import trackio  # slow to load

            self._name = place.known.get("name") or f"{place.name}-{secrets.token_hex(4)}"
            self._project = place.known.get("project") or os.environ.get("TRACKIO_PROJECT", PROJECT)
            self._run = trackio.init(
                project=self._project,
                name=self._name,
                config=dict(place.config),
                resume="must" if place.known else "never",
                embed=False,
            )

    @property
    def known(self) -> dict[str, Any]:
        """The project and the name of the run."""
        return {"project": self._project, "name": self._name}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Sends the figures of a record."""
        with redirect_stdout(sys.stderr):
            self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Waits until all is sent or on the disk."""
        with redirect_stdout(sys.stderr):
            self._run.finish()
