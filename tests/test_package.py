"""The names of the package itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rondo
from commands import STUCK_S
from rondo.extras import PACKAGES, TORCH

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there() -> None:
    for name in rondo.__all__:
        assert getattr(rondo, name) is not None
    assert set(rondo.__all__) <= set(dir(rondo))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rondo' has no attribute 'Elmann'"):
        _ = rondo.Elmann  # type: ignore[attr-defined]


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from rondo.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=STUCK_S
    )
    assert done.returncode == 0, done.stderr
    assert "rondo train photo" in done.stdout


def test_running_a_cell_does_not_wait_for_the_compiler_of_torch() -> None:
    code = (
        "import sys, torch, rondo\n"
        "layer = rondo.Recurrent(rondo.LSTMCell(2, 3))\n"
        "with torch.no_grad(): layer(torch.randn(1, 4, 2))\n"
        "assert 'torch._dynamo' not in sys.modules, 'TorchDynamo takes a second to load'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=STUCK_S
    )
    assert done.returncode == 0, done.stderr


def test_hints_name_extras_that_a_clone_has() -> None:
    """The package is on no index: `pip install rondo-rnn[...]` finds nothing."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(PACKAGES) == set(known) - {"dev"}
    for path in (ROOT / "src").rglob("*.py"):
        assert "rondo-rnn[" not in path.read_text(encoding="utf-8"), path


def test_the_packages_of_the_extras_are_those_of_the_project() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert project["dependencies"] == [f"torch>={TORCH}"]
    extras = project["optional-dependencies"]

    def packages_of(extra: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in extras[extra]:
            name, _, version = line.partition(">=")
            inner = name.partition("[")[2].rstrip("]")
            found |= packages_of(inner) if inner else {name: version}
        return found

    assert {extra: packages_of(extra) for extra in PACKAGES} == PACKAGES
