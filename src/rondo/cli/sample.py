"""`rondo sample`: text that a run of characters writes."""

from __future__ import annotations

import argparse
from typing import Any

from rondo.cli.commands import SUCCESS, run_path


def add_sample(commands: Any) -> argparse.ArgumentParser:
    """Adds `rondo sample`; returns its parser."""
    help_text = "write text as a run of `rondo train characters` has learnt to"
    parser = commands.add_parser("sample", help=help_text, description=help_text)
    parser.add_argument("RUN", help='a run folder, or "last"')
    add = parser.add_argument
    add("--temperature", type=float, default=0.8, metavar="X",
        help="below 1: likely characters are likelier (default: 0.8)")  # fmt: skip
    add("--length", type=int, default=500, metavar="N", help="characters (default: 500)")
    add("--start", default="", metavar="TEXT", help="what the text goes on from (default: nothing)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws (default: 0)")
    return parser


def sample(arguments: argparse.Namespace) -> int:
    """Writes text drawn from a run."""
    from rondo.tasks.characters.answers import sample_run

    text = sample_run(
        run_path(arguments.RUN, "characters"),
        length=arguments.length,
        temperature=arguments.temperature,
        start=arguments.start,
        seed=arguments.seed,
    )
    print(text)
    return SUCCESS
