"""What the commands do; what computes is imported inside them, so that help needs none of it."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rondo.cli.manual import UsageError
from rondo.system.free_cores import CoreWatch

if TYPE_CHECKING:
    pass

SUCCESS, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes, as the manual names them."""


def free_threads(watch: CoreWatch) -> int:
    """Returns the threads of a new run: torch's, or fewer where other programs use the cores.

    Args:
        watch: Has watched the machine while torch was loaded.
    """
    import torch

    most, free = torch.get_num_threads(), watch.num_free()
    if free is None or free >= most:
        return most
    say(f"other programs use the cores: {free} of {most} threads; --threads takes another number")
    return free


def bench(arguments: argparse.Namespace) -> int:
    """Measures recurrent layers side by side."""
    from dataclasses import replace

    import torch

    from rondo.bench.options import QUICK, Options
    from rondo.bench.report import run

    if arguments.output is not None:
        _check_writable(arguments.output)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    given = {
        "suites": arguments.suite,
        "modules": arguments.module,
        "peers": arguments.peers,
        "num_rounds": arguments.rounds,
    }
    options = QUICK if arguments.quick else Options()
    options = replace(options, **{key: value for key, value in given.items() if value is not None})
    report = run(options, say)
    print(report.to_markdown(), end="")
    if arguments.output is not None:
        report.write(arguments.output, say)
    for line in report.failures:
        say(f"rondo: {line}")
    if not report.is_whole:
        return INTERRUPTED
    return SOME_FAILED if report.failures else SUCCESS


def _check_writable(folder: Path) -> None:
    """Makes a folder; raises `UsageError` now where it cannot be written to, not after an hour."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError:
        raise UsageError(f"--output must be a folder, but {folder} is a file") from None
    except OSError as error:
        raise UsageError(f"nothing can be written to {folder}: {error.strerror}") from None


def run_path(word: str) -> Path:
    """Returns the run folder that a word of the command means."""
    from rondo.training.run_paths import last_run

    return last_run() if word == "last" else Path(word)


@contextlib.contextmanager
def lost_frames_told() -> Iterator[None]:
    """Tells of lost frames of videos in a line for each file, every time."""
    from rondo.data.lost_frames import LostFramesWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LostFramesWarning):
                say(f"rondo: {message}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.simplefilter("always", LostFramesWarning)
        warnings.showwarning = tell
        yield


def say(text: str) -> None:
    """Tells the user what goes on; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)
