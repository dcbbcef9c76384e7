"""Commands on a run folder do what its task asks for, and take the options of that task alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from rondo.cli.commands import run_path
from rondo.cli.manual import UsageError

Command = Callable[[argparse.Namespace], int]
"""What a command does; it returns the exit code."""

TASKS_OF_OPTIONS = {
    "robustness": ("photo",),
    "decoder": ("text",),
    "beam_width": ("text", "captions"),
    "lexicon": ("text",),
    "csv": ("photo", "text", "captions"),
    "from_list": ("photo", "text", "captions"),
    "stream": ("actions",),
    "output": ("segmentation",),
}
"""The options of `evaluate` and `predict` that are for runs of some tasks alone."""


def by_task(photo: Command, **others: Command) -> Command:
    """Returns a command that does what the task of its run asks for, by the name of the task.

    What is no run, or one of a task without such a command, is left to `photo`, which says so.
    """

    def chosen(parsed: argparse.Namespace) -> int:
        from rondo.training.run_files import task_of

        task = task_of(run_path(parsed.RUN))
        if task is not None:
            _check_options(parsed, task)
        if task is None or task not in others:
            return photo(parsed)
        parsed.extra = "tasks"
        return others[task](parsed)

    return chosen


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how a run on text finds the words."""
    add = parser.add_argument
    add("--decoder", metavar="NAME", help="of text: greedy or beam (default: greedy)")
    add("--beam-width", type=int, metavar="N",
        help="of text and captions: beginnings that beam search keeps (default: 10; "
        "captions: 5)")  # fmt: skip
    add("--lexicon", type=Path, metavar="FILE",
        help="of text: answer with the likeliest word of a file, one a line (default: "
        "any characters)")  # fmt: skip


def _check_options(parsed: argparse.Namespace, task: str) -> None:
    """Raises `UsageError` where an option stands that is for runs of other tasks."""
    for name, tasks in TASKS_OF_OPTIONS.items():
        if task not in tasks and getattr(parsed, name, None) not in (None, False):
            raise UsageError(
                f"--{name.replace('_', '-')} is for runs of {_joined(tasks)}, and "
                f"{parsed.RUN} is one of {task}; leave it out"
            )


def _joined(words: tuple[str, ...]) -> str:
    """For example "photo, text and captions"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
