"""`rondo sweep`: many trainings of a task over values of its settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rondo.cli.commands import SOME_FAILED, SUCCESS, say
from rondo.cli.manual import Parser, UsageError, add_threads, number_from_1
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.sweep.plan import Check, Plan
    from rondo.sweep.run import Outcome

DESCRIPTION = """\
Train a task with many settings, each in a process of its own, and compare them on val.

All other options are those of `rondo train TASK`; every trial gets them.
"""

EXAMPLES = """\
examples:
  rondo sweep TASK --over recipe.cell=gru,lstm --over recipe.learning_rate=1e-3,3e-3
  rondo sweep TASK --data PATH --over recipe.learning_rate=log:1e-4:1e-2 --trials 20 --jobs 2
  rondo sweep TASK --data PATH --epochs 27 --over recipe.dropout=0:0.5 --method halving
  rondo sweep TASK --resume          goes on with the newest sweep of the task
"""


def sweep_parser() -> Parser:
    """Returns the parser of the options that are not those of `rondo train`."""
    parser = Parser(prog="rondo sweep", description=DESCRIPTION, epilog=EXAMPLES)
    add = parser.add_argument
    add("TASK", help="the task, as of rondo train")
    add("--over", action="append", metavar="NAME=VALUES",
        help="recipe.FIELD or an option of the task, and its values: A,B,C; LOW:HIGH; or "
        "log:LOW:HIGH; may be given again (must be given)")  # fmt: skip
    add("--method", metavar="NAME",
        help="grid: all combinations of lists; random: draws; halving: draws that are compared "
        "after a part of the budget, the best third goes on (default: grid; random where there "
        "are ranges)")  # fmt: skip
    add("--trials", type=number_from_1, metavar="N", dest="num_trials",
        help="settings that are drawn (default: 16)")  # fmt: skip
    add("--seeds", type=number_from_1, metavar="N", dest="num_seeds",
        help="trials of each setting, which differ in their seed (default: 1)")  # fmt: skip
    add("--seed", type=int, metavar="N",
        help="seed of the draws, and the first seed of the trials (default: 0)")  # fmt: skip
    add("--jobs", type=number_from_1, metavar="N", help="trials at a time (default: 1)")
    add_threads(parser, "the free cores, divided among the jobs")
    add("--sweep", type=Path, metavar="DIR",
        help="the folder to make (default: runs/TASK-sweep-DATE-N)")  # fmt: skip
    add("--resume", action="store_true",
        help="go on with a sweep, the newest of the task if --sweep names none")  # fmt: skip
    add("--json", action="store_true", help="print JSON")
    return parser


def sweep(words: Sequence[str]) -> int:
    """Trains the trials that are not trained yet, and prints the table; returns the exit code."""
    arguments, rest = _parsed(words)
    arguments.rest = rest
    from rondo.sweep import run
    from rondo.sweep.files import write
    from rondo.sweep.table import lines_of

    jobs = _jobs(arguments.jobs)
    if arguments.resume:
        folder = _begun(arguments)
        outcome = run.resume(folder, jobs, say)
    else:
        folder, outcome = _begin(arguments, jobs)
    write(outcome.result, folder, say)
    if outcome.signal_number is None:
        _tell(outcome, folder, as_json=arguments.json)
        return SOME_FAILED if outcome.result.num_lost else SUCCESS
    say("\n".join(lines_of(outcome.result)))
    say(f"interrupted; go on with: rondo sweep {arguments.TASK} --resume --sweep {folder}")
    return 128 + outcome.signal_number


def _parsed(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options of the sweep, and the words that are for `rondo train`."""
    parser = sweep_parser()
    if not words:
        parser.error("the following arguments are required: TASK")
    if words[0].startswith("-") and words[0] not in ("-h", "--help"):
        raise UsageError(f"rondo sweep needs TASK before {words[0]}; see `rondo sweep --help`")
    arguments, rest = parser.parse_known_args(list(words))
    return arguments, rest


def checker_of(task: str) -> Check:
    """Returns what raises `RunError` where `rondo train` of a task does not take some words."""
    from rondo.cli.options import train_parser
    from rondo.errors import RunError
    from rondo.tasks.registry import definition_of

    parser = train_parser(definition_of(task))

    def check(words: Sequence[str]) -> None:
        try:
            parser.parse(words)
        except UsageError as error:
            raise RunError(str(error)) from error

    return check


def _begin(arguments: argparse.Namespace, jobs: int) -> tuple[Path, Outcome]:
    """Begins a sweep; returns its folder too."""
    from rondo.sweep import run
    from rondo.training.run_paths import new_run_path

    check, plan = checker_of(arguments.TASK), _plan(arguments, jobs)
    folder = arguments.sweep or new_run_path(f"{arguments.TASK}-sweep")
    return folder, run.begin(plan, folder, check, jobs, say)


def _plan(arguments: argparse.Namespace, jobs: int) -> Plan:
    from rondo.sweep.plan import make_plan

    return make_plan(
        arguments.TASK,
        arguments.rest,
        arguments.over or (),
        method=arguments.method,
        num_trials=arguments.num_trials,
        num_seeds=arguments.num_seeds or 1,
        seed=arguments.seed or 0,
        num_threads=_threads(arguments.threads, jobs),
    )


def _begun(arguments: argparse.Namespace) -> Path:
    """Returns the folder of the sweep to go on with; what is given must be what it began with."""
    from rondo.errors import RunError
    from rondo.sweep.plan import check_same
    from rondo.sweep.result import newest_sweep, read_sweep

    folder: Path = arguments.sweep or newest_sweep(arguments.TASK)
    plan, _ = read_sweep(folder)
    if plan.task != arguments.TASK:
        raise RunError(f"{folder} is a sweep of {plan.task}, and not of {arguments.TASK}")
    given = {
        "words": tuple(arguments.rest) or None,
        "over": None if arguments.over is None else tuple(arguments.over),
        **{name: getattr(arguments, name) for name in ("method", "num_trials", "num_seeds")},
        "seed": arguments.seed,
        "num_threads": arguments.threads,
    }
    check_same(plan, {name: value for name, value in given.items() if value is not None})
    return folder


def _jobs(asked: int | None) -> int:
    """Returns how many trials run at a time, no more than the machine has processors."""
    from rondo.system.threads import most_threads

    most = most_threads()
    if asked is not None and asked > most:
        raise UsageError(
            f"--jobs must be from 1 to {most}, the processors of this machine, but is {asked}"
        )
    return asked or 1


def _threads(asked: int | None, jobs: int) -> int:
    """Returns the threads of a trial: those asked for, or its part of the free cores."""
    from rondo.system.free_cores import num_free_cores
    from rondo.system.threads import most_threads

    if asked is None:
        return max(1, (num_free_cores() or most_threads()) // jobs)
    if asked * jobs > most_threads():
        say(
            f"{jobs} jobs of {asked} threads are more than the {most_threads()} processors of this "
            "machine; they will wait for each other"
        )
    return asked


def _tell(outcome: Outcome, folder: Path, *, as_json: bool) -> None:
    from rondo.sweep.files import PAGE_FILE
    from rondo.sweep.table import lines_of

    if as_json:
        print(json_text({"folder": str(folder), **outcome.result.to_dict()}, indent=2))
        return
    print("\n".join(lines_of(outcome.result)))
    print(f"page: {(folder / PAGE_FILE).resolve().as_uri()}")
