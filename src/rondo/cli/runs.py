"""`rondo runs`: the runs of a folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SUCCESS, USAGE, say
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.training.run_list import RunSummary

HEAD = ("run", "task", "state", "examples", "val loss", "right", "test loss", "right")


def add_runs(commands: Any) -> argparse.ArgumentParser:
    """Adds the command; returns its parser."""
    help_text = "list runs: task, state, best check and test"
    parser: argparse.ArgumentParser = commands.add_parser(
        "runs", help=help_text, description=help_text
    )
    parser.add_argument(
        "FOLDER", nargs="?", type=Path, default=Path("runs"),
        help="the folder that holds the run folders (default: runs)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def runs(arguments: argparse.Namespace) -> int:
    """Lists the runs of a folder, the newest last."""
    from rondo.system.columns import columns
    from rondo.training.run_list import runs_in

    folder = arguments.FOLDER
    if not folder.is_dir():
        say(f"rondo: there is no folder {folder}; `rondo train` makes runs/, or name another")
        return USAGE
    found = list(runs_in(folder))
    if arguments.json:
        print(json_text([{**asdict(one), "path": str(one.path)} for one in found], indent=2))
    elif found:
        print("\n".join(columns(HEAD, map(_row, found))))
    else:
        say(f"there are no runs in {folder}")
    return SUCCESS


def _row(run: RunSummary) -> tuple[str, ...]:
    return (
        run.path.name,
        run.task or "-",
        run.state,
        str(run.num_seen),
        _loss(run.best_loss),
        _share(run.best_right),
        _loss(run.test_loss),
        _share(run.test_right),
    )


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
