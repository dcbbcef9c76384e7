"""The records of a run as a table for spreadsheets, `metrics.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rondo.system.csv_text import plain_cell
from rondo.system.files import write_text
from rondo.training.records import Record, read_records

COLUMNS = (
    *("split", "step", "num_seen", "epoch", "loss", "right", "baseline", "num_examples"),
    *("solved", "learning_rate", "per_second", "seconds", "skipped_steps", "skipped_inputs"),
)
"""The first columns of every table; what a record has beside them follows in its order."""


class CsvTable:
    """Writes all records of a run as one table, a line for each, whatever their split.

    The table is made of `metrics.jsonl`, which is written before a logger is called, and is whole
    at every moment; a run that goes on therefore has each line once.

    Args:
        path: The run folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, records: Sequence[Record]) -> None:
        """Writes the table anew."""
        kept = read_records(self.path / "metrics.jsonl", lambda _: None)
        write_text(self.path / "metrics.csv", table_text(kept))

    def close(self) -> None:
        """Does nothing: the table is whole."""


def table_text(records: Sequence[Record]) -> str:
    """Returns records as CSV, with the same columns whatever comes first.

    Example:
        >>> from rondo.training.loggers.csv_table import table_text
        >>> text = table_text([{"split": "val", "step": 3, "loss": 0.5, "top_5": 0.9}])
        >>> text.splitlines()[1]
        'val,3,,,0.5,,,,,,,,,,0.9'
    """
    more = dict.fromkeys(name for record in records for name in record if name not in COLUMNS)
    columns = (*COLUMNS, *more)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([plain_cell(column) for column in columns])
    writer.writerows([plain_cell(record.get(name)) for name in columns] for record in records)
    return text.getvalue()
