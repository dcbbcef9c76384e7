"""`rondo cache`: what lies in the folder of compiled kernels, and how to empty it."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SUCCESS
from rondo.cli.manual import UsageError

if TYPE_CHECKING:
    from rondo.compiler.cache_folder import Entry

DESCRIPTION = """\
Kernels that were compiled for cells are kept in a folder, so that later processes need no compiler:
$RONDO_CACHE, or rondo in the user's cache folder. It holds at most $RONDO_CACHE_MB megabytes
(512); those that were not used for longest are deleted first. Without an option the folder is
named, with what it holds.
"""


def add_cache(commands: Any) -> argparse.ArgumentParser:
    """Adds the command; returns its parser."""
    help_text = "list or delete the compiled kernels that are kept"
    parser: argparse.ArgumentParser = commands.add_parser(
        "cache", help=help_text, description=DESCRIPTION
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="name each one: size, last use, name")
    what.add_argument("--clear", action="store_true", help="delete all of them")
    return parser


def cache(arguments: argparse.Namespace) -> int:
    """Says what the folder holds, or deletes it."""
    from rondo.compiler.cache_folder import chosen_folder, limit_bytes, opened
    from rondo.compiler.trust import NotTrustedError

    path = chosen_folder()
    if not path.exists():
        print(f"{path}: not there yet")
        return SUCCESS
    try:
        with opened(path) as folder:
            found = folder.shrink(0) if arguments.clear else folder.entries()
    except NotTrustedError as reason:
        raise UsageError(f"{path} is not used: {reason}") from reason
    if arguments.list:
        print("\n".join(map(_line, found)))
    elif arguments.clear:
        print(f"{path}: deleted {_summary(found)}")
    else:
        print(f"{path}: {_summary(found)}, of at most {limit_bytes() / 1e6:g} MB")
    return SUCCESS


def _summary(entries: list[Entry]) -> str:
    return f"{len(entries)} kernels, {sum(entry.size_bytes for entry in entries) / 1e6:.1f} MB"


def _line(entry: Entry) -> str:
    used = datetime.fromtimestamp(entry.used).isoformat(" ", "seconds")
    return f"{entry.size_bytes / 1e3:8.1f} kB  {used}  {entry.name}"
