"""The command line: `rondo` with its commands, from `train` to `web`.

Here are the options and the exit codes; `manual` holds the words, `commands` what is done.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rondo.bench.options import DEFAULT_PEERS, MODULES, PEERS, QUICK, SUITES, Options
from rondo.cli.actions import evaluate_actions, predict_actions
from rondo.cli.by_task import Command, add_decoding, by_task
from rondo.cli.cache import add_cache, cache
from rondo.cli.captions import evaluate_captions, predict_captions
from rondo.cli.commands import (
    INTERRUPTED,
    SUCCESS,
    USAGE,
    bench,
    predict,
    say,
    train_photo,
)
from rondo.cli.doctor import add_doctor, doctor
from rondo.cli.evaluate import add_evaluate, evaluate
from rondo.cli.evaluate_task import evaluate_task
from rondo.cli.manual import (
    DETAILS,
    FREE,
    MANUAL,
    WEIGHTS,
    Parser,
    UsageError,
    add_photos,
    add_set,
    add_threads,
    number_from_1,
    share,
    words_of,
)
from rondo.cli.runs import add_runs, runs
from rondo.cli.segmentation import evaluate_segmentation, predict_segmentation
from rondo.cli.sequences import SEQUENCE_TASKS, add_options, add_sample, sample, trainer_of
from rondo.cli.show import add_show
from rondo.cli.table import add_table_photo, table_photo
from rondo.cli.text import evaluate_text, predict_text
from rondo.cli.web import add_web, web
from rondo.extras import how_to_install
from rondo.system.memory import is_lack_of_memory

PHOTO_PACKAGES = {"PIL", "matplotlib", "numpy", "safetensors"}
"""What the extra `photo` needs, as Python imports it; the core and `tasks` bring some of it."""

WEB_PACKAGES = {"anyio", "starlette", "uvicorn"}
"""What the extra `web` installs beside them."""

EXTRAS = {"av": "actions", "sacrebleu": "captions", "scipy": "matlab"}
"""The extras that bring one package more than `photo` and `tasks`, by that package."""

RARELY = (100_000, 50, 100)
"""How seldom Python looks for circles of objects that nothing refers to. Modules, of which torch
has thousands, never become such; to look through them again and again takes a tenth of the time
that a command needs to begin."""

PHOTO_SUMMARY = "learn to name the class of a photo: a person's sex, or classes of your own"
TABLE_SUMMARY = "compare the networks of the lecture's table, and Rondo's own, on the same photos"


def build_parser() -> Parser:
    """Returns the parser of all commands."""
    parser = Parser(prog="rondo", description=MANUAL, epilog=DETAILS)
    parser.add_argument("--version", action="store_true", help="print the version and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    train = _add_command_of_tasks(commands, "train", "train a network")
    _add_train_photo(_add_task(train, "photo", PHOTO_SUMMARY, train_photo))
    for name, words in SEQUENCE_TASKS.items():
        add_options(_add_task(train, name, words.summary, trainer_of(name), extra="tasks"), name)
    table = _add_command_of_tasks(commands, "table", "train many networks under one budget")
    add_table_photo(_add_task(table, "photo", TABLE_SUMMARY, table_photo))
    parser_of_evaluate = add_evaluate(commands)
    to_evaluate = by_task(
        evaluate,
        evaluate_task,
        actions=evaluate_actions,
        captions=evaluate_captions,
        segmentation=evaluate_segmentation,
        text=evaluate_text,
    )
    parser_of_evaluate.set_defaults(run=_on_runs(to_evaluate), parser=parser_of_evaluate)
    _add_predict(commands)
    parser_of_runs = add_runs(commands)
    parser_of_runs.set_defaults(run=_on_runs(runs), parser=parser_of_runs, extra="tasks")
    parser_of_sample = add_sample(commands)
    parser_of_sample.set_defaults(run=_on_runs(sample), parser=parser_of_sample, extra="tasks")
    _add_bench(commands)
    add_show(commands)
    parser_of_doctor = add_doctor(commands)
    parser_of_doctor.set_defaults(run=doctor, parser=parser_of_doctor)
    parser_of_cache = add_cache(commands)
    parser_of_cache.set_defaults(run=cache, parser=parser_of_cache)
    parser_of_web = add_web(commands)
    parser_of_web.set_defaults(run=_on_runs(web), parser=parser_of_web, extra="web")
    return parser


def _add_command_of_tasks(commands: Any, name: str, summary: str) -> Any:
    """Adds a command that is followed by the name of a task; returns what tasks are added to."""
    parser = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    return parser.add_subparsers(title="tasks", metavar="TASK", parser_class=Parser, required=True)


def _add_task(tasks: Any, name: str, summary: str, run: Command, *, extra: str = "photo") -> Parser:
    """Adds a task; returns its parser, to which its options are still to be added."""
    parser: Parser = tasks.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    parser.set_defaults(run=_on_runs(run), parser=parser, extra=extra)
    return parser


def _add_train_photo(parser: argparse.ArgumentParser) -> None:
    add_photos(parser)
    add = parser.add_argument
    add("--model", metavar="NAME",
        help="the network: fcnn_1 to fcnn_3, cnn_1, cnn_2, resnet_18, resnet_50, tl_1 to tl_3, "
        "lecture_rnn1, sweep_net (default: lecture_rnn1)")  # fmt: skip
    add("--form", metavar="FORM",
        help="of lecture_rnn1: sane, or lecture: exactly as printed (default: sane)")  # fmt: skip
    add("--weights", metavar="FILE", help=f"{WEIGHTS} (these three need it; no default)")
    add("--recipe", metavar="NAME",
        help="how to train: default, drawn, table or lecture "
        "(default: default; drawn for drawings)")  # fmt: skip
    add("--epochs", type=int, metavar="N", help="passes over the photos (default: the recipe's)")
    add("--batch-size", type=int, metavar="N", help="photos in a step (default: the recipe's)")
    add("--image-size", type=int, metavar="N",
        help="side of the photos, a multiple of 32 (default: 128; 64 for drawings)")  # fmt: skip
    add("--seed", type=int, metavar="N", help="seed of all that is random (default: 0)")
    add("--learning-rate", type=float, metavar="RATE",
        help="the highest of the steps (default: the recipe's and the network's)")  # fmt: skip
    add("--clip", type=float, metavar="NORM", dest="max_grad_norm",
        help="shorten longer gradients to this norm (default: the recipe's)")  # fmt: skip
    add("--precision", metavar="TYPE",
        help="float32, bfloat16, or auto: what is fast here (default: the recipe's)")  # fmt: skip
    add_set(parser)
    add_threads(parser, FREE)
    add("--run", type=Path, metavar="DIR", dest="run_path",
        help="the run folder to make (default: runs/photo-DATE-N)")  # fmt: skip
    add("--resume", metavar="RUN",
        help="go on with a run, with its settings; only --data may be given with it, for photos "
        "that were moved (default: begin a new run)")  # fmt: skip


def _add_predict(commands: Any) -> None:
    help_text = "name the class of a photo, read a word, name an action or pixels, write a caption"
    parser = commands.add_parser("predict", help=help_text, description=help_text)
    parser.add_argument("RUN", help='a run folder, or "last"')
    parser.add_argument("IMAGE", nargs="+",
                        help="images, folders of images, or - for standard input; for a run of "
                        "actions npz files, videos, or the word drawn; of segmentation "
                        "videos, or the word drawn, of captions the word drawn")  # fmt: skip
    parser.add_argument("--from-list", action="store_true",
                        help="standard input holds paths of images, one a line")  # fmt: skip
    parser.add_argument("--min-confidence", type=share, default=0.0, metavar="P",
                        help='answer "not sure" where the probability of the answer is below P, '
                        "0 to 1 (default: always answer)")  # fmt: skip
    parser.add_argument("--stream", action="store_true",
                        help="of actions: answer after every frame, from those so far")  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print a CSV table (photos, text)")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="of segmentation: the folder to write label maps and overlays to "
                        "(default: segmented)")  # fmt: skip
    add_decoding(parser)
    to_predict = by_task(
        predict,
        actions=predict_actions,
        captions=predict_captions,
        segmentation=predict_segmentation,
        text=predict_text,
    )
    parser.set_defaults(run=_on_runs(to_predict), parser=parser)


def _add_bench(commands: Any) -> None:
    help_text = "measure recurrent layers beside torch.nn's and others"
    parser = commands.add_parser("bench", help=help_text, description=help_text)
    add = parser.add_argument
    add("--suite", type=words_of(SUITES), metavar="NAMES",
        help=f"{', '.join(SUITES)}; several with commas between, or all (default: all; with "
        "--quick all but import)")  # fmt: skip
    add("--module", type=words_of(MODULES), metavar="NAMES",
        help=f"{', '.join(MODULES)}; several, or all (default: all; with --quick GRU)")  # fmt: skip
    add("--peers", type=words_of(PEERS), metavar="NAMES",
        help=f"{', '.join(PEERS)}; several, or all (default: {','.join(DEFAULT_PEERS)}; "
        "compile takes minutes)")  # fmt: skip
    add("--rounds", type=number_from_1, metavar="N",
        help="how often each side has its turn "
        f"(default: {Options.num_rounds}, with --quick {QUICK.num_rounds})")  # fmt: skip
    add_threads(parser, "torch's")
    add(
        "--quick",
        action="store_true",
        help="small sizes and few of them, in seconds: to see that all works",
    )
    add("--output", type=Path, metavar="DIR",
        help="where to write bench.json, bench.md and, with matplotlib, bench.svg (default: they "
        "are not written)")  # fmt: skip
    parser.set_defaults(run=bench, parser=parser)


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
    parser = build_parser()
    try:
        parsed = parser.parse_all(sys.argv[1:] if arguments is None else arguments)
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
        return _fail(_missing(error, getattr(parsed, "extra", "photo")))
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


def _missing(error: ModuleNotFoundError, extra: str) -> str:
    package = (error.name or "").split(".")[0]
    if package not in PHOTO_PACKAGES | WEB_PACKAGES | set(EXTRAS):
        raise error
    return f"{package} is not installed; {how_to_install(EXTRAS.get(package, extra))}"


def _first_line(error: Exception) -> str:
    """Returns what an error says first, or else its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _fail(message: str) -> int:
    say(f"rondo: {message}")
    return USAGE
