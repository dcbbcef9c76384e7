"""`rondo web`: the page on which to try a photo, look at cells and watch a training."""

from __future__ import annotations

import argparse
from typing import Any

from rondo.cli.commands import INTERRUPTED, run_path, say
from rondo.cli.manual import UsageError

DESCRIPTION = """\
Serve a page with three tabs. Photo: drop, paste or take one, and see the answer of a run with its
confidence, where the network looked, and its four sweeps as an animation. Cell: any cell folded and
unrolled, its plan and its kernel. Training: a task that asks for memory, trained live, with how far
the gradient reaches back in time. Photos are looked at in memory and not kept; nothing is fetched
from other machines. Not to be used to decide anything about a person.

examples:
  rondo web last                       the newest run of `rondo train photo`
  rondo web runs/photo-2026-01-31-1 --port 9000
  rondo web                            cells and training alone
"""


def add_web(commands: Any) -> argparse.ArgumentParser:
    """Adds the command; returns its parser."""
    help_text = "a page to try a photo, look at cells and watch a training"
    parser = commands.add_parser("web", help=help_text, description=DESCRIPTION)
    add = parser.add_argument
    add("RUN", nargs="?", help='a run folder of `rondo train photo`, or "last"')
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="the address to listen at (default: 127.0.0.1, for this machine alone); at others "
        "anybody who reaches this machine can use the page, without a password")  # fmt: skip
    add("--port", type=int, default=8000, metavar="N",
        help="the port, or 0 for any that is free (default: 8000)")  # fmt: skip
    return parser


def web(arguments: argparse.Namespace) -> int:
    """Serves the page until it is interrupted."""
    from rondo.web.serve import serve

    if not 0 <= arguments.port < 2**16:
        raise UsageError(f"--port must be from 0 to {2**16 - 1}, but is {arguments.port}")
    run = None if arguments.RUN is None else run_path(arguments.RUN)
    serve(run, arguments.host, arguments.port, say)
    return INTERRUPTED  # nothing else ends it; a shell's background job does not raise Ctrl-C
