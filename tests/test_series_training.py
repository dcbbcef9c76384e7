"""Runs on series: training, answers for new files, evaluation beside simple rules."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from rondo.errors import RunError
from rondo.tasks.series.answer_forms import ClassAnswer, ForecastAnswer, NumberAnswer
from rondo.tasks.series.answers import SeriesAnswers
from rondo.tasks.series.evaluation import NETWORK
from series_files import sales_rows, sensor_rows, sensors, shops, write
from small_runs import trained as train


def trained(run: Path, **options: object) -> Path:
    """A run that was trained for a moment."""
    train("series", run, **{"hidden_size": 8, **options})
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and runs."""
    return tmp_path_factory.mktemp("series")


@pytest.fixture(scope="module")
def classes(folder: Path) -> Path:
    """A run on classes of sensors."""
    data = str(sensors(folder / "sensors.csv", sensor_rows(30)))
    return trained(folder / "classes", data=data, channels=16, num_sequences=400)


@pytest.fixture(scope="module")
def forecasts(folder: Path) -> Path:
    """A run on forecasts of sales whose prices are known ahead."""
    data = str(shops(folder / "sales.csv"))
    return trained(folder / "forecasts", data=data, id="shop", target="sales", known="price",
                   horizon=6, num_sequences=160)  # fmt: skip


def test_a_class_is_learnt_and_told_with_its_probability(classes: Path, folder: Path) -> None:
    new = sensors(folder / "new.csv", sensor_rows(4, first=100))
    answers = SeriesAnswers(classes)
    found = list(answers.iterate([new]))
    assert [type(one) for one in found] == 4 * [ClassAnswer]
    assert [one.answer for one in found] == [one.label for one in found]
    assert found[0].source == "new.csv#s100"
    assert sum((found[0].probabilities or {}).values()) == pytest.approx(1)
    assert all(hasattr(found[0], name) for name in answers.columns)
    assert asdict(found[0])["probability"] == max((found[0].probabilities or {}).values())


def test_columns_go_by_name_and_labels_may_be_missing(classes: Path, folder: Path) -> None:
    rows = [row.split(",") for row in sensor_rows(3, first=100)]
    moved = [f"{r[3]},9,{r[0]},{r[2]},{r[1]}" for r in rows]
    other = write(folder / "other.csv", ["ay,extra,id,ax,time", *moved])
    same = sensors(folder / "same.csv", sensor_rows(3, first=100))
    answers = SeriesAnswers(classes)
    for one, wanted in zip(answers.iterate([other]), answers.iterate([same]), strict=True):
        assert one.probabilities == wanted.probabilities
        assert one.label is None
    assert answers.notes == ("other.csv: not read: extra",)


def test_what_cannot_be_read_is_told_and_the_others_go_on(classes: Path, folder: Path) -> None:
    lacking = write(folder / "lacking.csv", ["id,time,ax", "a,0,1"])
    good = sensors(folder / "good.csv", sensor_rows(1))
    empty = sensors(folder / "void.csv", ["v,0,,,walk", "v,1,,,walk"])
    found = list(SeriesAnswers(classes).iterate([lacking, folder / "no.csv", empty, good]))
    assert [one.error is None for one in found] == [False, False, False, True]
    assert "has no column 'ay'" in str(found[0].error)
    assert "the file is missing" in str(found[1].error)
    assert found[2].error == "it has no value"


def test_standard_input_and_the_word_drawn_are_answered(classes: Path, folder: Path) -> None:
    answers = SeriesAnswers(classes)
    content = sensors(folder / "piped.csv", sensor_rows(2)).read_bytes()
    (one, _) = answers.iterate([io.BytesIO(content)])
    assert one.source == "standard input.csv#s0"
    (drawn,) = answers.iterate(["drawn"])
    assert "has no column 'ax'" in str(drawn.error)  # this run's columns are not those drawn


def test_an_unsure_class_is_not_given(classes: Path, folder: Path) -> None:
    new = sensors(folder / "new.csv", sensor_rows(2))
    found = list(SeriesAnswers(classes, min_confidence=1.0).iterate([new]))
    assert [one.answer for one in found] == [None, None]
    assert all(one.probability is not None for one in found)


def test_evaluation_stands_beside_rules(classes: Path) -> None:
    found = SeriesAnswers(classes).evaluate()
    assert set(found) == {"val", "test"}
    test = found["test"]
    assert set(test.scores) == {NETWORK, "most frequent class", "ridge on random kernels"}
    assert test.main("most frequent class") == 0.5
    text = test.text()
    assert "most frequent class" in text
    assert "the network is" in text.splitlines()[-1]
    assert test.to_dict()["classes"]["classes"] == ["run", "walk"]
    assert set(SeriesAnswers(classes).evaluate(split="val")) == {"val"}


def test_other_data_must_have_the_columns_and_classes(classes: Path, folder: Path) -> None:
    swimming = [row.replace("run", "swim") for row in sensor_rows(20)]
    with pytest.raises(RunError, match="have the classes swim, walk, but the run learnt run, walk"):
        SeriesAnswers(classes).evaluate(str(sensors(folder / "swim.csv", swimming)))
    with pytest.raises(RunError, match="there is no split 'train'; there are: test, val"):
        SeriesAnswers(classes).evaluate(split="train")


def test_a_forecast_has_times_and_quantiles(forecasts: Path, folder: Path) -> None:
    rows = sales_rows(2, 66)
    ahead = [f"{row.rpartition(',')[0]}," if n % 66 >= 60 else row for n, row in enumerate(rows)]
    found = list(SeriesAnswers(forecasts).iterate([shops(folder / "new.csv", ahead)]))
    assert [type(one) for one in found] == 12 * [ForecastAnswer]
    assert [one.time for one in found[:6]] == [f"2020-0{month}-01" for month in range(1, 7)]
    assert [one.step for one in found[:6]] == [1, 2, 3, 4, 5, 6]
    wanted = [float(row.split(",")[3]) for n, row in enumerate(rows) if n % 66 >= 60]
    for one, value in zip(found, wanted, strict=True):
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low <= one.value <= one.high
        assert abs(one.value - value) < 6
    assert found[0].quantiles is not None
    assert list(found[0].quantiles) == ["0.1", "0.5", "0.9"]


def test_what_must_be_known_ahead_is_asked_for(forecasts: Path, folder: Path) -> None:
    (one, *_) = SeriesAnswers(forecasts).iterate([shops(folder / "past.csv", sales_rows(1, 60))])
    assert one.error == (
        "price must be known for 6 steps after the last value to predict, and the file has 0; add "
        "rows with them, and leave sales empty"
    )
    (one, *_) = SeriesAnswers(forecasts).iterate([shops(folder / "1.csv", ["a,2020-01,2,100"])])
    assert one.error == "it has 1 known steps; a forecast needs 2 or more"


def test_a_forecast_stands_beside_rules(forecasts: Path) -> None:
    found = SeriesAnswers(forecasts).evaluate(split="test")["test"]
    assert set(found.scores) == {NETWORK, "last value", "season before", "ridge on lags"}
    assert found.main(NETWORK) < found.main("last value")
    assert "MASE" in found.text()


def test_drawn_sales_are_forecast_without_data(folder: Path) -> None:
    run = trained(folder / "drawn", horizon=3, num_sequences=32)
    found = list(SeriesAnswers(run).iterate(["drawn"]))
    assert len(found) == 8 * 3
    assert all(isinstance(one, ForecastAnswer) and one.value is not None for one in found)
    assert [one.time for one in found[:3]] == ["2023-10-01", "2023-11-01", "2023-12-01"]


def test_numbers_are_learnt_in_their_units(folder: Path) -> None:
    draws = np.random.default_rng(0)
    levels = draws.uniform(100, 200, 60)
    x = levels[:, None, None] / 50 + draws.normal(0, 0.1, (60, 15, 1))
    np.savez(folder / "numbers.npz", x=x, y=np.stack([levels, -levels], 1))
    run = trained(folder / "numbers", data=str(folder / "numbers.npz"), channels=16,
                  num_sequences=1500)  # fmt: skip
    answers = SeriesAnswers(run)
    found = list(answers.iterate([folder / "numbers.npz"]))
    assert len(found) == 120
    assert isinstance(found[0], NumberAnswer)
    assert [one.target for one in found[:2]] == ["target 0", "target 1"]
    assert np.corrcoef([one.value for one in found[::2]], levels)[0, 1] > 0.9
    assert found[0].label == pytest.approx(levels[0])
    score = answers.evaluate()["test"].scores
    assert set(score) == {NETWORK, "mean", "ridge on random kernels"}
    assert score["mean"]["target 0"].r2 <= 0  # type: ignore[union-attr]
