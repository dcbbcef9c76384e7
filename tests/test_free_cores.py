"""How many processors other programs leave free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rondo.system import free_cores
from rondo.system.free_cores import CoreWatch, num_free_cores

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def watched(folder: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> int | None:
    """What is found where `/proc/stat` begins with one line, and a moment later with another."""
    stat = folder / "proc" / "stat"
    stat.parent.mkdir(parents=True)
    stat.write_text(before)
    monkeypatch.setattr(free_cores.time, "sleep", lambda _: stat.write_text(after))
    return num_free_cores(folder)


@pytest.mark.parametrize(
    ("idle", "waiting", "free"),
    [(100, 0, CORES), (60, 40, CORES), (0, 0, 1), (4, 0, 1), (50, 0, max(1, round(CORES / 2)))],
)
def test_idle_processors_are_free(
    idle: int, waiting: int, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = 100 - idle - waiting
    after = f"cpu  {7 + busy} 0 5 {1000 + idle} {3 + waiting} 0 0 0 9 9\ncpu0 1 2 3\n"
    found = watched(tmp_path, monkeypatch, "cpu  7 0 5 1000 3 0 0 0 9 9\ncpu0 1 2 3\n", after)
    assert found == free


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e\n", "intr 1 2 3 4 5 6\n"])
def test_a_system_that_does_not_tell(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched(tmp_path, monkeypatch, text, text) is None


@pytest.mark.parametrize(("own_s", "free"), [(0.0, 1), (1.0, CORES)])
def test_what_this_process_used_itself_is_free(
    own_s: float, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processors were busy for a second of `/proc/stat`, with this process or with others."""
    ticks = os.sysconf("SC_CLK_TCK")
    stat = tmp_path / "proc" / "stat"
    stat.parent.mkdir()
    stat.write_text("cpu  0 0 0 0 0 0 0 0\n")
    monkeypatch.setattr(free_cores.time, "process_time", lambda: 0.0)
    watch = CoreWatch(tmp_path)
    stat.write_text(f"cpu  {ticks} 0 0 0 0 0 0 0\n")
    monkeypatch.setattr(free_cores.time, "process_time", lambda: own_s)
    assert watch.num_free() == free


def test_no_file(tmp_path: Path) -> None:
    assert num_free_cores(tmp_path) is None


def test_this_machine() -> None:
    found = num_free_cores()
    assert found is None or 1 <= found <= CORES
