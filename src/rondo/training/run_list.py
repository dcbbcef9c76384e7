"""The runs of a folder: of what task each is, how far it is, and what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondo.errors import RunError
from rondo.system.lock import is_held
from rondo.training.records import Record, read_records
from rondo.training.run_paths import task_of


@dataclass(frozen=True)
class RunSummary:
    """A run in a line.

    Args:
        path: Its folder.
        task: Its task; None where its settings cannot be read.
        state: "training" while a process holds it, "ended", "diverged", "interrupted", "begun"
            before its first check, or "damaged".
        num_seen: Training examples seen up to its last record.
        best_loss: The smallest loss in a check, in the unit of the task.
        best_right: The share of right answers in that check, where the task has one.
        test_loss: The loss of the test.
        test_right: The share of right answers in the test.
    """

    path: Path
    task: str | None
    state: str
    num_seen: int = 0
    best_loss: float | None = None
    best_right: float | None = None
    test_loss: float | None = None
    test_right: float | None = None


def runs_in(folder: Path) -> Iterator[RunSummary]:
    """Yields the runs of a folder, the one that was changed last at the end."""
    paths = [path.parent for path in folder.glob("*/config.json")]
    yield from map(summary, sorted(paths, key=_changed))


def summary(path: Path) -> RunSummary:
    """Returns a run in a line."""
    task = task_of(path)
    try:
        records = read_records(path / "metrics.jsonl", lambda text: None)
    except RunError:
        return RunSummary(path, task, "damaged")
    if task is None:
        return RunSummary(path, task, "damaged")
    checks = [r for r in records if r["split"] == "val" and r.get("loss") is not None]
    best: Record = min(checks, key=lambda record: record["loss"], default={})
    test: Record = records[-1] if records and records[-1]["split"] == "test" else {}
    seen: Any = records[-1].get("num_seen", 0) if records else 0
    return RunSummary(
        path,
        task,
        _state(path, records),
        int(seen),
        best.get("loss"),
        best.get("right"),
        test.get("loss"),
        test.get("right"),
    )


def _state(path: Path, records: list[Record]) -> str:
    if is_held(path):
        return "training"
    if not records:
        return "begun"
    if records[-1].get("diverged"):
        return "diverged"
    return "ended" if records[-1]["split"] == "test" else "interrupted"


def _changed(path: Path) -> float:
    """When a run was written to last."""
    files = (path / "config.json", path / "metrics.jsonl")
    return max(file.stat().st_mtime for file in files if file.exists())
