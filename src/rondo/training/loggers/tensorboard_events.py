"""The figures of a run as TensorBoard events, in the folder `tensorboard` of the run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from rondo.training.loggers.tracker import RunPlace


class TensorBoardEvents:
    """Writes events; after each call they are on their way to the disk.

    Args:
        place: The run.
    """

    def __init__(self, place: RunPlace) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to load

        self._quiet = ExitStack()
        self._quiet.enter_context(quiet_thread())
        self._writer = SummaryWriter(place.path / "tensorboard")

    @property
    def known(self) -> dict[str, Any]:
        """Nothing: events that are added go into a file of their own."""
        return {}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Adds the figures of a record."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        with self._quiet:
            self._writer.close()


@contextmanager
def quiet_thread() -> Iterator[None]:
    """Keeps the errors of TensorBoard's thread from the terminal: it raises them in ours again."""
    previous = threading.excepthook

    def tell(arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard."):
            previous(arguments)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = previous
