"""`rondo runs` and what is told of each run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from commands import Run
from rondo.system.lock import FolderLock, is_held
from rondo.training.run_list import RunSummary, runs_in, summary

VAL = {"split": "val", "num_seen": 100, "loss": 0.5, "right": 0.25}
BETTER = {"split": "val", "num_seen": 200, "loss": 0.25, "right": 0.75}
TEST = {"split": "test", "num_seen": 200, "loss": 0.3, "right": None}


def run_of(path: Path, *records: dict[str, Any], task: str = "adding") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"task": task}))
    if records:
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        (path / "metrics.jsonl").write_text(text)
    return path


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ((), {"state": "begun"}),
        ((VAL,), {"state": "interrupted", "num_seen": 100, "best_loss": 0.5, "best_right": 0.25}),
        (
            (BETTER, VAL, TEST),
            {"state": "ended", "num_seen": 200, "best_loss": 0.25, "best_right": 0.75,
             "test_loss": 0.3},
        ),
        (
            ({**VAL, "loss": None}, {"split": "train", "num_seen": 120, "diverged": True}),
            {"state": "diverged", "num_seen": 120},
        ),
    ],
)  # fmt: skip
def test_what_is_told_of_a_run(
    records: tuple[dict[str, Any], ...], told: dict[str, Any], tmp_path: Path
) -> None:
    path = run_of(tmp_path / "one", *records)
    assert summary(path) == RunSummary(path, "adding", **told)


def test_damaged_runs_are_told(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first", VAL, TEST)
    (first / "metrics.jsonl").write_text("{\n{}\n{}\n")
    second = run_of(tmp_path / "second")
    (second / "config.json").write_text("{")
    assert [summary(path).state for path in (first, second)] == ["damaged", "damaged"]


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system tells no locks")
def test_a_run_that_is_held_is_training(tmp_path: Path) -> None:
    path = run_of(tmp_path / "one", VAL)
    assert not is_held(path)
    with FolderLock(path).held(print):
        assert is_held(path)
        assert summary(path).state == "training"
    assert summary(path).state == "interrupted"


def test_locks_are_not_seen_where_the_system_tells_none(tmp_path: Path) -> None:
    path = run_of(tmp_path / "one", VAL)
    with FolderLock(path).held(print):
        assert not is_held(path, tmp_path / "absent")


def test_the_newest_run_is_last(tmp_path: Path) -> None:
    for time, name in ((3, "a"), (1, "b"), (2, "c")):
        path = run_of(tmp_path / name, VAL)
        for file in path.iterdir():
            os.utime(file, (time, time))
    (tmp_path / "no run").mkdir()
    assert [run.path.name for run in runs_in(tmp_path)] == ["b", "c", "a"]


def test_the_command(rondo: Run, tmp_path: Path) -> None:
    code, _, err = rondo("runs")
    assert code == 2
    assert err == "rondo: there is no folder runs; `rondo train` makes runs/, or name another\n"
    (tmp_path / "mine").mkdir()
    assert rondo("runs", "mine") == (0, "", "there are no runs in mine\n")
    run_of(tmp_path / "mine" / "one", BETTER, TEST)
    code, out, _ = rondo("runs", "mine")
    head, line = out.splitlines()
    assert (code, head.split()[:3]) == (0, ["run", "task", "state"])
    assert line.split() == ["one", "adding", "ended", "200", "0.2500", "75.0", "%", "0.3000", "-"]
    code, out, _ = rondo("runs", "mine", "--json")
    (run,) = json.loads(out)
    assert (code, run["state"], run["path"]) == (0, "ended", "mine/one")
