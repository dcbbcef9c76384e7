"""Forecasting: from what readers give to windows, with horizon, context and season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rondo.data.skipped import Skipped, describe_skipped
from rondo.data.splits import MAIN_SPLITS
from rondo.errors import suggestion
from rondo.tasks.series.examples import constant_columns
from rondo.tasks.series.form import Found, Series, listed
from rondo.tasks.series.times import SEASONS, frequency_of, is_even
from rondo.tasks.series.windows import LEAST_CONTEXT, TRAIN, VAL, Steps, Windows, splits_by_time

MOST_CONTEXT = 512
"""Steps before the horizon that the network sees, at most, where the user does not say."""

USUAL_HORIZON = 10
"""The steps to forecast where neither the user, nor the file, nor a season says how many."""


@dataclass(frozen=True)
class Shape:
    """How series are forecast.

    Args:
        horizon: The steps to forecast.
        context: The steps before that are seen.
        season: The steps of a season; 1 for none.
    """

    horizon: int
    context: int
    season: int


@dataclass(frozen=True)
class Forecast:
    """Series in windows.

    Args:
        columns: Targets first, columns known ahead last.
        targets: The columns to predict.
        known: The columns known ahead.
        shape: Horizon, context and season.
        source: The windows.
        notes: What to tell the user.
        num_skipped: How many series could not be used.
    """

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...]
    shape: Shape
    source: Windows
    notes: tuple[str, ...]
    num_skipped: int


def forecast(
    found: Found, horizon: int | None, context: int | None, season: int | None
) -> Forecast:
    """Returns the windows of series.

    Raises:
        ValueError: Where a number is not usable, or a split has no window.
    """
    targets, known = _targets(found), found.roles.known
    middle = [c for c in found.columns if c not in targets and c not in known]
    ordered = found.with_columns((*targets, *middle, *known))
    skipped = list(found.skipped)
    usable = [one for one in ordered.series if _has_values(one, len(targets), skipped)]
    shape, notes = shape_of(ordered, usable, horizon, context, season)
    series = _steps(usable, shape, skipped)
    source = Windows(series, shape.context, shape.horizon, len(targets), len(known))
    _check(found, source, shape, skipped)
    notes = [*found.notes, *notes, *_notes_of_steps(ordered, usable, skipped)]
    return Forecast(ordered.columns, targets, known, shape, source, tuple(notes), len(skipped))


def _targets(found: Found) -> tuple[str, ...]:
    """The columns to predict: those named, or all that are not known ahead."""
    targets, known = found.roles.target, found.roles.known
    for name in (*(targets or ()), *known):
        if name not in found.columns:
            raise ValueError(
                f"{found.path} has no column of values {name!r}; {suggestion(name, found.columns)}"
            )
    if targets is None:
        targets = tuple(name for name in found.columns if name not in known)
    if not targets or set(targets) & set(known):
        raise ValueError(
            f"a column is to be predicted or known ahead, not both: {listed(known)}; name others "
            "with target or known"
        )
    return targets


def _has_values(series: Series, num_targets: int, skipped: list[Skipped]) -> bool:
    if np.isfinite(series.values[:, :num_targets]).any():
        return True
    skipped.append(Skipped(series.source, "it has no value to predict"))
    return False


def shape_of(
    found: Found,
    series: Sequence[Series],
    horizon: int | None,
    context: int | None,
    season: int | None,
) -> tuple[Shape, list[str]]:
    """Returns horizon, context and season, as said or guessed, and what was guessed.

    Raises:
        ValueError: Where a number is below 1, or no series could be used.
    """
    for name, value in (("horizon", horizon), ("context", context), ("season", season)):
        if value is not None and value < 1:
            raise ValueError(f"the {name} must be 1 step or more, got {value}")
    if not series:
        raise ValueError(f"{found.path} has no series with values to predict")
    length = int(np.median([len(one) for one in series]))
    frequency = found.frequency or next(
        (said for one in series if one.times is not None and (said := frequency_of(one.times))),
        None,
    )
    told = []
    if season is None:
        season = SEASONS.get(frequency or "", 1)
        season = season if 3 * season <= length else 1
        told.append(f"season {season}" + (f" (the steps are {frequency})" if frequency else ""))
    if horizon is None:
        horizon = found.horizon or (season if season > 1 else min(USUAL_HORIZON, length // 5 or 1))
        told.append(f"horizon {horizon}")
    if context is None:
        context = min(MOST_CONTEXT, max(2 * season, 2 * horizon, 16), max(season, length - horizon))
    context = max(context, season, LEAST_CONTEXT)
    return Shape(horizon, context, season), [f"guessed: {', '.join(told)}"] if told else []


def _steps(series: Sequence[Series], shape: Shape, skipped: list[Skipped]) -> list[Steps]:
    """The series with the splits of their steps; those that are too short are noted as skipped."""
    by_time = iter(splits_by_time([len(s) for s in series if s.split is None], shape.horizon))
    found = []
    for one in series:
        splits = next(by_time) if one.split is None else _given_splits(one, shape.horizon)
        if splits is None:
            skipped.append(
                Skipped(one.source, f"it is too short for a horizon of {shape.horizon} steps")
            )
            continue
        values = one.values.astype(np.float32)
        found.append(Steps(one.id, one.source, values, splits, one.times))
    return found


def _given_splits(series: Series, horizon: int) -> np.ndarray:
    """The splits that a column or the files give; without val the last training horizon is it."""
    words = np.broadcast_to(np.asarray(series.split), len(series))
    numbers = np.array([MAIN_SPLITS.index(str(word)) for word in words])
    if (np.diff(numbers) < 0).any():
        raise ValueError(
            f"{series.source}: steps for training must come before those for val, and these before "
            f"those for test, but {words[np.diff(numbers).argmin()]} stands before "
            f"{words[np.diff(numbers).argmin() + 1]}"
        )
    num_train = int((numbers == TRAIN).sum())
    if VAL not in numbers and num_train >= 2 * horizon + LEAST_CONTEXT:
        numbers[num_train - horizon : num_train] = VAL
    return numbers


def _check(found: Found, source: Windows, shape: Shape, skipped: list[Skipped]) -> None:
    counts = {"train": len(source.train)}
    counts |= {name: len(source.held_out(n)) for n, name in enumerate(MAIN_SPLITS) if n != TRAIN}
    for name, number in counts.items():
        if not number:
            longest = max((len(one.values) for one in source.series), default=0)
            why = f"; {describe_skipped(skipped)}" if skipped else ""
            raise ValueError(
                f"{found.path} has no window for the split {name}: with a horizon of "
                f"{shape.horizon} a series needs {3 * shape.horizon + LEAST_CONTEXT} steps, and "
                f"the longest that can be used has {longest}{why}; give a shorter horizon"
            )


def _notes_of_steps(
    found: Found, series: Sequence[Series], skipped: Sequence[Skipped]
) -> list[str]:
    """What is uneven, missing, constant or left out, in words."""
    notes = constant_columns(found, series)
    uneven = [one.source for one in series if one.times is not None and not is_even(one.times)]
    if uneven:
        notes.append(
            "times are not evenly spaced, and steps are taken as if they were, in "
            f"{len(uneven)} of {len(series)} series: {listed(uneven, 3)}"
        )
    gaps = [one for one in series if not np.isfinite(one.values).all()]
    if gaps:
        number = sum(int((~np.isfinite(one.values)).sum()) for one in gaps)
        where = listed([one.source for one in gaps], 3)
        notes.append(
            f"{number} missing values in {len(gaps)} series; they are neither learnt nor measured: "
            f"{where}"
        )
    if skipped:
        where = listed([item.path for item in skipped], 3)
        notes.append(f"{describe_skipped(skipped)}: {where}")
    return notes
