"""The fault campaign: that its judge sees what is wrong, and that some of its rows are right."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import save

from commands import STUCK_S
from rondo.system.digests import write_with_digest

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks" / "faults.py"

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits of other processes are set as on Linux"
)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a part of the campaign."""
    monkeypatch.syspath_prepend(PROGRAM.parent)
    return importlib.import_module


def write_results(home: Path) -> None:
    """A file of each kind that commands write."""
    (home / "config.json").write_text('{"seed": 0}')
    (home / "metrics.jsonl").write_text('{"loss": 1.5, "seconds": 2}\n{"loss": 1.25}\n')
    write_with_digest(home / "model.safetensors", save({"weight": torch.ones(3)}))
    state = home / "state.pt"
    torch.save({"progress": {"step": 3}}, state)
    write_with_digest(state, state.read_bytes())
    for form in ("svg", "pdf", "png"):
        Figure().savefig(home / f"picture.{form}")
    (home / "report.html").write_text("<html><p>text</p></html>\n")
    (home / "table.csv").write_text("a,b\n1,2\n3,4\n")


def test_whole_files_are_whole_and_pieces_are_seen(
    module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    judge = module("fault_judge")
    write_results(tmp_path)
    assert list(judge.half_files(tmp_path)) == []
    names = [path.name for path in tmp_path.iterdir() if path.suffix != ".sha256"]
    assert {Path(name).suffix for name in names} == set(judge.READERS)
    for name in names:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-3])
        (half,) = judge.half_files(tmp_path)
        assert half.startswith(f"{name}: ")
        (tmp_path / name).write_bytes(whole)


def test_what_is_lost_is_seen(module: Callable[[str], ModuleType], tmp_path: Path) -> None:
    judge = module("fault_judge")
    write_results(tmp_path)
    before = judge.snapshot(tmp_path)
    assert list(judge.lost(before, judge.snapshot(tmp_path))) == []
    (tmp_path / "report.html").unlink()
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1.5}\n')
    torch.save({"progress": {"step": 2}}, tmp_path / "early.pt")
    write_with_digest(tmp_path / "state.pt", (tmp_path / "early.pt").read_bytes())
    write_with_digest(tmp_path / "early.pt", (tmp_path / "early.pt").read_bytes())
    assert list(judge.lost(before, judge.snapshot(tmp_path))) == [
        "report.html is gone",
        "metrics.jsonl has lost records",
        "state.pt has gone back from step 3 to 2",
    ]


def test_other_numbers_are_seen(module: Callable[[str], ModuleType], tmp_path: Path) -> None:
    judge = module("fault_judge")
    names = ("metrics.jsonl", "model.safetensors", "report.html", "missing.svg")
    one, other = tmp_path / "one", tmp_path / "other"
    for home in (one, other):
        home.mkdir()
        write_results(home)
    (other / "metrics.jsonl").write_text('{"loss": 1.5, "seconds": 9}\n{"loss": 1.2501}\n')
    (other / "model.safetensors").write_bytes(save({"weight": torch.ones(3) * 1.0001}))
    found = " is not that of the undisturbed command"
    assert list(judge.other_numbers(one, other, names, is_exact=True)) == [
        f"metrics.jsonl{found}",
        f"model.safetensors{found}",
        "missing.svg is not there",
    ]
    assert list(judge.other_numbers(one, other, names, is_exact=False)) == [
        "missing.svg is not there"
    ]


@pytest.mark.parametrize(
    ("name", "code", "text", "wrong"),
    [
        ("SIGKILL", -9, "", None),
        ("SIGKILL", 0, "", "its exit code is 0"),
        ("SIGINT", 130, "interrupted", None),
        ("SIGINT", 130, "", "does not say what happened"),
        ("SIGINT", 1, "interrupted", "its exit code is 1"),
        ("disk full", 2, "rondo: a: No space left on device; nothing saved is lost", None),
        ("disk full", 2, "No space left on device", "its last line is"),
        ("memory limit", 2, "rondo: something failed", "does not say what happened"),
        ("memory limit", 2, "Traceback (most recent call last):", "it told of 'Traceback'"),
        ("compiler", 0, "EngineWarning: CC is 'campaign-cc'", None),
        ("compiler", 0, "EngineWarning: a\nEngineWarning: b", "it warned 2 times"),
        ("compiler", 0, "EngineWarning: campaign-cc\n  warnings.warn(t, EngineWarning)\n", None),
        ("memory limit", 0, "W1129 22:03:03.049 12 torch/a.py:8] Traceback (most\n", None),
        ("compiler", 0, "EngineWarning: it fails", "does not name the compiler"),
        ("compiler", 0, "GRUCell runs on the slower reference engine", "does not name the comp"),
    ],
)
def test_how_a_command_ended_is_judged(
    module: Callable[[str], ModuleType], name: str, code: int, text: str, wrong: str | None
) -> None:
    kinds = module("fault_kinds")
    found = kinds.wrong_ending(kinds.Fault(name), code, text, kinds.MAY_END_WITH[name])
    assert found is None if wrong is None else wrong in found


def test_rows_are_drawn_again_and_cover_all_places_and_faults(
    module: Callable[[str], ModuleType],
) -> None:
    rows = module("fault_rows")
    drawn = [rows.drawn_row(0, number) for number in range(200)]
    assert drawn == [rows.drawn_row(0, number) for number in range(200)]
    assert drawn != [rows.drawn_row(1, number) for number in range(200)]
    assert {(row.place, row.fault.name) for row in drawn} == {
        (place, fault) for place in rows.PLACES for fault in rows.DRAWS
    }


@on_linux
def test_processes_of_a_session_are_found(module: Callable[[str], ModuleType]) -> None:
    processes = module("fault_processes")
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as process:
        assert processes.in_session(process.pid) == [f"{process.pid} sleep"]
        os.kill(process.pid, signal.SIGKILL)
    assert processes.in_session(process.pid) == []


def campaign(*words: str) -> tuple[int, str]:
    """Runs a part of it; returns the exit code and what it tells."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--jobs", "1", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=STUCK_S,
    )
    return done.returncode, done.stderr


@on_linux
@pytest.mark.slow
def test_some_rows_are_right() -> None:
    """A training on sequences that is killed, and one whose disk is full."""
    code, told = campaign("--only", "2,14")
    assert "0 of 2 rows are wrong" in told, told
    assert code == 0
    assert re.search(r"row 2, training, sequences: SIGKILL .*, exit code -9", told)
    assert re.search(r"row 14, training, sequences: disk full .*, exit code [02]", told)


@on_linux
@pytest.mark.slow
def test_a_row_of_each_place_and_fault_is_right_and_counted(tmp_path: Path) -> None:
    code, told = campaign("--rows", "30", "--seed", "1", "--output", str(tmp_path))
    assert code == 0, told
    page = (tmp_path / "faults.md").read_text()
    assert "Nothing was wrong in 30 of 30 rows" in page
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    rows = [row for row in cells if len(row) > 10 and row[2].isdigit()]
    assert len(rows) == 31
    assert {row[2] for row in rows} == {"1", "30"}
    assert json.loads(rows[-1][2]) == sum(map(int, rows[-1][3:7]))
