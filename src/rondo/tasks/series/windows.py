"""Forecasting: which steps are for training, checks and test, and windows over them.

A window is a context of L steps and a horizon of H steps. A window of a check or the test has all
its horizon in that split; windows follow each other without overlap, from the last step back, and
their contexts may reach into the splits before, as they do where a forecast is used. A training
window may begin at any step; where its horizon leaves the training steps, those targets are
missing, so nothing of what comes later is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.order import Order
from rondo.data.sources import EVALUATED_TOGETHER

TRAIN, VAL, TEST = 0, 1, 2
"""The numbers of the splits of steps."""

MOST_WINDOWS = 200_000
"""Training windows at most; of more, evenly spaced ones are used."""

EPOCH_WINDOWS = 4096
"""Training windows between two checks, at most."""

LEAST_CONTEXT = 2
"""The steps before the first training horizon, at least."""


@dataclass(frozen=True)
class Steps:
    """A series with the split of each step.

    Args:
        id: Its name.
        source: Where it is from.
        values: (T, C) float32, NaN where a value is missing; targets first, columns known ahead
            last.
        splits: (T,) `TRAIN`, `VAL` or `TEST`.
        times: (T,), or None.
    """

    id: str
    source: str
    values: np.ndarray
    splits: np.ndarray
    times: np.ndarray | None = None


@dataclass(frozen=True)
class Window:
    """Where a window is: the number of its series, and the first step of its horizon."""

    series: int
    start: int


@dataclass(frozen=True)
class Windows:
    """The windows of some series, as the source of a task.

    Args:
        series: The series.
        context: L.
        horizon: H.
        num_targets: The columns that are predicted; they stand first.
        num_known: The columns that are known ahead; they stand last.
    """

    series: Sequence[Steps]
    context: int
    horizon: int
    num_targets: int
    num_known: int

    @cached_property
    def train(self) -> list[Window]:
        """The windows of the training."""
        starts = [self._starts(one) for one in self.series]
        stride = max(1, -(-sum(map(len, starts)) // MOST_WINDOWS))
        return [
            Window(number, start)
            for number, places in enumerate(starts)
            for start in places[::stride].tolist()
        ]

    def _starts(self, one: Steps) -> np.ndarray:
        """The steps of a series at which a training horizon may begin."""
        is_known = np.isfinite(one.values[:, : self.num_targets]).any(1)
        places = np.flatnonzero((one.splits == TRAIN) & is_known)
        return places[places >= LEAST_CONTEXT]

    def held_out(self, split: int) -> list[Window]:
        """The windows of a check or the test, by series and then by time."""
        found = []
        for number, one in enumerate(self.series):
            places = np.flatnonzero(one.splits == split)
            if not len(places):
                continue
            first, end = int(places[0]), int(places[-1]) + 1
            starts = range(end - self.horizon, max(first, LEAST_CONTEXT) - 1, -self.horizon)
            found += [Window(number, start) for start in reversed(starts)]
        return found

    @cached_property
    def order(self) -> Order:
        """The order of the training windows."""
        return Order(len(self.train))

    def num_train(self) -> int | None:
        """How many training windows there are between two checks."""
        return min(len(self.train), EPOCH_WINDOWS)

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The windows of a step."""
        rows = self.order.rows(seed, step, batch_size)
        return self.batch([self.train[row] for row in rows], TRAIN)

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """The windows of the checks."""
        yield from self.batches(VAL)

    def test_batches(self) -> Iterator[Batch]:
        """The windows of the test."""
        yield from self.batches(TEST)

    def batches(self, split: int) -> Iterator[Batch]:
        """The windows of a check or the test."""
        windows = self.held_out(split)
        for first in range(0, len(windows), EVALUATED_TOGETHER):
            yield self.batch(windows[first : first + EVALUATED_TOGETHER], split)

    def batch(self, windows: Sequence[Window], split: int) -> Batch:
        """Some windows side by side; targets of other splits are missing."""
        pairs = [self._cut(one, split) for one in windows]
        return Batch(torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs]))

    def _cut(self, window: Window, split: int) -> tuple[Tensor, Tensor]:
        one = self.series[window.series]
        end = min(window.start + self.horizon, len(one.values))
        x = window_inputs(
            one.values[:end], window.start, self.context, self.horizon, self.num_known
        )
        y = np.full((self.horizon, self.num_targets), np.nan, np.float32)
        held = one.values[window.start : end, : self.num_targets]
        is_own = (one.splits[window.start : end] == split)[:, None]
        y[: len(held)] = np.where(is_own, held, np.nan)
        return torch.from_numpy(x), torch.from_numpy(y)


def window_inputs(
    values: np.ndarray, start: int, context: int, horizon: int, num_known: int
) -> np.ndarray:
    """Returns what a network sees (L + H, C) of values (T, C) before a step and known after it."""
    num_columns = values.shape[1]
    x = np.full((context + horizon, num_columns), np.nan, np.float32)
    first = max(0, start - context)
    x[context - (start - first) : context] = values[first:start]
    if num_known:
        known = values[start : start + horizon, num_columns - num_known :]
        x[context : context + len(known), num_columns - num_known :] = known
    return x


def splits_by_time(lengths: Sequence[int], horizon: int) -> list[np.ndarray | None]:
    """Returns the split of each step: the last horizons are for the test, those before for checks.

    Of series of T steps each of both gets a tenth, in whole horizons, 1 to 10 of them; T is the
    median. A series that is too short for both gives none to the checks; one that is too short for
    the test is left out (None).
    """
    middle = int(np.median(lengths)) if len(lengths) else 0
    size = horizon * max(1, min(10, middle // (10 * horizon)))
    return [_splits_of(length, size, horizon) for length in lengths]


def _splits_of(length: int, size: int, horizon: int) -> np.ndarray | None:
    for steps in (size, horizon):
        if length >= 2 * steps + horizon + LEAST_CONTEXT:
            return np.repeat([TRAIN, VAL, TEST], [length - 2 * steps, steps, steps])
    if length >= horizon + LEAST_CONTEXT + 1:
        return np.repeat([TRAIN, TEST], [length - horizon, horizon])
    return None
