"""`rondo predict RUN ...`: the answers of a run of any task, in the form that is asked for."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SOME_FAILED, SUCCESS, USAGE, lost_frames_told, run_path, say
from rondo.cli.manual import UsageError
from rondo.system.csv_text import plain_cell
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.cli.options import OptionsParser
    from rondo.training.answers import Answers
    from rondo.training.definition import Definition

HELP = """\
usage: rondo predict RUN FILES ... [options]

Answer what a run has learnt to: the class of a photo, the word in a picture, the next values of a
series, a caption. RUN is a run folder, or "last".

FILES are files, folders, or - for standard input; of many tasks also the word drawn.
`rondo predict RUN --help` lists the options of the run's task.

options of every task:
  --csv, --json, --jsonl  print a CSV table, JSON, or a JSON object a line (default: text)
  --from-list             standard input holds paths, one a line (default: no)
"""


def predict(words: Sequence[str]) -> int:
    """Answers; returns the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return SUCCESS if words else USAGE
    run, rest = split_run("predict", words)
    from rondo.cli.options import given_of
    from rondo.tasks.registry import folder_of
    from rondo.training.definition import at_place
    from rondo.training.run_list import summary

    folder = folder_of(run_path(run))
    definition = folder.definition
    if definition.predict is None:
        raise UsageError(f"{folder.path} is a run of {definition.name}, which answers no files")
    given = predict_parser(definition, run).parse(rest)
    options = given_of(definition.predict.options, given)
    answers: Answers = at_place(definition.predict.place)(folder.path, **options)
    found = summary(folder.path)
    unfinished = () if found.state == "ended" else (
        f"this run has not ended ({found.state} after {found.num_seen} examples): answers are of "
        "its weights so far",
    )  # fmt: skip
    with lost_frames_told():
        return _told(answers, _sources(given), _form(given), unfinished)


def split_run(command: str, words: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the run that is named, and the other words.

    Raises:
        UsageError: If none is named.
    """
    flags = ("--csv", "--json", "--jsonl", "--from-list")
    place = next((n for n, word in enumerate(words) if word not in flags), len(words))
    if place == len(words) or words[place].startswith("-"):
        raise UsageError(f"rondo {command} needs RUN first; see `rondo {command} --help`")
    return words[place], [*words[:place], *words[place + 1 :]]


def predict_parser(definition: Definition, run: str) -> OptionsParser:
    """Returns the parser of the options of a run's task."""
    from rondo.cli.options import OptionsParser, word

    parser = OptionsParser(f"rondo predict {run}", f"Answers of a run of {definition.name}.")
    add = parser.add
    add("sources", nargs="+", type=word, metavar="FILES",
        help='files, folders, - for standard input, or of some tasks the word "drawn"')  # fmt: skip
    add("--csv", action="store_true", help="print a CSV table (default: text)")
    add("--json", action="store_true", help="print JSON (default: text)")
    add("--jsonl", action="store_true", help="print a JSON object a line (default: text)")
    add("--from-list", action="store_true",
        help="standard input holds paths, one a line (default: no)")  # fmt: skip
    if definition.predict is not None and definition.predict.options is not None:
        parser.add_fields(definition.predict.options)
    return parser


def _form(given: dict[str, Any]) -> str:
    forms = [name for name in ("csv", "json", "jsonl") if given[name]]
    if len(forms) > 1:
        raise UsageError(f"--{forms[0]} and --{forms[1]} are two forms; leave one out")
    return forms[0] if forms else "text"


def _sources(given: dict[str, Any]) -> list[Any]:
    """What is asked about: paths and words, or standard input as an open file."""
    words, from_list = given["sources"], given["from_list"]
    if from_list and words != ["-"]:
        raise UsageError("--from-list reads paths from standard input; give - in place of files")
    if from_list:
        return [line for line in sys.stdin.read().splitlines() if line]
    return [sys.stdin.buffer if word == "-" else word for word in words]


def _told(answers: Answers, sources: list[Any], form: str, notes: Sequence[str]) -> int:
    """Answers and tells; returns the exit code."""
    found, failed, head = [], False, answers.head if form == "text" else ""
    for answer in answers.iterate(sources):
        failed |= bool(answer.error)
        if head:  # with the first answer: what cannot be asked is told alone
            print(head)
            head = ""
        if form == "text":
            print(answers.line(answer), flush=True)
        else:
            found.append(answer)
    notes = (*notes, *answers.notes)
    if form == "text":
        print("".join(f"{note}\n" for note in notes), end="")
    elif form == "csv":
        print_csv(answers.columns, found)
        for note in notes:
            say(note)
    elif form == "json":
        values = {"notes": list(notes), "predictions": [_plain(answer) for answer in found]}
        print(json_text(values, indent=2))
    else:
        print(json_text({"notes": list(notes)}))
        print("".join(f"{json_text(_plain(answer))}\n" for answer in found), end="")
    return SOME_FAILED if failed else SUCCESS


def _plain(answer: Any) -> dict[str, Any]:
    values: dict[str, Any] = asdict(answer)
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in values.items()
    }


def print_csv(names: Sequence[str], answers: Sequence[Any]) -> None:
    """Prints a table of the fields of such names, which stand in its first line.

    Texts that a spreadsheet would take for formulas get an apostrophe in front (`plain_cell`).
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for answer in answers:
        values = (getattr(answer, name) for name in names)
        writer.writerow(
            json_text(value) if isinstance(value, (dict, list, tuple)) else plain_cell(value)
            for value in values
        )
