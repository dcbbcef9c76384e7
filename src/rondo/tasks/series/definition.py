"""What the task on series states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A file (.csv, .tsv, .parquet, .npz, .ts, .tsf), a folder with train, val and test
            files, or "drawn".
        kind: classify, regress or forecast; none: what the data tell.
        target: What to predict, names with commas between; none: label, class, target or y, and of
            a forecast all columns.
        inputs: The other columns to read; none: all that hold numbers.
        id: The column that tells the series of a table apart; none: id, series or alike.
        time: The column of times; none: one of dates, or time, step or alike.
        known: Of a forecast: columns that are known ahead.
        horizon: Of a forecast: steps ahead; none: what the file says, or a season.
        context: Of a forecast: steps before that are seen; none: two seasons or horizons.
        season: Of a forecast: steps of a season; none: what the times tell.
        quantiles: Of a forecast: numbers with commas between; none: 0.1,0.5,0.9.
        split_seed: Chooses what is held out where no splits are given.
    """

    data: str = path_field(DRAWN)
    kind: str | None = None
    target: str | None = None
    inputs: str | None = None
    id: str | None = None
    time: str | None = None
    known: str | None = None
    horizon: int | None = None
    context: int | None = None
    season: int | None = None
    quantiles: str | None = None
    split_seed: int = 0


@dataclass(frozen=True)
class Answering:
    """Options of a run that answers.

    Args:
        min_confidence: Answer "not sure" where the probability of a class is lower, 0 to 1.
    """

    min_confidence: float = 0.0


RECIPES = {
    "classify": Recipe(
        cell="gru", hidden_size=64, channels=64, batch_size=16, learning_rate=2e-3,
        schedule="cosine", num_sequences=12_000, dropout=0.3,
    ),
    "regress": Recipe(
        cell="gru", hidden_size=64, channels=64, batch_size=16, learning_rate=2e-3,
        schedule="cosine", num_sequences=12_000, dropout=0.3,
    ),
    "forecast": Recipe(
        cell="gru", hidden_size=32, batch_size=32, learning_rate=2e-3, schedule="cosine",
        num_sequences=12_000, dropout=0.1, patience=6,
    ),
}  # fmt: skip
"""How to train for each kind."""

SERIES = Definition(
    name="series",
    summary="classify series of your own files, or predict a number or what comes next",
    options=Options,
    recipes=RECIPES,
    task="rondo.tasks.series.task:series",
    networks="rondo.tasks.series.networks:NETWORKS",
    predict=Command("rondo.tasks.series.answers:SeriesAnswers", Answering),
    evaluate=Command("rondo.tasks.series.evaluate:evaluate"),
    finish="rondo.tasks.series.finish:finish",
)
