"""What a logger is, and one made of several of which any may fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from rondo.training.records import Record


class Logger(Protocol):
    """Is given each record as it is made."""

    def write(self, records: Sequence[Record]) -> None:
        """Keeps some records."""
        ...

    def close(self) -> None:
        """Is called at the end."""
        ...


class Loggers:
    """Gives records to several loggers; one that fails is told of and left out.

    Args:
        loggers: The loggers by name.
        say: Is told of each that fails, once.
    """

    def __init__(self, loggers: Mapping[str, Logger], say: Callable[[str], None]) -> None:
        self._loggers = dict(loggers)
        self._say = say

    def write(self, records: Sequence[Record]) -> None:
        """Gives some records to all."""
        for name, logger in list(self._loggers.items()):
            if not self._succeeds(name, partial(logger.write, records)):
                del self._loggers[name]

    def close(self) -> None:
        """Closes all."""
        for name, logger in self._loggers.items():
            self._succeeds(name, logger.close)
        self._loggers.clear()

    def _succeeds(self, name: str, do: Callable[[], None]) -> bool:
        """Whether a logger did something; where it failed, that is told.

        A service may raise anything at all, and no figure for it is worth the training.
        """
        try:
            do()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self._say(
                f"--log {name} failed ({lines[0]}); the training goes on without it, and "
                "metrics.jsonl holds all figures"
            )
            return False
        return True


def numbers_of(record: Record) -> dict[str, float]:
    """Returns the figures of a record by their names, such as `val/loss`."""
    return {
        f"{record['split']}/{name}": value
        for name, value in record.items()
        if isinstance(value, float)
    }
