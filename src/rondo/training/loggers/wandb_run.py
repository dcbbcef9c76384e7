"""The figures of a run at Weights & Biases, or on the disk for `wandb sync`.

Files lie in the folder `wandb` of the run. Where no API key is known, and `WANDB_MODE` does not say
otherwise, the run is kept offline: nothing waits for a network, and nobody is asked for a key.
`WANDB_PROJECT` names another project.
"""

from __future__ import annotations

import netrc
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from rondo.training.loggers.tracker import PROJECT, RunPlace

INIT_SECONDS = 30.0
"""How long the service may take to answer, in seconds."""


class WandbRun:
    """A run of Weights & Biases, which goes on with the one that it was before.

    Args:
        place: The run.
    """

    def __init__(self, place: RunPlace) -> None:
        import wandb  # slow to load

        self._id = place.known.get("id") or secrets.token_hex(4)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=place.name,
            id=self._id,
            dir=place.path,
            config=dict(place.config),
            mode=None if _may_send() else "offline",  # None: as WANDB_MODE and `wandb offline` say
            resume="allow",
            settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS),
        )
        if self._run.offline:
            files = place.path / "wandb" / "offline-run-*"
            place.say(f"wandb keeps the run offline; `wandb sync {files}` sends it")

    @property
    def known(self) -> dict[str, Any]:
        """The identity of the run."""
        return {"id": self._id}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Sends the figures of a record; those of one step are one row."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Waits until all is sent or on the disk."""
        self._run.finish()


def _may_send() -> bool:
    """Whether there is a key, so that nobody is asked for one in the middle of a training."""
    if {"WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"} & set(os.environ):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return host in netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").hosts
    except (OSError, netrc.NetrcParseError):
        return False
