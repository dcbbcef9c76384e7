"""`rondo sample RUN`: what a run writes, where its task is to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rondo.cli.commands import SUCCESS, USAGE, run_path
from rondo.cli.manual import UsageError
from rondo.cli.predict import split_run

HELP = """\
usage: rondo sample RUN [options]

Write text as a run has learnt to, such as one of `rondo train characters`. RUN is a run folder, or
"last". `rondo sample RUN --help` lists the options of the run's task.
"""


def sample(words: Sequence[str]) -> int:
    """Writes; returns the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return SUCCESS if words else USAGE
    run, rest = split_run("sample", words)
    from rondo.cli.options import OptionsParser
    from rondo.tasks.registry import folder_of
    from rondo.training.definition import at_place

    folder = folder_of(run_path(run))
    name, command = folder.definition.name, folder.definition.sample
    if command is None:
        raise UsageError(f"{folder.path} is a run of {name}, which writes nothing")
    parser = OptionsParser(f"rondo sample {run}", f"Text drawn from a run of {name}.")
    assert command.options is not None
    parser.add_fields(command.options)
    given = {key: value for key, value in parser.parse(rest).items() if value is not None}
    print(at_place(command.place)(folder.path, **{**asdict(command.options()), **given}))
    return SUCCESS
