"""What is looked at when a command was hit: what was lost, what is half, what is other."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from PIL import Image
from safetensors.torch import load

from fault_places import files_in
from rondo.compiler.shared_object import is_whole
from rondo.system.digests import digest_file, read_checked
from rondo.system.files import ENDING, PREFIX

TIMES = {"seconds", "per_second"}
"""What of a record is not the same in every run."""

ROUNDING = 1e-3
"""How far numbers may be apart where another engine has computed some of them."""


@dataclass(frozen=True)
class Snapshot:
    """A folder before the fault.

    Args:
        files: Its finished files, by path below it.
        records: What was recorded in each `metrics.jsonl`.
        steps: How far each saved state is.
    """

    files: frozenset[str]
    records: dict[str, list[Any]]
    steps: dict[str, int]


def snapshot(home: Path) -> Snapshot:
    names, records, steps = set(), {}, {}
    for path in finished(home):
        name = str(path.relative_to(home))
        names.add(name)
        if path.suffix == ".jsonl":
            records[name] = records_of(path.read_text())
        elif path.suffix == ".pt":
            steps[name] = state_of(path)["progress"]["step"]
    return Snapshot(frozenset(names), records, steps)


def lost(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """Yields what was there before the fault and is no more."""
    yield from (f"{name} is gone" for name in sorted(before.files - now.files))
    for name, records in before.records.items():
        if now.records.get(name, [])[: len(records)] != records:
            yield f"{name} has lost records"
    for name, step in before.steps.items():
        if now.steps.get(name, -1) < step:
            yield f"{name} has gone back from step {step} to {now.steps.get(name)}"


def unfinished(home: Path) -> list[str]:
    """The files that a process was writing when it ended."""
    return [path.name for path in files_in(home) if is_part(path)]


def is_part(path: Path) -> bool:
    return path.name.startswith(PREFIX) and path.name.endswith(ENDING)


def is_building(home: Path) -> bool:
    """Whether a kernel is being compiled, or was when its process was killed."""
    return any(home.glob("cache/build-*"))


def finished(home: Path) -> Iterator[Path]:
    """Yields the files of a folder but for unfinished ones and those of the cache."""
    yield from (
        path
        for path in files_in(home)
        if not is_part(path) and (home / "cache") not in path.parents
    )


def half_files(home: Path) -> Iterator[str]:
    """Yields the files that are not whole, with the reason."""
    for path in finished(home):
        if path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except Exception as error:  # each reader has its own
                yield f"{path.relative_to(home)}: {error}"


def half_kernels(cache: Path) -> Iterator[str]:
    """Yields the kernels of a cache that are not whole."""
    for path in cache.glob("*.so"):
        expected = path.with_suffix(".sum").read_text()
        if not is_whole(path) or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            yield f"{path.name} is not the kernel of its checksum"


def is_free(lock: Path) -> bool:
    """Whether nobody holds the lock of a folder."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


# ---- the same numbers ----


def other_numbers(
    expected: Path, home: Path, results: tuple[str, ...], is_exact: bool
) -> Iterator[str]:
    """Yields the results that are not those of the undisturbed command."""
    for name in results:
        one, other = expected / name, home / name
        if not other.exists():
            yield f"{name} is not there"
        elif not (is_same(one, other) or (not is_exact and is_close(one, other))):
            yield f"{name} is not that of the undisturbed command"


def is_same(one: Path, other: Path) -> bool:
    if one.suffix == ".jsonl":
        return records_of(one.read_text()) == records_of(other.read_text())
    return one.read_bytes() == other.read_bytes()


def is_close(one: Path, other: Path) -> bool:
    """Whether two files hold the same but for rounding."""
    if one.suffix == ".safetensors":
        first, second = load(one.read_bytes()), load(other.read_bytes())
        return first.keys() == second.keys() and all(
            torch.allclose(first[name], second[name], ROUNDING, ROUNDING) for name in first
        )
    if one.suffix == ".jsonl":
        pairs = [records_of(path.read_text()) for path in (one, other)]
        return is_near(*pairs)
    return False


def is_near(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= ROUNDING * (1 + abs(one))
    return bool(one == other)


def records_of(text: str) -> list[Any]:
    records = [json.loads(line) for line in text.splitlines()]
    return [{key: value for key, value in r.items() if key not in TIMES} for r in records]


# ---- whole files ----


def state_of(path: Path) -> Any:
    return torch.load(io.BytesIO(checked(path)), weights_only=True)


def checked(path: Path) -> bytes:
    if not digest_file(path).exists():
        raise ValueError("no digest stands beside it")
    return read_checked(path)


def read_png(path: Path) -> None:
    if path.read_bytes()[-8:-4] != b"IEND":
        raise ValueError("it does not end as a PNG does")
    with Image.open(path) as image:
        image.load()


def read_table(path: Path) -> None:
    with path.open(newline="") as lines:
        if len({len(row) for row in csv.reader(lines)}) != 1:
            raise ValueError("its rows are not of one length")


def read_ended(ending: str) -> Callable[[Path], None]:
    """A reader of files that end in certain words."""

    def read(path: Path) -> None:
        if not path.read_bytes().rstrip().endswith(ending.encode()):
            raise ValueError(f"it does not end in {ending!r}")

    return read


READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": lambda path: records_of(path.read_text()),
    ".safetensors": lambda path: load(checked(path)),
    ".pt": state_of,
    ".svg": ElementTree.parse,
    ".html": read_ended("</html>"),
    ".pdf": read_ended("%%EOF"),
    ".png": read_png,
    ".csv": read_table,
}
"""What reads a file as a whole, by its ending."""
