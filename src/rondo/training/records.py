"""Records as lines of JSON, such as `metrics.jsonl`: valid JSON whatever the numbers are.

The file is written whole at each save. One that was appended to, or copied, when a process or a
machine ended may have lost the end of its last line: that line is dropped. Damage elsewhere is an
error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rondo.data.skipped import count_of
from rondo.errors import RunError
from rondo.system.files import write_text
from rondo.system.json_text import json_text

Record = dict[str, Any]
"""One line: a check of one split, or a training that diverged."""


def write_records(path: Path, records: list[Record]) -> None:
    """Writes records, one JSON object in a line; numbers that are not finite become null."""
    write_text(path, _lines(records))


def cut_records(path: Path, records: list[Record]) -> None:
    """Has a file, where there is one, hold these records and nothing else."""
    if path.exists() and path.read_bytes() != _lines(records).encode():
        write_records(path, records)


def read_records(path: Path, say: Callable[[str], None]) -> list[Record]:
    """Returns the records of a file; none where there is no file.

    Args:
        path: The file.
        say: Is told of a last line that is dropped.

    Raises:
        RunError: If another line than the last is damaged; it names file and line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    records = []
    for number, line in numbered:
        try:
            records.append(_record(line))
        except (ValueError, RecursionError) as error:
            if number != numbered[-1][0]:
                raise RunError(
                    f"{path}: line {number} is damaged ({error}); mend or remove that line"
                ) from error
            say(f"{path}: the last line, {number}, is torn and is dropped")
    return records


def tell_skipped(record: Record, say: Callable[[str], None]) -> None:
    """Tells what a training has left out, as its last record counts it."""
    num_steps = record.get("skipped_steps", 0)
    if num_steps:
        say(f"{count_of(num_steps, 'step')} changed nothing: no finite gradient, or an empty batch")
    num_inputs = record.get("skipped_inputs", 0)
    if num_inputs:
        say(f"{count_of(num_inputs, 'input')} of the data could not be used")


def skipped_words(record: Record) -> list[str]:
    """For the line of a check: how many steps so far changed nothing, where there are any."""
    number = record.get("skipped_steps", 0)
    return [f"{count_of(number, 'step')} skipped"] if number else []


def _lines(records: list[Record]) -> str:
    return "".join(f"{json_text(record)}\n" for record in records)


def _record(line: bytes) -> Record:
    found = json.loads(line.decode())
    if not isinstance(found, dict) or "split" not in found:
        raise ValueError("it is no JSON object with a split")
    return found
