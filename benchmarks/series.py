"""Series: accuracy on public sets beside aeon and sktime on the same split, and of forecasts.

    pip install aeon sktime      # in an environment that has Rondo
    python benchmarks/series.py --runs PATH --output PATH [--har PATH] [--seeds 0,1,2]

The sets are those that the two packages carry; they are read where these are installed. Each
network is trained with the recipe of `rondo train series`, whose choices were made on the series
held out of the training, and tested once. aeon's ROCKET and MiniRocket, and sktime's LSTM-FCN (the
one in PyTorch), are trained on all training series, ours on those that are not held out. Every run
is kept under --runs, and so are the results of the others; started again, the program goes on
where it was stopped, and writes the page after each set.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from kept_runs import kept_run, note, write_page

import numpy as np  # isort: skip

from rondo.measures.intervals import Share, percent
from rondo.system.columns import markdown_table
from rondo.tasks.series.answers import SeriesAnswers
from rondo.tasks.series.evaluation import NETWORK, Evaluation
from rondo.tasks.series.files import read_series
from rondo.tasks.series.scores import ForecastScore

NOTES = """
The recipes are those of `rondo train series`. Ours is trained on four fifths of the training
series; the rest, the same share of every class, is held out for the checks. The others are trained
on all of them. aeon and sktime need series of one length, so shorter ones are filled with zeros
for them. In brackets the 95 % interval of Wilson for that many test series.

LSTM-FCN is sktime's `LSTMFCNClassifierTorch`, for aeon has none; its 2,000 epochs take long, so it
is run where --others names it. A dash: not run.
"Rules" are the most frequent class and a small regression on random kernels, which
`rondo evaluate` prints beside every network.
"""


@dataclass(frozen=True)
class Named:
    """A set with classes: the package that carries it, and its files before `_TRAIN.ts`."""

    name: str
    package: str = "aeon"


@dataclass(frozen=True)
class Forecasting:
    """A set to forecast: the package, the file in its data, and the options."""

    name: str
    package: str
    file: str
    options: dict[str, Any] = field(default_factory=dict)


CLASSES = (
    Named("JapaneseVowels"), Named("BasicMotions"), Named("GunPoint"), Named("ItalyPowerDemand"),
    Named("ArrowHead"), Named("PLAID", "sktime"), Named("ACSF1"), Named("OSULeaf"),
)  # fmt: skip

FORECASTS = (
    Forecasting("Airline", "aeon", "Airline/Airline.csv"),
    Forecasting("Lynx", "aeon", "Lynx/Lynx.csv", {"horizon": 6}),
    Forecasting("US change", "aeon", "Uschange/Uschange.csv"),
    Forecasting("solar", "aeon", "solar/solar.csv", {"horizon": 24}),
    Forecasting("M1 yearly", "aeon", "m1_yearly_dataset/m1_yearly_dataset.tsf"),
    Forecasting("seatbelts", "sktime", "seatbelts/seatbelts.csv",
                {"kind": "forecast", "target": "KSI", "known": "label"}),
)  # fmt: skip


def carried(package: str) -> Path:
    """The folder of the data that a package carries."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"{package} is not installed; pip install aeon sktime")
    return Path(found.origin).parent / "datasets" / "data"


def data_of(one: Named, runs: Path, har: Path | None) -> Path:
    """A folder with the train and test file of a set alone."""
    if one.name == "UCI HAR":
        assert har is not None
        return har
    folder = runs / "data" / one.name
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("TRAIN", "TEST"):
        file = carried(one.package) / one.name / f"{one.name}_{split}.ts"
        shutil.copy(file, folder / file.name)
    return folder


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train and test as (N, C, T) with zeros after shorter ones, and their classes."""
    series = read_series(folder).series
    longest = max(len(one) for one in series)
    found = []
    for split in ("train", "test"):
        part = [one for one in series if np.all(np.asarray(one.split) == split)]
        x = np.zeros((len(part), part[0].values.shape[1], longest))
        for row, one in zip(x, part, strict=True):
            row[:, : len(one)] = np.nan_to_num(one.values).T
        found += [x, np.array([one.label for one in part])]
    return found[0], found[1], found[2], found[3]


def contenders() -> dict[str, Callable[[], Any]]:
    """What makes the classifiers of the others."""
    from aeon.classification.convolution_based import MiniRocketClassifier, RocketClassifier
    from sktime.classification.deep_learning.lstmfcn import LSTMFCNClassifierTorch

    return {
        "MiniRocket": lambda: MiniRocketClassifier(random_state=0),
        "ROCKET": lambda: RocketClassifier(random_state=0),
        "LSTM-FCN": lambda: LSTMFCNClassifierTorch(random_state=0),
    }


def other_accuracies(one: Named, folder: Path, runs: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """The accuracy of the others, kept in a file; one that fails has its reason."""
    file = runs / f"others-{one.name}.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for name in wanted:
        if name in found:
            continue
        make = contenders()[name]
        x, y, x_test, y_test = arrays(folder)
        began = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                classifier = make()
                classifier.fit(x, y)
                found[name] = float((classifier.predict(x_test) == y_test).mean())
        except Exception as error:  # what another package raises is its own affair
            found[name] = f"fails: {type(error).__name__}"
        note(f"{one.name}, {name}: {found[name]}, {time.monotonic() - began:.0f} s")
        file.write_text(json.dumps(found))
    return found


def class_row(
    one: Named, runs: Path, har: Path | None, seeds: Sequence[int], wanted: Sequence[str]
) -> list[str]:
    """A row of the table of classes."""
    folder = data_of(one, runs, har)
    tests: list[Share] = []
    rule = 0.0
    for seed in seeds:
        label = f"{one.name}-{seed}".replace(" ", "-")
        kept_run(runs, label, "series", data=str(folder), kind="classify", seed=seed, threads=1)
        if not tests:
            found = SeriesAnswers(runs / label).evaluate(split="test")["test"]
            rule = found.main(found.best_rule())
            share = found.scores[NETWORK][""]
            assert isinstance(share, Share)
            tests.append(share)
        else:
            share = SeriesAnswers(runs / label).evaluate(split="test")["test"].scores[NETWORK][""]
            assert isinstance(share, Share)
            tests.append(share)
    others = other_accuracies(one, folder, runs, wanted)
    cells = [_percent(others.get(name)) for name in ("ROCKET", "MiniRocket", "LSTM-FCN")]
    read = read_series(folder)
    lengths = sorted({len(item) for item in read.series})
    steps = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else str(lengths[0])
    num_train = sum(bool(np.all(np.asarray(item.split) == "train")) for item in read.series)
    ours = percent(tests[0]) if len(tests) == 1 else (
        f"{100 * mean(item.value for item in tests):.1f} % "
        f"({' / '.join(f'{100 * item.value:.1f}' for item in tests)})"
    )  # fmt: skip
    return [one.name, f"{num_train} / {len(read.series) - num_train}", steps,
            str(len(read.columns)), ours, *cells, _percent(rule)]  # fmt: skip


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, float) else str(value or "-")


def forecast_rows(one: Forecasting, runs: Path, seeds: Sequence[int]) -> list[list[str]]:
    """The rows of a set in the table of forecasts: the network with its seeds, and the rules."""
    data = str(carried(one.package) / one.file)
    found: list[Evaluation] = []
    for seed in seeds:
        label = f"{one.name}-{seed}".replace(" ", "-").replace(",", "")
        kept_run(runs, label, "series", data=data, seed=seed, threads=1, **one.options)
        found.append(SeriesAnswers(runs / label).evaluate(split="test")["test"])
    rows = []
    for who, by_target in found[0].scores.items():
        scores = [item for item in by_target.values() if isinstance(item, ForecastScore)]
        values = [item.main(who) for item in found] if who == NETWORK else [found[0].main(who)]
        seeds_told = f" ({' / '.join(f'{v:.3f}' for v in values)})" if len(values) > 1 else ""
        losses = [item.quantile_loss for item in scores if item.quantile_loss is not None]
        covers = [item.coverage for item in scores if item.coverage is not None]
        rows.append([
            one.name if who == NETWORK else "", str(scores[0].num_windows), who,
            f"{mean(values):.3f}{seeds_told}", f"{mean(losses):.3f}" if losses else "-",
            f"{100 * mean(covers):.0f} %" if covers else "-",
        ])  # fmt: skip
    return rows


def page(output: Path, runs: Path, har: Path | None, *tables: list[list[str]]) -> None:
    """Writes the page with what there is."""
    head = ["set", "train / test", "steps", "columns", "Rondo", "ROCKET", "MiniRocket", "LSTM-FCN",
            "best rule"]  # fmt: skip
    names = ["set", "test windows", "", "MASE", "quantile loss", "in the 80 % interval"]
    packages = ", ".join(f"{name} {version(name)}" for name in ("aeon", "sktime", "numba"))
    sections = [f"Beside it: {packages}."]
    if tables[0]:
        sections.append(f"## Classes\n\n{markdown_table(head, tables[0])}")
    if tables[1]:
        sections.append(
            f"## Forecasts\n\n{markdown_table(names, tables[1])}\n\nMASE below 1 is better than "
            "steps from one season to the next in training; of several targets the mean."
        )
    write_page(output, "Series", NOTES, sections, runs, har)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--har", type=Path, help="a folder with train.npz and test.npz of UCI HAR")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--class-seeds", help="for the sets with classes (default: as --seeds)")
    parser.add_argument("--sets", help="names of sets, with commas between (default: all)")
    parser.add_argument("--others", default="MiniRocket,ROCKET", help='also LSTM-FCN; or "none"')
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    seeds = [int(word) for word in given.seeds.split(",")]
    class_seeds = [int(word) for word in (given.class_seeds or given.seeds).split(",")]
    wanted = [] if given.others == "none" else given.others.split(",")
    chosen = None if given.sets is None else given.sets.split(",")
    classes = [*CLASSES, *([Named("UCI HAR", "")] if given.har is not None else [])]
    rows: list[list[str]] = []
    forecasts: list[list[str]] = []
    for one in classes:
        if chosen is None or one.name in chosen:
            rows.append(class_row(one, given.runs, given.har, class_seeds, wanted))
            page(given.output, given.runs, given.har, rows, forecasts)
    for other in FORECASTS:
        if chosen is None or other.name in chosen:
            forecasts += forecast_rows(other, given.runs, seeds)
            page(given.output, given.runs, given.har, rows, forecasts)


if __name__ == "__main__":
    main()
