"""Many networks trained one after another on the same photos, under one budget.

The folder of a table holds

    runs/NAME-SEED/          a run folder for each network and seed
    results/NAME-SEED.json   the figures of each finished run
    table.md, .csv, .html    the table so far
    table.svg                accuracy against training time

Every file is written under a temporary name and then renamed, and a run goes on from its own saved
state. So the same command, given again after an interruption of any kind, goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rondo.errors import RunError, look_up
from rondo.report.finish import finish
from rondo.sweep.page import Row, Table, write_table
from rondo.sweep.result import Result, measure, read_result
from rondo.system.files import remove_parts, write_text
from rondo.system.lock import FolderLock
from rondo.tasks.photo.task import MODELS, PhotoSet, fingerprint
from rondo.training import session
from rondo.training.config import RunConfig
from rondo.training.divergence import DivergedError
from rondo.training.fit import fit
from rondo.training.run_files import holding
from rondo.training.run_folder import RunFolder
from rondo.training.run_paths import check_place
from rondo.training.session import Options, Session

SETTLED = {
    "data_fingerprint": "photos of fingerprint",
    "image_size": "image_size",
    "model_arguments": "",
    "num_threads": "num_threads",
    "recipe": "",
    "seed": "seed",
    "weights_fingerprint": "weights of fingerprint",
}
"""The settings that a run of the table must have been begun with to go on with it, and what an
error calls them; of those without a word, their parts by name."""

NO_WEIGHTS = "not run: no weights given"
DIVERGED = "its training diverged"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What to compare.

    Args:
        options: What all runs share; model, seed and weights are set for each.
        models: Names in `rondo.tasks.photo.task.MODELS`; default all of them.
        seeds: A run of every network is made for each.
        weights: What transfer learning starts from; None leaves its networks out.
    """

    options: Options
    models: tuple[str, ...] = tuple(MODELS)
    seeds: tuple[int, ...] = (0,)
    weights: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How far a comparison came.

    Args:
        table: The table so far.
        signal_number: The signal that interrupted it, if one did.
        diverged: The networks of which a training diverged, by name.
    """

    table: Table
    signal_number: int | None
    diverged: tuple[str, ...] = ()


def compare(comparison: Comparison, folder: Path, say: Say) -> Outcome:
    """Trains what is not trained yet, and writes the table after every run.

    Args:
        comparison: What to compare.
        folder: The folder of the table; made where there is none.
        say: Is given each line for the user.

    Raises:
        RunError: If an option, the data, the weights or the folder cannot be used, a run in the
            folder was begun with other settings, or another process writes the table.
    """
    configs = list(make_configs(comparison))
    check_place(folder, "--output", max(map(session.needed_bytes, configs)))
    data = session.read_data(configs[0], say)
    digest = fingerprint(data)
    configs = [session.config_of_data(config, data, digest) for config in configs]
    folder.mkdir(parents=True, exist_ok=True)
    with holding(FolderLock(folder), say):
        remove_parts(folder)
        return _compare(comparison, configs, data, folder, say)


def _compare(
    comparison: Comparison,
    configs: list[RunConfig],
    data: dict[str, PhotoSet],
    folder: Path,
    say: Say,
) -> Outcome:
    """Trains what is not trained yet; a network that diverges does not stop the others."""
    for config in configs:
        _check_settled(RunFolder(_run_path(folder, config)), config)
    results = [read_result(_result_path(folder, config)) for config in configs]
    diverged: list[str] = []
    table = _write(comparison, configs, data, results, diverged, folder)
    for number, config in enumerate(configs):
        if results[number] is not None:
            continue
        say(f"[{number + 1}/{len(configs)}] {config.model}, seed {config.seed}")
        try:
            ended = _train(config, data, folder, say)
        except DivergedError as error:
            say(str(error))
            diverged.append(config.model)
        else:
            if isinstance(ended, int):
                return Outcome(table, ended, tuple(diverged))
            results[number] = ended
        table = _write(comparison, configs, data, results, diverged, folder)
    return Outcome(table, None, tuple(diverged))


def make_configs(comparison: Comparison) -> Iterator[RunConfig]:
    """Yields the settings of every run, seed by seed; transfer learning needs weights.

    Raises:
        RunError: If an option cannot be used, or nothing is left to train.
    """
    for name in comparison.models:
        look_up("model", name, MODELS)
    models = [name for name in comparison.models if _runs(name, comparison.weights)]
    if not models:
        raise RunError(
            f"{', '.join(comparison.models)} need weights of a trained ResNet; give --weights"
        )
    for seed in comparison.seeds:
        for name in models:
            weights = comparison.weights if MODELS[name].takes_weights else None
            options = replace(comparison.options, model=name, seed=seed, weights=weights)
            yield replace(session.make_config(options), data_seed=comparison.options.seed)


def _runs(name: str, weights: str | None) -> bool:
    return weights is not None or not MODELS[name].takes_weights


# ---- one run ----


def _train(config: RunConfig, data: dict[str, PhotoSet], folder: Path, say: Say) -> Result | int:
    """Returns the figures of a run, or the number of the signal that interrupted it.

    It is checked on val; test and other photos are looked at when it has ended.
    """
    run = _open(config, data, _run_path(folder, config))
    with run.folder.held(say):
        outcome = fit(run, say=say, logger=run.logger())
        if outcome.signal_number is not None:
            return outcome.signal_number
        result = measure(run, finish(run, say))
    path = _result_path(folder, config)
    path.parent.mkdir(exist_ok=True)
    write_text(path, result.to_json())
    return result


def _open(config: RunConfig, data: dict[str, PhotoSet], path: Path) -> Session:
    folder = RunFolder(path)
    if folder.config_file.exists():
        return Session(folder.read_config(), data, folder)
    check_place(path, "--output", session.needed_bytes(config))
    return session.create(config, data, path)


def _check_settled(folder: RunFolder, config: RunConfig) -> None:
    """Raises `RunError` where a run was begun with other settings than those asked for."""
    if not folder.config_file.exists():
        return
    begun, asked = (_settled(one) for one in (folder.read_config(), config))
    for name in sorted({*begun, *asked}):
        if begun.get(name) != asked.get(name):
            raise RunError(
                f"the run {folder.path} was begun with {name} {begun.get(name)!r}, and asked for "
                f"is {asked.get(name)!r}; give the same options, or another --output"
            )


def _settled(config: RunConfig) -> dict[str, Any]:
    """Returns the settled settings by what an error calls them."""
    settings: dict[str, Any] = {}
    for name, value in asdict(config).items():
        if name in SETTLED:
            settings.update({SETTLED[name]: value} if SETTLED[name] else value)
    return settings


def _run_path(folder: Path, config: RunConfig) -> Path:
    return folder / "runs" / f"{config.model}-{config.seed}"


def _result_path(folder: Path, config: RunConfig) -> Path:
    return folder / "results" / f"{config.model}-{config.seed}.json"


# ---- the table ----


def _write(
    comparison: Comparison,
    configs: list[RunConfig],
    data: dict[str, PhotoSet],
    results: list[Result | None],
    diverged: list[str],
    folder: Path,
) -> Table:
    found = [result for result in results if result is not None]
    rows = [_row(name, comparison, found, diverged) for name in comparison.models]
    table = Table(tuple(rows), configs[0], {name: len(photos) for name, photos in data.items()})
    write_table(table, folder)
    return table


def _row(name: str, comparison: Comparison, results: list[Result], diverged: list[str]) -> Row:
    found = tuple(result for result in results if result.model == name)
    reason = "not run yet" if _runs(name, comparison.weights) else NO_WEIGHTS
    reason = DIVERGED if name in diverged else reason
    return Row(name, found, "" if found else reason)
