"""`rondo evaluate`: what a run is worth on photos."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rondo.cli.by_task import add_decoding
from rondo.cli.commands import SUCCESS, run_path, say
from rondo.cli.manual import share
from rondo.system.json_text import json_text

if TYPE_CHECKING:
    from rondo.measures.abstention import Answered
    from rondo.measures.calibration import Temperature
    from rondo.tasks.photo.evaluation import Evaluation
    from rondo.tasks.photo.robustness import Trial
    from rondo.tasks.photo.task import PhotoSet
    from rondo.training.config import RunConfig
    from rondo.training.run_folder import RunFolder


def add_evaluate(commands: Any) -> argparse.ArgumentParser:
    """Adds the command; returns its parser."""
    help_text = "measure a run on data that it was not trained on"
    parser: argparse.ArgumentParser = commands.add_parser(
        "evaluate", help=help_text, description=help_text
    )
    add = parser.add_argument
    add("RUN", help='a run folder, or "last"')
    add("--data", metavar="PATH", help="other data, or drawn (default: the run's own)")
    add(
        "--split",
        metavar="NAME",
        help="one split in detail, such as test (default: all of them, in short)",
    )
    add("--min-confidence", type=share, metavar="P",
        help="also print how many photos are answered with a probability of P or more, and how "
        "many of those rightly (default: no)")  # fmt: skip
    add("--robustness", action="store_true",
        help="also print the accuracy under blur, noise, darkness, crops, shifts and JPEG, on up "
        "to 300 photos of each split but val (minutes)")  # fmt: skip
    add("--json", action="store_true", help="print JSON")
    add_decoding(parser)
    return parser


@dataclass(frozen=True)
class Measured:
    """All that was measured, by split."""

    temperature: Temperature
    evaluations: dict[str, Evaluation]
    answered: dict[str, Answered] = field(default_factory=dict)
    trials: dict[str, tuple[Trial, ...]] = field(default_factory=dict)


def evaluate(arguments: argparse.Namespace) -> int:
    """Measures a run on the splits of its data or of other data."""
    from rondo.training.run_folder import RunFolder

    folder = RunFolder(run_path(arguments.RUN))
    config = folder.read_config()
    measured = _measure(arguments, folder, config)
    if arguments.json:
        print(json_text(_values(measured), indent=2))
    else:
        print("\n\n".join(_blocks(measured, arguments.split)))
    return SUCCESS


def _measure(arguments: argparse.Namespace, folder: RunFolder, config: RunConfig) -> Measured:
    from rondo.measures.abstention import answered
    from rondo.measures.calibration import temper
    from rondo.report.finish import evaluate_splits, predict_splits
    from rondo.tasks.photo.evaluation import unseen
    from rondo.tasks.photo.robustness import try_splits

    model, temperature, least = (
        folder.read_model(), folder.read_temperature(), arguments.min_confidence
    )  # fmt: skip
    data = _data(arguments, config)
    predicted = predict_splits(model, config, data)
    evaluations = evaluate_splits(predicted, data, temperature.value)
    given, trials = {}, {}
    if least is not None:
        given = {
            name: answered(temper(found, temperature.value), data[name].labels, least)
            for name, found in predicted.items()
        }
    if arguments.robustness:
        bad = data if arguments.split is not None else unseen(data)
        trials = try_splits(model, config, bad, temperature.value, say)
    return Measured(temperature, evaluations, given, trials)


def _data(arguments: argparse.Namespace, config: RunConfig) -> dict[str, PhotoSet]:
    """Returns the photos of the splits to measure."""
    from rondo.errors import look_up
    from rondo.training.session import read_data

    if arguments.data is not None:
        config = replace(config, data=arguments.data)
    data = read_data(config, say, config.classes)
    if arguments.split is not None:
        return {arguments.split: look_up("split", arguments.split, data)}
    return {name: photos for name, photos in data.items() if name != "train"}


def _values(measured: Measured) -> dict[str, Any]:
    """Returns all that was measured of each split, for JSON."""
    values = {name: asdict(item) for name, item in measured.evaluations.items()}
    for name, item in measured.answered.items():
        values[name]["answered"] = asdict(item)
    for name, trials in measured.trials.items():
        values[name]["robustness"] = [asdict(one) for one in trials]
    return values


def _blocks(measured: Measured, split: str | None) -> list[str]:
    """Returns the tables."""
    from rondo.report import tables

    blocks = [
        tables.accuracy_table(measured.evaluations),
        tables.calibration_table(measured.evaluations, measured.temperature),
    ]
    if split is not None:
        blocks.append(tables.detail_table(measured.evaluations[split]))
    if measured.answered:
        blocks.append(tables.answered_table(measured.answered))
    blocks += [tables.robustness_table(name, found) for name, found in measured.trials.items()]
    return blocks
