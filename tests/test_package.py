"""The names of the package itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rondo
from commands import STUCK_S


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
