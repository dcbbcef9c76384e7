"""Series: classes, numbers or forecasts of sequences on a user's own files.

`series` reads a file or a folder (`rondo.tasks.series.files`), or draws series, and makes a task of
them: which class a series is of, which number belongs to it, or how it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.data.sources import Example
from rondo.errors import look_up
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.tasks.series.definition import RECIPES
from rondo.tasks.series.drawn import drawn_series
from rondo.tasks.series.examples import Labelled, labelled
from rondo.tasks.series.files import read_series
from rondo.tasks.series.forecasts import Forecast, forecast
from rondo.tasks.series.form import Found, Roles, listed
from rondo.tasks.series.lines import fit_lines
from rondo.tasks.series.pinball import scaled_pinball
from rondo.tasks.series.windows import TRAIN, Windows
from rondo.tasks.shows import show_classes, show_numbers, told
from rondo.training.recipe import Recipe
from rondo.training.task import Shown, Task, is_likeliest

KINDS = {"words": "classify", "numbers": "regress", None: "forecast"}
"""What is to be done, by what labels are."""

PASSES, LEAST_PASSES, MOST_SEQUENCES = 50, 15, 30_000
"""Passes over the training series, where these are more sequences than a recipe says and at most
`MOST_SEQUENCES`; passes over large data."""

LEAST_INTERVAL = 500
"""Training series between two checks, where there are fewer in the data."""

QUANTILES = (0.1, 0.5, 0.9)
"""The quantiles of a forecast."""

LOOP_STEPS = 128
"""About so many steps the loops over a whole series have; longer ones are shortened."""

MOST_FITTED = 500_000
"""Steps at most from which mean and deviation of columns are taken."""


def series(
    data: str | None = None,
    *,
    kind: str | None = None,
    target: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    id: str | None = None,
    time: str | None = None,
    known: str | Sequence[str] | None = None,
    horizon: int | None = None,
    context: int | None = None,
    season: int | None = None,
    quantiles: str | Sequence[float] | None = None,
    split_seed: int = 0,
) -> Task:
    """The task on the series of a file or folder, or on drawn ones.

    Args:
        data: A file (.csv, .tsv, .parquet, .npz, .ts, .tsf), or a folder with train, val and test
            files; default drawn series.
        kind: "classify", "regress" or "forecast"; default what the data tell, and "forecast" where
            something is given that only a forecast has.
        target: The columns to predict, as names or one text with commas between them. Default
            `label`, `class`, `target` or `y`; else, of a forecast, every column of values.
        inputs: The other columns to read; default all that hold numbers.
        id: The column that tells series apart; default `id`, `series` or alike.
        time: The column of times; default one of dates, or `time`, `step` or alike.
        known: Columns that are known ahead, of a forecast.
        horizon: Steps to forecast; default what the file says, or a season.
        context: Steps before that are seen; default two seasons, or two horizons, or 16.
        season: Steps of a season; default what the times tell, such as 12 for months.
        quantiles: Of a forecast, numbers between 0 and 1, or one text with commas; 0.5 is among
            them in any case. Default 0.1, 0.5 and 0.9.
        split_seed: Chooses which series are held out, where no splits are given.

    Raises:
        ValueError: Where the data cannot be used; the message says why, and names file and line.
        OSError: Where a file cannot be read.
        ModuleNotFoundError: Where a file is Parquet and pyarrow is not installed.

    Example:
        >>> from rondo.tasks.series.task import series
        >>> task = series(kind="forecast", horizon=6)
        >>> batch = task.source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape, batch.targets.shape  # 24 months before, 6 to forecast
        (torch.Size([4, 30, 2]), torch.Size([4, 6, 1]))
    """
    roles = Roles(id, time, _names(target), _names(inputs), _names(known) or ())
    only = {"horizon": horizon, "context": context, "season": season, "quantiles": quantiles,
            "known": known}  # fmt: skip
    given = [name for name, value in only.items() if value is not None]
    if given and kind is None:
        kind = "forecast"
    found, kind = _found(data, roles, kind)
    if kind == "forecast":
        shaped = forecast(found, horizon, context, season)
        return _forecasting(found, shaped, _levels(quantiles))
    if given:
        raise ValueError(f"{listed(given)}: only a forecast has it, and this is kind={kind!r}")
    return _labelling(found, labelled(found, split_seed), kind)


def _found(data: str | None, roles: Roles, kind: str | None) -> tuple[Found, str]:
    """The series, and what is to be done with them."""
    if kind is not None:
        look_up("kind", kind, dict.fromkeys(k for k in KINDS.values()))
    if data is None:
        kind = kind or "classify"
        return drawn_series(kind), kind
    found = read_series(Path(data), roles, kind)
    if kind in ("classify", "regress") and found.labels is None:
        raise ValueError(
            f"{data} has no label for each series, which kind={kind!r} needs; name its column with "
            "target"
        )
    chosen = KINDS[found.labels]
    if kind is None:
        notes = (*found.notes, f"kind: {chosen} (a guess; --kind says it)")
        found = replace(found, notes=notes)
    return found, chosen


def _names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names, of one text or of several."""
    if given is None:
        return None
    words = given.split(",") if isinstance(given, str) else given
    return tuple(word.strip() for word in words if word.strip()) or None


def _levels(given: str | Sequence[float] | None) -> tuple[float, ...]:
    """Quantiles in order, 0.5 among them."""
    if given is None:
        return QUANTILES
    try:
        levels = {float(one) for one in (given.split(",") if isinstance(given, str) else given)}
    except ValueError as error:
        raise ValueError(f"quantiles are numbers such as 0.1,0.5,0.9: {error}") from error
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"quantiles lie between 0 and 1, got {sorted(levels)}")
    return tuple(sorted(levels | {0.5}))


def _told(found: Found, kind: str) -> dict[str, Any]:
    """What belongs to the weights beside the sizes: what columns of new files mean."""
    roles = found.roles
    return {"kind": kind, "id": roles.id, "time": roles.time, "target": list(roles.target or ())}


def _labelling(found: Found, data: Labelled, kind: str) -> Task:
    """The task on classes or numbers."""
    source, is_classes = data.source, kind == "classify"
    longest = int(np.quantile([len(one.inputs) for one in source.train], 0.9))
    recipe = RECIPES[kind]
    arguments: dict[str, Any] = {
        "columns": list(data.columns),
        "stride": max(1, round(longest / LOOP_STEPS)),
        "told": _told(found, kind),
    }
    return Task(
        name="series",
        source=source,
        input_size=len(data.columns),
        output_size=len(data.classes) if data.classes else data.num_targets,
        distance="cross_entropy" if is_classes else "euclidean",
        recipe=replace(
            recipe,
            num_sequences=_budget(recipe, len(source.train)),
            check_every=max(LEAST_INTERVAL, len(source.train)),
        ),
        recipe_name=kind,
        final=True,
        right=is_likeliest if is_classes else None,
        unit="nats" if is_classes else "squared error in deviations",
        classes=data.classes,
        model="series_model",
        model_arguments=arguments,
        keeps_last=is_classes,
        prepare=partial(_fit_model, train=source.train, is_classes=is_classes),
        loss=None if is_classes else partial(_scaled_error, scale=_scales(source.train)),
        baseline=_majority(source.train) if is_classes else None,
        noun="series",
        show=show_classes(data.classes) if data.classes else show_numbers,
        notes=data.notes,
        num_skipped=data.num_skipped,
    )


def _budget(recipe: Recipe, num_train: int) -> int:
    """The training sequences for so many series."""
    wanted = max(recipe.num_sequences, min(MOST_SEQUENCES, PASSES * num_train))
    return max(wanted, LEAST_PASSES * num_train)


def _fit_model(model: nn.Module, *, train: Sequence[Example], is_classes: bool) -> None:
    """Has a `SeriesModel` take the figures of columns, and of numbers to predict."""
    assert isinstance(model, SeriesModel)
    steps = torch.cat([one.inputs for one in train])
    model.fit_input(steps[:: -(-len(steps) // MOST_FITTED)])
    if not is_classes:
        model.fit_output(torch.stack([one.targets for one in train]))


def _scales(train: Sequence[Example]) -> tuple[float, ...]:
    """The deviation of each number to predict; 1 where it is constant."""
    deviations = torch.stack([one.targets for one in train]).std(0, correction=0)
    return tuple(torch.where(deviations > 0, deviations, 1.0).tolist())


def _scaled_error(outputs: Tensor, batch: Batch, *, scale: Sequence[float]) -> Tensor:
    """The mean squared error of each series (B,), in deviations of training."""
    return ((outputs - batch.targets) / outputs.new_tensor(scale)).square().mean(1)


def _majority(train: Sequence[Example]) -> float:
    counts = torch.bincount(torch.stack([one.targets for one in train]))
    return float(counts.max() / counts.sum())


def _forecasting(found: Found, data: Forecast, quantiles: tuple[float, ...]) -> Task:
    """The task on forecasts."""
    source, shape = data.source, data.shape
    least = least_scales(source)
    arguments: dict[str, Any] = {
        "columns": list(data.columns),
        "num_targets": len(data.targets),
        "num_known": len(data.known),
        "context": shape.context,
        "horizon": shape.horizon,
        "season": shape.season,
        "quantiles": list(quantiles),
        "told": _told(found, "forecast"),
    }
    return Task(
        name="series",
        source=source,
        input_size=len(data.columns),
        output_size=len(data.targets),
        distance="euclidean",
        recipe=RECIPES["forecast"],
        recipe_name="forecast",
        unit="quantile loss in deviations",
        model="forecaster",
        model_arguments=arguments,
        prepare=partial(_fit_forecaster, source=source, least=least),
        loss=partial(scaled_pinball, quantiles=quantiles, least=least),
        noun="windows",
        show=_show_forecast,
        notes=data.notes,
        num_skipped=data.num_skipped,
    )


def _show_forecast(outputs: Tensor, batch: Batch, row: int) -> Shown:
    """The first steps that came, beside the medians."""
    middle = outputs[row][..., outputs.shape[-1] // 2]
    first, said = batch.targets[row].flatten(), middle.flatten()
    return Shown(told(first), told(said), f"{len(batch.targets[row])} steps ahead")


def least_scales(source: Windows) -> tuple[float, ...]:
    """Returns the smallest deviation that counts, for each target: 1 % of the usual one."""
    deviations = []
    for one in source.series:
        held = one.values[one.splits == TRAIN][:, : source.num_targets].astype(np.float64)
        if len(held):
            deviations.append(
                np.nan_to_num(np.nanstd(np.where(np.isfinite(held).any(0), held, 0), 0))
            )
    usual = np.median(deviations, 0)
    return tuple(float(max(0.01 * one, 1e-6)) for one in usual)


def _fit_forecaster(model: nn.Module, *, source: Windows, least: Sequence[float]) -> None:
    """Has a `Forecaster` take the figures of columns, and the lines that it starts from."""
    assert isinstance(model, Forecaster)
    steps = torch.cat([torch.from_numpy(one.values[one.splits == TRAIN]) for one in source.series])
    model.standardise.fit(steps[:: -(-len(steps) // MOST_FITTED), source.num_targets :])
    model.least_scale.copy_(torch.tensor(least))
    fit_lines(model, source)
