"""`rondo bench`: layers beside torch.nn's and others, in suites, and in studies of one question."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from rondo.bench.options import DEFAULT_PEERS, MODULES, PEERS, QUICK, SUITES, Options
from rondo.bench.study_options import LIMITS, NEIGHBOURS, PASSES, STUDIES, BusyOptions, quick
from rondo.cli.commands import INTERRUPTED, SOME_FAILED, SUCCESS, say
from rondo.cli.manual import UsageError, add_threads, number_from_1, words_of

DESCRIPTION = """\
Measure recurrent layers beside torch.nn's and others: the suites below, or with a NAME one study.
Each side is first compared with the plain loop in float64; then all take turns.
"""

STUDY_HELP = {
    "map": "the drop-ins over many shapes T, B, H: a grid of ratios, and a heat map",
    "busy": "the drop-ins where cores are short: beside busy processes, in control groups, with "
    "64 threads: median, mean, p99",
    "bf16": "the drop-ins in bfloat16, as modules and under autocast, beside float32",
    "call": "calls of one or a few steps, where fixed costs count: policies, decoders, streams",
    "token": "the time of a token by the size of the batch, beside torch.nn, ONNX Runtime and JAX",
}

OF_SUITES = ("suite", "module", "peers", "rounds")
"""The options that no study takes."""

BEFORE_THE_NAME = ("quick", "output", "threads")
"""The options of a study that may also stand before its name."""


class Result(Protocol):
    """What was measured."""

    is_whole: bool

    @property
    def failures(self) -> list[str]:
        """A line for each side that computed something else."""

    def to_markdown(self) -> str:
        """For people."""

    def write(self, folder: Path, say: Callable[[str], None]) -> None:
        """As files."""


def add_bench(commands: Any) -> None:
    """Adds the command to the parser of all commands."""
    parser = commands.add_parser(
        "bench", help="measure recurrent layers beside torch.nn's and others",
        description=DESCRIPTION,
    )  # fmt: skip
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
    add_threads(parser, "torch's, with --quick 1")
    _add_common(parser, "bench")
    parser.set_defaults(run=bench, parser=parser)
    studies = parser.add_subparsers(
        title="studies", metavar="NAME", parser_class=type(parser), required=False
    )
    for name in STUDIES:
        _add_study(studies, name)


def _add_common(parser: argparse.ArgumentParser, name: str) -> None:
    add = parser.add_argument
    add("--quick", action="store_true",
        help="small sizes and few of them, in seconds: to see that all works")  # fmt: skip
    add("--output", type=Path, metavar="DIR",
        help=f"where to write {name}.json, {name}.md and, with matplotlib, {name}.svg where there "
        "is a picture (default: they are not written)")  # fmt: skip


def _add_study(studies: Any, name: str) -> None:
    options = STUDIES[name]
    parser = studies.add_parser(name, help=STUDY_HELP[name], description=STUDY_HELP[name])
    add = parser.add_argument
    add("--kinds", type=words_of(MODULES), metavar="NAMES",
        help=f"{', '.join(MODULES)}; several with commas between, or all (default: "
        f"{_default(options.kinds, MODULES)}; with --quick GRU)")  # fmt: skip
    add("--passes", type=words_of(PASSES), metavar="NAMES",
        help="forward, or training: forward and backward (default: "
        f"{_default(options.passes, PASSES)})")  # fmt: skip
    add("--budget", type=_seconds, metavar="SECONDS",
        help=f"about how long it measures (default: {options.budget_s:g}); each row takes a few "
        "rounds in any case")  # fmt: skip
    if isinstance(options, BusyOptions):
        add("--neighbours", type=words_of(map(str, NEIGHBOURS)), metavar="NUMBERS",
            help="how many busy processes there are, from 0 to 4; several with commas between "
            "(default: all, unless --limits is given)")  # fmt: skip
        add("--limits", type=words_of(f"{limit:g}" for limit in LIMITS), metavar="NUMBERS",
            help="how many cores a control group lets a side use: 0.5, 1, 1.5; several with commas "
            "between (default: all, unless --neighbours is given)")  # fmt: skip
        add("--threads", type=number_from_1, metavar="N",
            help="threads that each side asks for, also more than there are cores "
            "(default: torch's, and once more 64)")  # fmt: skip
    else:
        add_threads(parser, "torch's, with --quick 1")
    _add_common(parser, name)
    for action in parser._actions:
        if action.dest in BEFORE_THE_NAME:
            action.default = argparse.SUPPRESS
    parser.set_defaults(run=_study, parser=parser, study=name)


def _default(chosen: Sequence[str], known: Sequence[str]) -> str:
    """What is chosen where nothing is asked for, as an option has it."""
    return "all" if set(chosen) == set(known) else ",".join(chosen)


def _seconds(text: str) -> float:
    """The type of an option that takes a time."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be seconds, more than 0, but is {text!r}")
    return seconds


def bench(arguments: argparse.Namespace) -> int:
    """Measures the suites."""
    _check_output(arguments)
    from rondo.bench.report import run

    given = {
        "suites": arguments.suite,
        "modules": arguments.module,
        "peers": arguments.peers,
        "num_rounds": arguments.rounds,
    }
    options = _replaced(QUICK if arguments.quick else Options(), given)
    _set_threads(arguments)
    return _shown(run(options, say), arguments)


def _study(arguments: argparse.Namespace) -> int:
    """Measures one study."""
    name = arguments.study
    for option in OF_SUITES:
        if getattr(arguments, option, None) is not None:
            raise UsageError(f"rondo bench {name} does not take '--{option}'; it is for suites")
    _check_output(arguments)
    from rondo.bench.study import run

    given = {
        "kinds": arguments.kinds,
        "passes": arguments.passes,
        "budget_s": arguments.budget,
    }
    options = STUDIES[name] if not arguments.quick else quick(name)
    if isinstance(options, BusyOptions):
        options, given = _of_busy(options, arguments), given | {"num_threads": arguments.threads}
    else:
        _set_threads(arguments)
    return _shown(run(name, _replaced(options, given), say), arguments)


def _of_busy(options: BusyOptions, arguments: argparse.Namespace) -> BusyOptions:
    """The conditions that are asked for; those that are not are left out then."""
    neighbours, limits = arguments.neighbours, arguments.limits
    if neighbours is not None or limits is not None:
        options = replace(
            options,
            neighbours=tuple(map(int, neighbours or ())),
            limits=tuple(map(float, limits or ())),
            many_threads=None,
        )
    return options if arguments.threads is None else replace(options, many_threads=None)


def _set_threads(arguments: argparse.Namespace) -> None:
    """Has torch use the threads that were asked for; small sizes have work for one alone."""
    import torch

    num_threads = arguments.threads or (1 if arguments.quick else None)
    if num_threads is not None:
        torch.set_num_threads(num_threads)


def _replaced(options: Any, given: dict[str, Any]) -> Any:
    """Options with what was asked for."""
    return replace(options, **{key: value for key, value in given.items() if value is not None})


def _shown(result: Result, arguments: argparse.Namespace) -> int:
    """Prints and writes what was measured; returns the exit code."""
    print(result.to_markdown(), end="")
    if arguments.output is not None:
        result.write(arguments.output, say)
    for line in result.failures:
        say(f"rondo: {line}")
    if not result.is_whole:
        return INTERRUPTED
    return SOME_FAILED if result.failures else SUCCESS


def _check_output(arguments: argparse.Namespace) -> None:
    """Makes the folder; raises `UsageError` now where nothing can be written, not after an hour."""
    folder = arguments.output
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError:
        raise UsageError(f"--output must be a folder, but {folder} is a file") from None
    except OSError as error:
        raise UsageError(f"nothing can be written to {folder}: {error.strerror}") from None
