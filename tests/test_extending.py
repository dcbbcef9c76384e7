"""A task from outside the package, as docs/extending.md adds one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import STUCK_S

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, as an installer lays it out."""
    folder = tmp_path_factory.mktemp("site")
    text = PAGE.read_text()
    (project,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    definition, task = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[:2]
    (folder / "running_max").mkdir()
    (folder / "running_max" / "__init__.py").touch()
    (folder / "running_max" / "definition.py").write_text(definition)
    (folder / "running_max" / "task.py").write_text(task)
    facts = folder / "running_max-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: running-max\nVersion: 1.0\n")
    (entry,) = re.findall(r"^running-max = \"(.*)\"$", project, flags=re.MULTILINE)
    (facts / "entry_points.txt").write_text(f"[rondo.tasks]\nrunning-max = {entry}\n")
    return folder


def rondo(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-m", "rondo", *words],
        cwd=package, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=STUCK_S,
    )  # fmt: skip


def test_the_task_of_the_page_is_trained_and_evaluated_from_the_command_line(package: Path) -> None:
    assert "running-max" in rondo(package, "train", "--help").stdout
    help_text = rondo(package, "train", "running-max", "--help").stdout
    assert "steps of a sequence (default: 20)" in " ".join(help_text.split())
    options = ("--length", "5", "--sequences", "64", "--set", "check_every=32", "--run", "run")
    done = rondo(package, "train", "running-max", *options)
    assert done.returncode == 0, done.stderr
    assert "after 64 sequences; test:" in done.stdout
    found = rondo(package, "evaluate", "run")
    assert found.returncode == 0, found.stderr
    assert "2000" in found.stdout
    wrong = rondo(package, "train", "running-max", "--length", "0")
    assert wrong.returncode == 2
    assert "the length must be 1 or more, but is 0" in wrong.stderr


def test_the_task_of_the_page_takes_few_lines() -> None:
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)[:3]
    assert sum(len([line for line in block.splitlines() if line.strip()]) for block in blocks) <= 60


def test_a_task_that_cannot_be_loaded_is_told_and_leaves_the_others(package: Path) -> None:
    facts = package / "broken-1.0.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[rondo.tasks]\nbroken = running_max.nowhere:TASK\nstrange = running_max.task:draw\n"
    )
    listed = rondo(package, "train", "--help")
    assert listed.returncode == 0
    assert "read the words in pictures" in listed.stdout
    for name, words in (
        ("broken", "the task 'broken' cannot be loaded from running_max.nowhere:TASK"),
        ("strange", "the entry point 'strange' must lead to a"),
    ):
        told = rondo(package, "train", name)
        assert told.returncode == 2
        assert words in told.stderr
