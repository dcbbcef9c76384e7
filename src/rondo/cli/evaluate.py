"""`rondo evaluate RUN`: what a run of any task is worth on data that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SUCCESS, USAGE, run_path, say
from rondo.cli.predict import split_run
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.cli.options import OptionsParser
    from rondo.training.answers import Evaluation
    from rondo.training.definition import Definition
    from rondo.training.run_folder import RunFolder

HELP = """\
usage: rondo evaluate RUN [options]

Measure a run on data that it was not trained on. RUN is a run folder, or "last".
`rondo evaluate RUN --help` lists the options of the run's task.

options of every task:
  --data PATH             other data, or drawn (default: the run's own)
  --split NAME            one split in detail, such as test (default: all of them, in short)
  --json                  print JSON (default: tables)
"""


def evaluate(words: Sequence[str]) -> int:
    """Measures; returns the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return SUCCESS if words else USAGE
    run, rest = split_run("evaluate", words)
    from rondo.tasks.registry import folder_of

    folder = folder_of(run_path(run))
    given = evaluate_parser(folder.definition, run).parse(rest)
    found = _measured(folder, given)
    if given["json"]:
        print(json_text(found.values(), indent=2))
    else:
        print("\n".join(found.lines()))
    return SUCCESS


def evaluate_parser(definition: Definition, run: str) -> OptionsParser:
    """Returns the parser of the options of a run's task."""
    from rondo.cli.options import OptionsParser, word

    parser = OptionsParser(f"rondo evaluate {run}", f"What a run of {definition.name} is worth.")
    add = parser.add
    add("--data", type=word, metavar="PATH",
        help='other data, or "drawn" (default: the run\'s own)')  # fmt: skip
    add("--split", type=word, metavar="NAME",
        help="one split in detail, such as test (default: all of them, in short)")  # fmt: skip
    add("--json", action="store_true", help="print JSON (default: tables)")
    if definition.evaluate is not None and definition.evaluate.options is not None:
        parser.add_fields(definition.evaluate.options)
    return parser


def _measured(folder: RunFolder, given: dict[str, Any]) -> Evaluation:
    from rondo.cli.options import given_of
    from rondo.training.answers import ScoreEvaluation
    from rondo.training.definition import at_place
    from rondo.training.measure import measured

    command = folder.definition.evaluate
    if command is None:
        return ScoreEvaluation(*measured(folder, data=given["data"], split=given["split"], say=say))
    options = given_of(command.options, given)
    found: Evaluation = at_place(command.place)(
        folder, data=given["data"], split=given["split"], say=say, **options
    )
    return found
