"""`rondo table`: networks trained one after another under one budget, and a table of them."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path

from rondo.cli.commands import SOME_FAILED, SUCCESS, say
from rondo.cli.manual import WEIGHTS, add_photos, add_threads

OUTPUT = Path("runs/photo-table")
"""Where the table of photo networks is put if no other folder is named."""


def add_table_photo(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `rondo table photo`."""
    add_photos(parser)
    add = parser.add_argument
    add("--size", type=int, metavar="N", dest="image_size",
        help="side of the photos, a multiple of 32 (default: 64)")  # fmt: skip
    add("--epochs", type=int, metavar="N", help="passes over the photos (default: 10)")
    add("--batch-size", type=int, metavar="N", help="photos in a step (default: 64)")
    add("--models", type=words, metavar="NAMES",
        help="networks, with commas between (default: all)")  # fmt: skip
    add("--weights", metavar="FILE",
        help=f"{WEIGHTS} (default: these three are left out)")  # fmt: skip
    add("--seeds", type=numbers, metavar="NUMBERS",
        help="a run for each, with commas between (default: 0)")  # fmt: skip
    add("--precision", metavar="TYPE",
        help="float32, bfloat16, or auto: what is fast here (default: auto)")  # fmt: skip
    add_threads(parser)
    add("--output", type=Path, metavar="DIR", default=OUTPUT,
        help=f"the folder of the table and its runs (default: {OUTPUT})")  # fmt: skip


def table_photo(arguments: argparse.Namespace) -> int:
    """Trains the networks of the table that are not trained yet, and writes the table."""
    from rondo.training.memory import keep_freed_memory

    keep_freed_memory()
    from rondo.sweep.page import markdown
    from rondo.sweep.run import Comparison, compare
    from rondo.training.session import Options

    given = {name: value for name, value in vars(arguments).items() if value is not None}
    shared = {field.name: given[field.name] for field in fields(Options) if field.name in given}
    shared.pop("weights", None)
    options = Options(**{"image_size": 64, **shared, "recipe": "table"})
    chosen = {name: given[name] for name in ("models", "seeds", "weights") if name in given}
    folder: Path = arguments.output
    say(f"folder {folder}; Ctrl-C ends after a batch, and the same command goes on")
    outcome = compare(Comparison(options, **chosen), folder, say)
    if outcome.signal_number is not None:
        say("interrupted; the same command goes on where it was")
        return 128 + outcome.signal_number
    print(markdown(outcome.table), end="")
    print(f"table: {(folder / 'table.html').resolve().as_uri()}")
    return SOME_FAILED if outcome.diverged else SUCCESS


def words(text: str) -> tuple[str, ...]:
    """The type of an option that takes words with commas between, each of them once."""
    return tuple(dict.fromkeys(text.split(",")))


def numbers(text: str) -> tuple[int, ...]:
    """The type of an option that takes whole numbers with commas between, each of them once."""
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers with commas between, as in 0,1,2, but is {text!r}"
        )
    return tuple(dict.fromkeys(map(int, text.split(","))))
