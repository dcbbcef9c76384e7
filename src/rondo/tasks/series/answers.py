"""Answers of a run of `rondo train series` for series that it was not trained on.

A class with its probability, numbers, or the next steps with their quantiles. Columns of a file go
by their names: another order does not matter, a missing one is named, others are not read.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from rondo.data.sources import Example, together
from rondo.measures.abstention import check_min_confidence
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.tasks.series.answer_forms import (
    FORMS,
    HEADS,
    Answer,
    ClassAnswer,
    ForecastAnswer,
    NumberAnswer,
    line_of,
)
from rondo.tasks.series.definition import SERIES
from rondo.tasks.series.drawn import DRAWN, drawn_series
from rondo.tasks.series.evaluation import SPLITS, Evaluation, check_like, evaluations
from rondo.tasks.series.examples import filled
from rondo.tasks.series.files import ENDINGS, read_new
from rondo.tasks.series.form import Found, Roles, Series
from rondo.tasks.series.times import as_words, following
from rondo.tasks.series.windows import LEAST_CONTEXT, window_inputs
from rondo.training.run_folder import read_run

TOGETHER = 64
"""Series that are answered together."""

NUM_DRAWN = 8
"""So many drawn series are answered for the word "drawn", at most."""


class SeriesAnswers:
    """The network of a run, with what columns and classes mean.

    Args:
        run: The run folder.
        min_confidence: A class of a smaller probability is not given.

    Attributes:
        notes: What the user should know of the files that were read.
        columns: What a table shows of an answer.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """

    def __init__(self, run: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        self.min_confidence = min_confidence
        self.notes: tuple[str, ...] = ()
        self.config, network, origin = read_run(run, SERIES, nn.Module)
        assert isinstance(network, (SeriesModel, Forecaster))
        self.model: SeriesModel | Forecaster = network.eval()
        self.kind: str = network.told["kind"]
        self.classes: tuple[str, ...] = tuple(origin["classes"] or ())
        self.form, self.columns = FORMS[self.kind]

    @property
    def head(self) -> str:
        """The line above the answers."""
        return HEADS[self.kind]

    def line(self, answer: Answer) -> str:
        """Returns an answer, or why there is none, in a line."""
        return line_of(answer)

    @property
    def roles(self) -> Roles:
        """What the columns of tables were in training."""
        told = self.model.told
        known: tuple[str, ...] = ()
        if isinstance(self.model, Forecaster):
            known = self.model.columns[len(self.model.columns) - self.model.num_known :]
        return Roles(told["id"], told["time"], tuple(told["target"]) or None, known=known)

    @property
    def targets(self) -> tuple[str, ...]:
        """What is predicted: columns, or numbers without a name."""
        if isinstance(self.model, Forecaster):
            return self.model.columns[: self.model.num_targets]
        number = self.model.output.out_features
        return self.roles.target or (("target",) if number == 1 else
                                     tuple(f"target {n}" for n in range(number)))  # fmt: skip

    def evaluate(self, data: str | None = None, split: str | None = None) -> dict[str, Evaluation]:
        """Returns what the network and simple rules are worth on val and test, or on one of them.

        Args:
            data: Other data, with labels and splits as for training; default the run's own.
            split: "val" or "test"; default both.

        Raises:
            RunError: If the data cannot be used, or are not like those of the training.
        """
        options = self.config.options
        if data is not None:
            options = replace(options, data=os.path.abspath(data), kind=self.kind)
        if isinstance(self.model, Forecaster):
            model = self.model
            options = replace(
                options, horizon=model.horizon, context=model.context, season=model.season
            )
        task = SERIES.make_task(options)
        self.notes = task.notes
        check_like(self.model, self.classes, task)
        splits = SPLITS if split is None else (split,)
        return evaluations(self.model, task, self.config.recipe, splits)

    def iterate(self, sources: Sequence[str | Path | BinaryIO]) -> Iterator[Answer]:
        """Yields the answers for files, folders of files, the word "drawn", or an open file."""
        for source in sources:
            for path in _files(source):
                try:
                    found = self._read(path)
                except (ValueError, OSError, ModuleNotFoundError) as error:
                    yield self.form(_name(path), error=_reason(error))
                    continue
                self.notes = (*self.notes, *(n for n in found.notes if n not in self.notes))
                yield from self.answers(found)

    def answers(self, found: Found) -> Iterator[Answer]:
        """Yields the answers for series that were read, their columns in the network's order."""
        for item in found.skipped:
            yield self.form(item.path, error=item.reason)
        series = iter(found.series)
        while part := list(islice(series, TOGETHER)):
            faults = [self._fault(one) for one in part]
            good = [one for one, fault in zip(part, faults, strict=True) if fault is None]
            said = iter(self._said(good)) if good else iter(())
            for one, fault in zip(part, faults, strict=True):
                if fault is not None:
                    yield self.form(one.source, one.id, error=fault)
                else:
                    yield from self._worded(one, next(said))

    def _read(self, path: Path | BinaryIO) -> Found:
        if isinstance(path, Path):
            if path == Path(DRAWN):
                found = drawn_series(self.kind, "shown series").with_columns(self.model.columns)
                part = tuple(map(self._as_new, found.series[-NUM_DRAWN:]))
                return replace(found, series=part)
            return read_new(path, self.roles, self.kind, self.model.columns)
        content = path.read()
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / f"standard input{_ending(content)}"
            kept.write_bytes(content)
            return read_new(kept, self.roles, self.kind, self.model.columns)

    def _as_new(self, series: Series) -> Series:
        """A drawn series whose last steps are still to come, where they are to be forecast."""
        if not isinstance(self.model, Forecaster):
            return series
        values = series.values.copy()
        values[-self.model.horizon :, : self.model.num_targets] = np.nan
        return replace(series, values=values)

    def _fault(self, series: Series) -> str | None:
        """Why there can be no answer for a series."""
        if not isinstance(self.model, Forecaster):
            return None if np.isfinite(series.values).any() else "it has no value"
        model, start = self.model, self.num_past(series)
        if start < LEAST_CONTEXT:
            return f"it has {start} known steps; a forecast needs {LEAST_CONTEXT} or more"
        if not model.num_known:
            return None
        ahead = series.values[start : start + model.horizon, -model.num_known :]
        number = int(np.isfinite(ahead).all(1).cumprod().sum())
        if number == model.horizon:
            return None
        names = ", ".join(self.roles.known)
        return (
            f"{names} must be known for {model.horizon} steps after the last value to predict, and "
            f"the file has {number}; add rows with them, and leave {', '.join(self.targets)} empty"
        )

    def num_past(self, series: Series) -> int:
        """How many steps stand before the forecast: to the last one with a value to predict."""
        held = np.isfinite(series.values[:, : len(self.targets)]).any(1)
        return int(np.flatnonzero(held)[-1]) + 1 if held.any() else 0

    @torch.no_grad()
    def _said(self, series: Sequence[Series]) -> Tensor:
        """What the network says of series."""
        model = self.model
        if isinstance(model, Forecaster):
            shape = (model.context, model.horizon, model.num_known)
            windows = [window_inputs(one.values, self.num_past(one), *shape) for one in series]
            return model(torch.from_numpy(np.stack(windows)))[0].double()
        values = (torch.as_tensor(filled(one.values), dtype=torch.float32) for one in series)
        batch = together([Example(one, torch.tensor(0)) for one in values])
        return model(batch.inputs, lengths=batch.lengths)[0].double()

    def _worded(self, series: Series, said: Tensor) -> Iterator[Answer]:
        if self.kind == "classify":
            yield self._class_answer(series, said)
        elif self.kind == "regress":
            labels = series.label if isinstance(series.label, tuple) else [None] * len(said)
            for target, value, label in zip(self.targets, said.tolist(), labels, strict=True):
                label = None if label is None or not np.isfinite(label) else label
                yield NumberAnswer(series.source, series.id, len(series), target, value, label)
        else:
            yield from self._forecast_answers(series, said)

    def _class_answer(self, series: Series, logits: Tensor) -> ClassAnswer:
        probabilities = logits.softmax(-1)
        value, place = probabilities.max(0)
        by_class = dict(zip(self.classes, probabilities.tolist(), strict=True))
        sure = float(value) >= self.min_confidence
        answer = self.classes[int(place)] if sure else None
        label = None if not series.label else str(series.label)
        return ClassAnswer(
            series.source, series.id, len(series), answer, float(value), by_class, label
        )

    def _forecast_answers(self, series: Series, said: Tensor) -> Iterator[ForecastAnswer]:
        assert isinstance(self.model, Forecaster)
        levels, start = self.model.quantiles, self.num_past(series)
        times: list[str | None] = [None] * len(said)
        if series.times is not None:
            ahead = series.times[start : start + len(said)]
            more = following(series.times, len(said) - len(ahead))
            words = as_words(np.concatenate([ahead, more]))
            times = [*words, *times][: len(said)]
        for step, (time, by_target) in enumerate(zip(times, said.tolist(), strict=True), 1):
            for target, values in zip(self.targets, by_target, strict=True):
                by_level = {
                    f"{level:g}": value for level, value in zip(levels, values, strict=True)
                }
                yield ForecastAnswer(
                    series.source, series.id, step, time, target,
                    by_level["0.5"], values[0], values[-1], by_level,
                )  # fmt: skip


def _files(source: str | Path | BinaryIO) -> Iterable[Path | BinaryIO]:
    """The files that a word of the command line means."""
    if not isinstance(source, (str, Path)):
        return [source]
    path = Path(source)
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.suffix.lower() in ENDINGS) or [path]


def _name(path: Path | BinaryIO) -> str:
    return str(path) if isinstance(path, Path) else "standard input"


def _ending(content: bytes) -> str:
    """The ending of a file with such content."""
    if content[:4] == b"PAR1":
        return ".parquet"
    if content[:2] == b"PK":
        return ".npz"
    if b"@data" in content.lower():
        return ".tsf" if b"@attribute" in content.lower() else ".ts"
    return ".csv"


def _reason(error: Exception) -> str:
    """Returns why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror
    return str(error)
