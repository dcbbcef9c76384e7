"""What the commands do; what computes is imported inside them, so that help needs none of it."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

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
