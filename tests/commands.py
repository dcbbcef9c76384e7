"""Commands as a user types them, in this process and in one of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rondo import cli

STUCK_S = 600
"""Seconds after which a process counts as stuck, however busy the machine is."""

Run = Callable[..., tuple[int, str, str]]
"""Runs a command in an empty folder; returns its exit code and its two outputs."""


def check_answered_in_one_line(rondo: Run, folder: Path, words: str, message: str) -> None:
    """Asserts that a command cannot be used, and that its last line says why."""
    (folder / "file").touch()
    code, out, err = rondo(*words.split())
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert line.startswith("rondo: ")
    with pytest.raises(ValueError, match=message):
        raise ValueError(line)
    assert not (folder / "runs").exists()


def check_refused(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    """Asserts that a command is answered by one line that begins with a message."""
    assert cli.main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"rondo: {message}")
    assert captured.err.count("\n") == 1


def command_that_is_ended(
    words: Sequence[str], number: int, wait_s: float, is_time: Callable[[str], bool]
) -> tuple[int, str]:
    """Starts a command and sends it a signal some time after a line; returns what it answered."""
    command = [sys.executable, "-m", "rondo", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if is_time(line):
            time.sleep(wait_s)
            process.send_signal(number)
            break
    _, rest = process.communicate(timeout=STUCK_S)
    return process.returncode, rest


def command_to_its_end(*words: str) -> None:
    """Runs a command that must succeed."""
    subprocess.run([sys.executable, "-m", "rondo", *words], check=True, capture_output=True)
