"""The command line: `rondo` with its commands, from `train` to `web`.

Here are the options and the exit codes; `manual` holds the words, `commands` what is done.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rondo.cli.bench import add_bench
from rondo.cli.cache import add_cache, cache
from rondo.cli.commands import INTERRUPTED, SUCCESS, USAGE, say
from rondo.cli.doctor import add_doctor, doctor
from rondo.cli.evaluate import evaluate
from rondo.cli.manual import (
    DETAILS,
    MANUAL,
    Parser,
    UsageError,
)
from rondo.cli.predict import predict
from rondo.cli.runs import add_runs, runs
from rondo.cli.sample import sample
from rondo.cli.show import add_show
from rondo.cli.sweep import sweep
from rondo.cli.train import train
from rondo.cli.web import add_web, web
from rondo.data.skipped import printable
from rondo.extras import how_to_install
from rondo.system.memory import is_lack_of_memory

Command = Callable[[argparse.Namespace], int]
"""What a command does; it returns the exit code."""

PHOTO_PACKAGES = {"PIL", "jsonargparse", "matplotlib", "numpy", "safetensors"}
"""What the extra `photo` needs, as Python imports it; the core and `tasks` bring some of it."""

WEB_PACKAGES = {"anyio", "starlette", "uvicorn"}
"""What the extra `web` installs beside them."""

EXTRAS = {"av": "actions", "sacrebleu": "captions", "scipy": "matlab"}
"""The extras that bring one package more than `photo` and `tasks`, by that package."""

OF_TASKS = {
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "sample": sample,
    "sweep": sweep,
}
"""The commands whose options depend on the task."""

RARELY = (100_000, 50, 100)
"""How seldom Python looks for circles of objects that nothing refers to. Modules, of which torch
has thousands, never become such; to look through them again and again takes a tenth of the time
that a command needs to begin."""


def build_parser() -> Parser:
    """Returns the parser of all commands."""
    parser = Parser(prog="rondo", description=MANUAL, epilog=DETAILS)
    parser.add_argument("--version", action="store_true", help="print the version and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    commands.add_parser("train", help="train a network")  # its options depend on the task
    commands.add_parser("predict", help="answer what a run has learnt to: photos, words, series")
    commands.add_parser("evaluate", help="measure a run on data that it was not trained on")
    commands.add_parser("sweep", help="train a task with many settings, and compare them")
    parser_of_runs = add_runs(commands)
    parser_of_runs.set_defaults(run=_on_runs(runs), parser=parser_of_runs, extra="tasks")
    commands.add_parser("sample", help="write text as a run has learnt to")
    add_bench(commands)
    add_show(commands)
    parser_of_doctor = add_doctor(commands)
    parser_of_doctor.set_defaults(run=doctor, parser=parser_of_doctor)
    parser_of_cache = add_cache(commands)
    parser_of_cache.set_defaults(run=cache, parser=parser_of_cache)
    parser_of_web = add_web(commands)
    parser_of_web.set_defaults(run=_on_runs(web), parser=parser_of_web, extra="web")
    return parser


def program() -> NoReturn:
    """Runs the command that was typed, as all that a process does.

    When it is done, Ctrl-C ends Python at once, and a lack of memory is not told: what they hit is
    its tidying up.
    """
    code = main()
    sys.unraisablehook = _tell_of_unraisable
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _tell_of_unraisable(found: sys.UnraisableHookArgs) -> None:
    if not is_lack_of_memory(found.exc_value):
        sys.__unraisablehook__(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    gc.set_threshold(*RARELY)
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser()
    try:
        if words and words[0] in OF_TASKS:
            command = OF_TASKS[words[0]]
            return _run(argparse.Namespace(run=_on_runs(lambda _: command(words[1:])), words=words))
        parsed = parser.parse_all(words)
        if parsed.version:
            import rondo

            print(f"rondo {rondo.__version__}")
            return SUCCESS
        if not hasattr(parsed, "run"):
            parser.print_help()
            return USAGE
        return _run(parsed)
    except UsageError as error:
        return _fail(str(error))


def _run(parsed: argparse.Namespace) -> int:
    """Runs a command; answers what the user can mend with one line."""
    try:
        return parsed.run(parsed)
    except ModuleNotFoundError as error:
        return _fail(_missing(error, _extra_of(parsed)))
    except BrokenPipeError:  # the reader of our output has had enough, as in `rondo ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except OSError as error:
        return _fail(
            f"{error.filename or 'output'}: {error.strerror}; nothing saved before is lost"
        )
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        return _fail(
            f"there is not enough memory ({_first_line(error)}); nothing saved before is lost"
        )


def _on_runs(command: Command) -> Command:
    """A command on run folders, whose errors are answered with one line; it needs the extra."""

    def answered(parsed: argparse.Namespace) -> int:
        from rondo.errors import RunError

        try:
            return command(parsed)
        except RunError as error:
            return _fail(str(error))

    return answered


def _extra_of(parsed: argparse.Namespace) -> str:
    """The extra that a command needs: its own, or that of the task; that of photos has most."""
    words = getattr(parsed, "words", [])
    if words[:1] == ["train"]:
        from rondo.tasks.registry import definition_of

        return definition_of(words[1]).extra
    extra: str = getattr(parsed, "extra", "photo")
    return extra


def _missing(error: ModuleNotFoundError, extra: str) -> str:
    package = (error.name or "").split(".")[0]
    if package not in PHOTO_PACKAGES | WEB_PACKAGES | set(EXTRAS):
        raise error
    return f"{package} is not installed; {how_to_install(EXTRAS.get(package, extra))}"


def _first_line(error: Exception) -> str:
    """Returns what an error says first, or else its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _fail(message: str) -> int:
    """Tells in one line, whatever names of files are in it, why a command cannot go on."""
    say(f"rondo: {printable(message)}")
    return USAGE
