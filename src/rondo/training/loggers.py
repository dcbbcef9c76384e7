"""Where records go beside `metrics.jsonl`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rondo.training.records import Record

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Logger(Protocol):
    """Is given each record as it is made."""

    def write(self, records: Sequence[Record]) -> None:
        """Keeps some records."""
        ...

    def close(self) -> None:
        """Is called at the end."""
        ...


class TensorBoardEvents:
    """Writes the numbers of records as TensorBoard events, over the examples seen.

    Args:
        path: The folder of the events.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: SummaryWriter | None = None

    @staticmethod
    def is_there() -> bool:
        """Whether TensorBoard is installed."""
        return find_spec("tensorboard") is not None

    def write(self, records: Sequence[Record]) -> None:
        """Adds the numbers of some records."""
        if self._writer is None:  # what a killed process wrote already is replaced
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self.path, purge_step=records[0]["num_seen"])
        for record in records:
            for name, value in record.items():
                if isinstance(value, float):
                    place = f"{record['split']}/{name}"
                    self._writer.add_scalar(place, value, record["num_seen"])
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
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
