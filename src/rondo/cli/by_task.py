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


def by_task(photo: Command, any_other: Command | None = None, **others: Command) -> Command:
    """Returns a command that does what the task of its run asks for, by the name of the task.

    Args:
        photo: Is for photos, and says so of what is no run.
        any_other: Is for the tasks that are not named; without it they are left to `photo` too.
        others: Each is for the task of its name.
    """

    def chosen(parsed: argparse.Namespace) -> int:
        from rondo.training.run_paths import task_of

        task = task_of(run_path(parsed.RUN))
        if task is not None:
            _check_options(parsed, task)
        command = None if task in (None, "photo") else others.get(task, any_other)
        if command is None:
            return photo(parsed)
        parsed.extra = "tasks"
        return command(parsed)

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
