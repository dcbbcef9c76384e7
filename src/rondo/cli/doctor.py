"""`rondo doctor`: what this machine has, what it lacks, and whether a cell runs on it."""

from __future__ import annotations

import argparse
from typing import Any

from rondo.cli.commands import SOME_FAILED, SUCCESS

DESCRIPTION = """\
Look at all that Rondo needs: the processor and its vector instructions, the cores and the share of
them that a container may use, the C compiler and how it was found, the folder of compiled kernels,
threads, torch, GPUs and the packages of each extra. Then compile a cell that was never compiled
before and compare it with the plain loop. Where something lacks, it says what to do. It needs torch
alone and takes a few seconds; nothing is sent anywhere.

exit codes:
  0  Rondo can be used, even if some extra lacks
  1  something is broken, or the self-test failed
"""


def add_doctor(commands: Any) -> argparse.ArgumentParser:
    """Adds the command; returns its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="what this machine has and lacks, and a self-test", description=DESCRIPTION
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with all details")
    return parser


def doctor(arguments: argparse.Namespace) -> int:
    """Prints what was found."""
    from rondo.doctor.report import diagnose

    report = diagnose()
    print(report.to_json() if arguments.json else report)
    return SUCCESS if report.is_usable else SOME_FAILED
