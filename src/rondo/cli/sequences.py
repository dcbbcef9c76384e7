"""`rondo train NAME` for the tasks on sequences: options, and what is done."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SUCCESS, check_alone, free_threads, run_path, say, train_run
from rondo.cli.manual import FREE, add_set, add_threads
from rondo.cli.recipes import default_of

if TYPE_CHECKING:
    from rondo.training.sequences.session import Session


@dataclass(frozen=True)
class Words:
    """What the manual says of a task.

    Args:
        summary: What is learnt.
        data: What `--data` must be; None where the task draws its own sequences.
        length: What `--length` means; None where there is no such option.
        transpose: Whether there is `--transpose`.
        pictures: Whether the inputs are pictures of words.
        bidirectional: Whether there is `--bidirectional`.
        scenes: Whether the inputs are labelled pictures or videos.
        captions: Whether the inputs are photos with captions.
        series: Whether the inputs are series of a user's own files.
    """

    summary: str
    data: str | None = None
    length: str | None = None
    transpose: bool = False
    pictures: bool = False
    bidirectional: bool = False
    scenes: bool = False
    captions: bool = False
    series: bool = False


STEPS = "least number of steps of a sequence (default: 100)"

SEQUENCE_TASKS = {
    "adding": Words("add two marked numbers of a long sequence", length=STEPS),
    "multiplication": Words("multiply two marked numbers of a long sequence", length=STEPS),
    "temporal-order-6a": Words("tell the order of two marks far from each other", length=STEPS),
    "temporal-order-6b": Words("tell the order of three marks far from each other", length=STEPS),
    "reber": Words("predict the symbols of embedded Reber strings"),
    "copy": Words("say ten symbols again after a pause", length="steps of the pause (default: 20)"),
    "parity": Words(
        "say after every bit whether the ones so far are odd",
        length="least number of bits of a sequence (default: 20)",
    ),
    "music": Words(
        "predict the next step of piano rolls",
        data="a .mat file of piano rolls (must be given)",
        transpose=True,
    ),
    "characters": Words(
        "predict the next character of a text", data="a file of text in UTF-8 (must be given)"
    ),
    "digits-by-row": Words(
        "name a digit whose image is read row by row",
        data="a folder of MNIST's files (must be given)",
    ),
    "text": Words(
        "read the words in pictures",
        data="a folder with labels.csv (file,text) (default: words drawn by the program)",
        length="the most characters of a drawn word (default: 8)",
        pictures=True,
    ),
    "actions": Words(
        "name what a person does, from poses, signals of motion or a video",
        data="a folder of npz files or of KTH's videos (default: stick figures that are drawn)",
        bidirectional=True,
    ),
    "segmentation": Words(
        "name the class of every pixel of a picture or a video",
        data="a folder with list.csv (split,image,label) and classes.csv (id,name) (default: "
        "street scenes that are drawn)",
        scenes=True,
    ),
    "captions": Words(
        "say in words what a picture shows",
        data="a folder of photos with captions.csv (image,caption), or Flickr8k's files (default: "
        "two shapes that are drawn)",
        captions=True,
    ),
    "series": Words(
        "learn classes, numbers or forecasts of series in your own files",
        data="a file (.csv, .tsv, .parquet, .npz, .ts, .tsf), or a folder with train, val and test "
        "files (default: series that are drawn)",
        series=True,
    ),
}
"""The tasks on sequences, as `rondo.tasks.registry` makes them."""


def add_options(parser: argparse.ArgumentParser, task: str) -> None:
    """Adds the options of a task."""
    add, words, default = parser.add_argument, SEQUENCE_TASKS[task], partial(default_of, task)
    if words.data is not None:
        add("--data", metavar="PATH", help=words.data)
    if words.length is not None:
        add("--length", "--lag", type=int, metavar="N", help=words.length)
    if words.transpose:
        add("--transpose", type=int, metavar="N",
            help="move training pieces by up to N semitones (default: 0)")  # fmt: skip
    if words.pictures:
        add_pictures(parser)
    if words.bidirectional:
        add("--bidirectional", action="store_const", const=True,
            help="read backward too; cannot answer frame by frame")  # fmt: skip
    if words.scenes:
        add_scenes(parser)
    if words.captions:
        add_captions(parser)
    if words.series:
        add_series(parser)
    add("--cell", metavar="NAME",
        help=f"tanh, gru, lstm, lstm-1997 ... {default('cell')}")  # fmt: skip
    add("--hidden-size", type=int, metavar="N",
        help=f"units of a layer {default('hidden_size')}")  # fmt: skip
    add("--num-layers", type=int, metavar="N",
        help=f"layers on top of each other {default('num_layers')}")  # fmt: skip
    add("--learning-rate", type=float, metavar="RATE",
        help=f"of every step, or the highest {default('learning_rate')}")  # fmt: skip
    add("--optimizer", metavar="NAME", help=f"adam or rmsprop {default('optimizer')}")
    add("--batch-size", type=int, metavar="N",
        help=f"sequences in a step {default('batch_size')}")  # fmt: skip
    add("--sequences", type=int, metavar="N", dest="num_sequences",
        help=f"end after so many training sequences {default('num_sequences')}")  # fmt: skip
    add("--epochs", type=int, metavar="N",
        help="the same, in passes over the data (default: as --sequences says)")  # fmt: skip
    add("--patience", type=int, metavar="N",
        help=f"end after so many checks without a smaller loss {default('patience')}")  # fmt: skip
    add("--clip", type=float, metavar="NORM", dest="max_grad_norm",
        help=f"shorten longer gradients to this norm {default('max_grad_norm')}")  # fmt: skip
    add("--dropout", type=float, metavar="P",
        help=f"between layers and before the output {default('dropout')}")  # fmt: skip
    add("--weight-noise", type=float, metavar="STD",
        help=f"noise on the weights in training {default('weight_noise')}")  # fmt: skip
    add("--seed", type=int, metavar="N", help="seed of all that is random (default: 0)")
    add_set(parser)
    add_threads(parser, FREE)
    add("--run", type=Path, metavar="DIR", dest="run_path",
        help="the run folder to make (default: runs/TASK-DATE-N)")  # fmt: skip
    add("--resume", metavar="RUN",
        help="go on with a run, with its settings; only --data may be given with it (default: "
        "begin a new run)")  # fmt: skip


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a task whose inputs are pictures of words."""
    add = parser.add_argument
    add("--alphabet", metavar="CHARACTERS",
        help="the characters (default: those of the labels; drawn words: 0-9a-z)")  # fmt: skip
    add("--width", type=int, metavar="N",
        help="bring pictures to this width, a multiple of 4 (default: in proportion)")  # fmt: skip
    add("--split-seed", type=int, metavar="N",
        help="chooses what is held out where the labels name no split (default: 0)")  # fmt: skip
    add("--distortion", type=float, metavar="X",
        help="how strongly pictures are distorted in training, from 0 (default: 1)")  # fmt: skip
    add("--fonts", metavar="DIR", help="fonts of drawn words (default: those found here)")
    add("--channels", type=int, metavar="N",
        help="of the first convolution; 64 in the paper (default: 16)")  # fmt: skip
    add("--start-from", metavar="RUN",
        help="begin with the weights of a finished run (default: random weights)")  # fmt: skip


def add_scenes(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a task whose inputs are labelled pictures or videos."""
    add = parser.add_argument
    add("--size", metavar="WxH", help="bring pictures to this size, such as 240x180 (default: as "
        "they are)")  # fmt: skip
    add("--video", action="store_const", const=True,
        help="learn from clips; a state goes from frame to frame")  # fmt: skip
    add("--context", metavar="NAME",
        help="what sees the whole map: sweeps, or convolutions of as many parameters "
        "(default: sweeps)")  # fmt: skip
    add("--weights", metavar="FILE",
        help="weights of a trained ResNet-18 or -50 for the front, a file or owner/name on the "
        "Hugging Face hub (default: random weights)")  # fmt: skip
    add("--channels", type=int, metavar="N", help="of the upsampling (default: 50; drawn: 24)")
    add("--precision", metavar="TYPE",
        help="float32, bfloat16, or auto: what is fast here (default: auto; drawn: "
        "float32)")  # fmt: skip


def add_captions(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a task that tells of photos."""
    add = parser.add_argument
    add("--weights", metavar="FILE",
        help="weights of a trained ResNet-18 or -50 that makes the features of photos, a file or "
        "owner/name on the Hugging Face hub (default: fixed features)")  # fmt: skip
    add("--split-seed", type=int, metavar="N",
        help="chooses what is held out where no splits are named (default: 0)")  # fmt: skip
    add("--embedding-size", type=int, metavar="N",
        help=f"width of the embedded words {default_of('captions', 'embedding_size')}")  # fmt: skip


def add_series(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a task on series of files."""
    add = parser.add_argument
    add("--kind", metavar="NAME",
        help="classify, regress or forecast (default: what the data tell)")  # fmt: skip
    add("--target", metavar="COLUMNS",
        help="what to predict, names with commas between (default: label, class, target or y; of a "
        "forecast all columns)")  # fmt: skip
    add("--inputs", metavar="COLUMNS",
        help="the other columns to read (default: all that hold numbers)")  # fmt: skip
    add("--id", metavar="COLUMN",
        help="tells the series of a table apart (default: id, series or alike)")  # fmt: skip
    add("--time", metavar="COLUMN",
        help="the times of the steps (default: dates, or time, step or alike)")  # fmt: skip
    add("--known", metavar="COLUMNS",
        help="of a forecast: columns that are known ahead (default: none)")  # fmt: skip
    add("--horizon", type=int, metavar="N",
        help="of a forecast: steps ahead (default: what the file says, or a season)")  # fmt: skip
    add("--season", type=int, metavar="N",
        help="of a forecast: steps of a season (default: what the times tell)")  # fmt: skip
    add("--quantiles", metavar="LIST",
        help="of a forecast, numbers with commas between (default: 0.1,0.5,0.9)")  # fmt: skip
    add("--split-seed", type=int, metavar="N",
        help="chooses what is held out where no splits are given (default: 0)")  # fmt: skip
    add("--channels", type=int, metavar="N",
        help="of the convolutions, not of a forecast (default: 64)")  # fmt: skip


def trainer_of(name: str) -> Callable[[argparse.Namespace], int]:
    """Returns what runs `rondo train NAME`."""

    def train(arguments: argparse.Namespace) -> int:
        return train_sequences(name, arguments)

    return train


def train_sequences(name: str, arguments: argparse.Namespace) -> int:
    """Trains on a task, or goes on with a run."""
    from rondo.training.memory import keep_freed_memory

    keep_freed_memory()
    from rondo.training.sequences import session

    names = session.Options.__dataclass_fields__
    given: dict[str, Any] = {
        key: value for key in names if (value := getattr(arguments, key, None)) is not None
    }
    if arguments.resume is not None:
        check_alone(arguments, given)
        run = session.resume(name, run_path(arguments.resume, name), given.get("data"), say)
    else:
        if "threads" not in given:
            given["threads"] = free_threads()
        run = session.begin(name, session.Options(**given), arguments.run_path, say)
    with run.folder.held(say):
        interrupted = train_run(run)
        if interrupted is not None:
            return interrupted
        if run.task.classes is not None:
            print(f"\n{test_table(run)}")
    return SUCCESS


def test_table(run: Session) -> str:
    """Returns the accuracy of a finished run on its test, and what was taken for what."""
    from rondo.measures.classes import (
        class_accuracy_table,
        class_probabilities,
        confusion_table,
        evaluate_classes,
    )

    assert run.task.classes is not None
    predicted = class_probabilities(run.folder.read_model(), run.task.source.test_batches())
    found = evaluate_classes(*predicted, run.task.classes)
    return f"{class_accuracy_table({'test': found})}\n\n{confusion_table(found)}"


def add_sample(commands: Any) -> argparse.ArgumentParser:
    """Adds `rondo sample`; returns its parser."""
    help_text = "write text as a run of `rondo train characters` has learnt to"
    parser = commands.add_parser("sample", help=help_text, description=help_text)
    parser.add_argument("RUN", help='a run folder, or "last"')
    add = parser.add_argument
    add("--temperature", type=float, default=0.8, metavar="X",
        help="below 1: likely characters are likelier (default: 0.8)")  # fmt: skip
    add("--length", type=int, default=500, metavar="N", help="characters (default: 500)")
    add("--start", default="", metavar="TEXT", help="what the text goes on from (default: nothing)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws (default: 0)")
    return parser


def sample(arguments: argparse.Namespace) -> int:
    """Writes text drawn from a run."""
    from rondo.tasks.characters.answers import sample_run

    text = sample_run(
        run_path(arguments.RUN, "characters"),
        length=arguments.length,
        temperature=arguments.temperature,
        start=arguments.start,
        seed=arguments.seed,
    )
    print(text)
    return SUCCESS
