"""What the commands do; what computes is imported inside them, so that help needs none of it."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from rondo.cli.manual import UsageError
from rondo.system.csv_text import plain_cell
from rondo.system.free_cores import num_free_cores
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.tasks.photo.answers import Prediction
    from rondo.training.fit import Run
    from rondo.training.loggers import Logger

SUCCESS, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes, as the manual names them."""


def train_photo(arguments: argparse.Namespace) -> int:
    """Trains on photos, or goes on with a run."""
    from rondo.training.memory import keep_freed_memory

    keep_freed_memory()
    from rondo.report.finish import finish
    from rondo.report.tables import accuracy_table, calibration_table
    from rondo.training import session

    names = session.Options.__dataclass_fields__
    given = {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    if arguments.resume is not None:
        check_alone(arguments, given)
        run = session.resume(run_path(arguments.resume), given.get("data"), say)
    else:
        if "threads" not in given:
            given["threads"] = free_threads()
        run = session.begin(session.Options(**given), arguments.run_path, say)
    with run.folder.held(say):
        say("in brackets is what always saying the most frequent label would get")
        interrupted = train_run(run, run.logger())
        if interrupted is not None:
            return interrupted
        evaluations = finish(run, say)
    print(accuracy_table(evaluations))
    print("\n" + calibration_table(evaluations, run.folder.read_temperature()))
    print(f"\nmodel card: {run.folder.card_file}")
    print(f"report: {run.folder.report_file.resolve().as_uri()}")
    return SUCCESS


def free_threads() -> int:
    """Returns the threads of a new run: torch's, or fewer where other programs use the cores."""
    import torch

    most, free = torch.get_num_threads(), num_free_cores()
    if free is None or free >= most:
        return most
    say(f"other programs use the cores: {free} of {most} threads; --threads takes another number")
    return free


def train_run(run: Run, logger: Logger | None = None) -> int | None:
    """Trains a run to its end and tells what it gave; returns the exit code if interrupted."""
    from rondo.training.fit import fit
    from rondo.training.progress import result_line
    from rondo.training.records import tell_skipped

    say(f"run folder {run.folder.path}; Ctrl-C ends after a batch, and can be resumed")
    outcome = fit(run, say=say, logger=logger)
    if outcome.signal_number is not None:
        say(f"interrupted; go on with: {run.folder.command} --resume {run.folder.path}")
        return 128 + outcome.signal_number
    print(result_line(outcome.records, run.task))
    tell_skipped(outcome.records[-1], say)
    return None


def check_alone(arguments: argparse.Namespace, given: dict[str, Any]) -> None:
    """Raises `UsageError` where --resume stands beside what the run has settled."""
    others = [f"--{name.replace('_', '-')}" for name in given if name != "data"]
    others += ["--run"] if arguments.run_path is not None else []
    if others:
        raise UsageError(
            f"--resume goes on with the run's own settings; leave out {', '.join(others)}"
        )


def predict(arguments: argparse.Namespace) -> int:
    """Names the class of each image."""
    from rondo.tasks.photo.answers import Predictor

    predictor = Predictor.load(run_path(arguments.RUN), arguments.min_confidence)
    sources = list(sources_of(arguments.IMAGE, arguments.from_list))
    predictions = []
    if not (arguments.json or arguments.csv):
        print(_prediction_head(predictor.classes))
    for prediction in predictor.iterate(sources):
        predictions.append(prediction)
        if not (arguments.json or arguments.csv):
            print(_prediction_line(prediction, predictor.classes), flush=True)
    notes = predictor.notes
    if arguments.json:
        print(
            json_text({"notes": notes, "predictions": [asdict(p) for p in predictions]}, indent=2)
        )
    elif arguments.csv:
        print_csv(("source", "answer", "probability", "error"), predictions)
    else:
        print("\n".join(notes))
    return SOME_FAILED if any(item.error for item in predictions) else SUCCESS


def _prediction_head(classes: Sequence[str]) -> str:
    """A column for each of two classes, one for the likeliest of more."""
    if len(classes) > 2:
        return f"{'answer':{_width(classes)}}  photo: likeliest classes"
    return " ".join(
        (f"{'answer':{_width(classes)}}", *(f"{name:>8}" for name in classes), " photo")
    )


def _prediction_line(prediction: Prediction, classes: Sequence[str]) -> str:
    width, found = _width(classes), prediction.probabilities
    if found is None:
        cells, last = ["-"] * len(classes), why_not(prediction.source, prediction.error)
    else:
        cells, last = [f"{100 * found[name]:.1f} %" for name in classes], prediction.source
    answer = "unread" if found is None else prediction.answer or "not sure"
    if len(classes) > 2:
        return f"{answer:{width}}  {last}" + (f": {prediction.guesses}" if found else "")
    widths = (max(8, len(name)) for name in classes)
    shown = (f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
    return " ".join((f"{answer:{width}}", *shown, f" {last}"))


def _width(classes: Sequence[str]) -> int:
    return max(8, *map(len, classes))


def why_not(source: str, error: str | None) -> str:
    """Why there is no answer, with the name of what was asked about, once."""
    return str(error) if str(error).startswith(source) else f"{source}: {error}"


def print_csv(names: Sequence[str], rows: Sequence[Any]) -> None:
    """Prints a table of the attributes of such names, which stand in its first line.

    Texts that a spreadsheet would take for formulas get an apostrophe in front; see `plain_cell`.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([plain_cell(getattr(row, name)) for name in names] for row in rows)


def sources_of(words: Sequence[str], from_list: bool) -> Iterator[Path | BinaryIO]:
    """Yields the images that the words of the command mean."""
    if from_list and list(words) != ["-"]:
        raise UsageError("--from-list reads paths from standard input; give - in place of images")
    for word in words:
        path = Path(word)
        if word == "-" and from_list:
            yield from (Path(line) for line in sys.stdin.read().splitlines() if line)
        elif word == "-":
            yield io.BytesIO(sys.stdin.buffer.read())
        elif os.path.isdir(path):  # unlike Path.is_dir it never raises
            yield from _images_in(path)
        else:
            yield path


def _images_in(folder: Path) -> list[Path]:
    from rondo.data.pictures import FILE_ENDINGS

    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in FILE_ENDINGS)
    if not images:
        raise UsageError(
            f"the folder {folder} holds no image; images end in {', '.join(FILE_ENDINGS)}"
        )
    return images


def bench(arguments: argparse.Namespace) -> int:
    """Measures recurrent layers side by side."""
    from dataclasses import replace

    import torch

    from rondo.bench.options import QUICK, Options
    from rondo.bench.report import run

    if arguments.output is not None:
        _check_writable(arguments.output)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    given = {
        "suites": arguments.suite,
        "modules": arguments.module,
        "peers": arguments.peers,
        "num_rounds": arguments.rounds,
    }
    options = QUICK if arguments.quick else Options()
    options = replace(options, **{key: value for key, value in given.items() if value is not None})
    report = run(options, say)
    print(report.to_markdown(), end="")
    if arguments.output is not None:
        report.write(arguments.output, say)
    for line in report.failures:
        say(f"rondo: {line}")
    if not report.is_whole:
        return INTERRUPTED
    return SOME_FAILED if report.failures else SUCCESS


def _check_writable(folder: Path) -> None:
    """Makes a folder; raises `UsageError` now where it cannot be written to, not after an hour."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError:
        raise UsageError(f"--output must be a folder, but {folder} is a file") from None
    except OSError as error:
        raise UsageError(f"nothing can be written to {folder}: {error.strerror}") from None


def run_path(word: str, task: str = "photo") -> Path:
    """Returns the run folder that a word of the command means."""
    from rondo.training.run_paths import last_run

    return last_run(task=task) if word == "last" else Path(word)


@contextlib.contextmanager
def lost_frames_told() -> Iterator[None]:
    """Tells of lost frames of videos in a line for each file, every time."""
    from rondo.data.lost_frames import LostFramesWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, LostFramesWarning):
                say(f"rondo: {message}")
            else:
                show(message, category, filename, lineno, file, line)

        warnings.simplefilter("always", LostFramesWarning)
        warnings.showwarning = tell
        yield


def say(text: str) -> None:
    """Tells the user what goes on; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)
