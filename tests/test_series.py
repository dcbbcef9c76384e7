"""The task on series: splits, guesses, windows, rules, networks, what broken data say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rondo.data.sources import Collection
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.models.series_steps import Standardise, both_views
from rondo.tasks.series.baselines import class_rules, forecast_rules
from rondo.tasks.series.definition import SERIES
from rondo.tasks.series.evaluation import Evaluation
from rondo.tasks.series.scores import ForecastScore, mase_scales, score_forecasts
from rondo.tasks.series.task import series
from rondo.tasks.series.windows import TEST, TRAIN, VAL, Windows, splits_by_time
from rondo.training.network import new_network
from rondo.training.request import checks_by_default
from series_files import sales_rows, sensor_rows, sensors, shops, write


def network_of(task):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return new_network(SERIES, task, task.recipe, is_new=True).eval()


def test_sensors_are_classes_and_the_split_is_by_series_and_by_class(tmp_path: Path) -> None:
    task = series(str(sensors(tmp_path / "a.csv", sensor_rows(20))))
    assert task.classes == ("run", "walk")
    assert isinstance(task.source, Collection)
    parts = (task.source.train, task.source.val, task.source.test)
    assert [len(part) for part in parts] == [12, 4, 4]
    for part in parts:
        labels = [int(one.targets) for one in part]
        assert labels.count(0) == labels.count(1)
    assert any("kind: classify (a guess" in note for note in task.notes)


def test_other_seeds_hold_out_other_series(tmp_path: Path) -> None:
    file = str(sensors(tmp_path / "a.csv", sensor_rows(20)))
    first, same, other = (
        torch.cat([one.inputs[:1] for one in series(file, split_seed=seed).source.test])
        for seed in (0, 0, 1)
    )
    assert (first == same).all()
    assert not (first == other).all()


def test_missing_values_take_the_one_before_and_are_told(tmp_path: Path) -> None:
    rows = sensor_rows(10)
    rows[1] = "s0,1,,0.5,walk"
    task = series(str(sensors(tmp_path / "a.csv", rows)), split_seed=3)
    assert any("1 missing values in 1 series take the value before: a.csv#s0" in note
               for note in task.notes)  # fmt: skip
    for part in (task.source.train, task.source.val, task.source.test):
        for one in part:
            assert one.inputs.isfinite().all()


def test_a_forecast_reads_names_given_as_text(tmp_path: Path) -> None:
    file = str(shops(tmp_path / "a.csv"))
    task = series(file, target="sales", known="price", id="shop", quantiles="0.05,0.95")
    assert task.model_arguments["columns"] == ["sales", "price"]
    assert task.model_arguments["quantiles"] == [0.05, 0.5, 0.95]
    assert (task.model_arguments["season"], task.model_arguments["horizon"]) == (12, 12)
    assert any("season 12 (the steps are monthly), horizon 12" in note for note in task.notes)


def test_no_training_window_knows_what_comes_later(tmp_path: Path) -> None:
    task = series(str(shops(tmp_path / "a.csv")), target="sales", id="shop", horizon=6)
    windows = task.source
    assert isinstance(windows, Windows)
    first = windows.series[0]
    assert [int((first.splits == n).sum()) for n in (TRAIN, VAL, TEST)] == [48, 6, 6]
    later = set(first.values[first.splits != TRAIN, 0].tolist())
    ours = [one for one in windows.train if one.series == 0]
    batch = windows.batch(ours, TRAIN)
    assert not later & set(batch.inputs[..., 0].flatten().tolist())
    assert not later & set(batch.targets.flatten().tolist())
    last = windows.batch(ours[-1:], TRAIN).targets[0, :, 0]
    assert last.isfinite().tolist() == [True, *5 * [False]]


def test_the_test_has_the_last_horizon_and_sees_the_steps_before() -> None:
    task = series(kind="forecast", horizon=6)
    windows = task.source
    assert isinstance(windows, Windows)
    (window, *_) = windows.held_out(TEST)
    one = windows.series[window.series]
    batch = windows.batch([window], TEST)
    ahead = one.values[window.start : window.start + 6]
    assert batch.targets[0, :, 0].tolist() == ahead[:, 0].tolist()
    assert batch.inputs[0, 23, 0] == one.values[window.start - 1, 0]
    assert batch.inputs[0, 24:, 0].isnan().all()
    assert batch.inputs[0, 24:, 1].tolist() == ahead[:, 1].tolist()


@pytest.mark.parametrize(
    ("length", "counts"), [(100, (80, 10, 10)), (20, (10, 5, 5)), (8, (3, 0, 5)), (7, None)]
)
def test_series_are_split_by_time(length: int, counts: tuple[int, ...] | None) -> None:
    *_, splits = splits_by_time([100, 100, 100, length], 5)
    if counts is None:
        assert splits is None
    else:
        assert splits is not None
        assert tuple(np.bincount(splits, minlength=3)) == counts


def test_a_forecaster_starts_as_ridge_regression_beside_its_base() -> None:
    task = series(kind="forecast", horizon=6)
    model = network_of(task)
    assert isinstance(model, Forecaster)
    assert isinstance(task.source, Windows)
    rules = forecast_rules(model, task.source)
    wanted = torch.cat([batch.targets for batch in task.source.test_batches()])
    batch = next(iter(task.source.test_batches()))
    season = rules["season before"](TEST)[0, :, 0, 0]
    assert torch.allclose(season, batch.inputs[0, 12:18, 0])
    last = rules["last value"](TEST)[0, :, 0, 0]
    assert torch.allclose(last, batch.inputs[0, 23, 0].expand(6))
    missed = {
        name: float((rule(TEST)[..., rule(TEST).shape[-1] // 2] - wanted).abs().mean())
        for name, rule in rules.items()
    }
    assert missed["ridge on lags"] < 0.7 * missed["season before"]


def test_the_network_uses_what_is_known_ahead() -> None:
    task = series(kind="forecast", horizon=6)
    model = network_of(task)
    batch = next(iter(task.source.test_batches()))
    without = batch.inputs.clone()
    without[:, -6:, 1] = 0
    with_all = without.clone()
    with_all[:, -6:, 1] = 1
    with torch.no_grad():
        raised = model(with_all)[0] / model(without)[0]
    assert 1.2 < float(raised.median()) < 1.4  # a promotion raises drawn sales by 0.3


def test_a_forecast_scales_with_its_series() -> None:
    model = network_of(series(kind="forecast", horizon=6))
    x = next(iter(series(kind="forecast", horizon=6).source.test_batches())).inputs
    scaled = torch.cat([1000 * x[..., :1], x[..., 1:]], -1)
    with torch.no_grad():
        assert torch.allclose(model(scaled)[0], 1000 * model(x)[0], rtol=1e-3)


def test_padding_changes_no_answer() -> None:
    model = network_of(series())
    assert isinstance(model, SeriesModel)
    x = torch.randn(2, 60, 2)
    padded = torch.cat([x, torch.full((2, 30, 2), 7.0)], 1)
    with torch.no_grad():
        one, _ = model(x)
        other, _ = model(padded, lengths=torch.tensor([60, 60]))
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
def test_series_of_any_length_have_an_answer(stride: int) -> None:
    model = SeriesModel("gru", columns=["a"], output_size=3, hidden_size=4, stride=stride)
    y, _ = model(torch.randn(3, 9, 1), lengths=torch.tensor([9, 1, 4]))
    assert y.shape == (3, 3)
    assert y.isfinite().all()
    y.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_random_kernels_tell_drawn_waves_apart() -> None:
    task = series()
    assert isinstance(task.source, Collection)
    rules = class_rules(task.source, 4)
    wanted = torch.stack([one.targets for one in task.source.test])
    right = {name: float((rule("test") == wanted).double().mean()) for name, rule in rules.items()}
    assert right["most frequent class"] == 0.25
    assert right["ridge on random kernels"] > 0.7


def test_scores_of_forecasts_by_hand() -> None:
    said = np.array([[[0.0, 1.0, 4.0], [2.0, 3.0, 4.0]]])
    found = score_forecasts(said, np.array([[2.0, np.nan]]), np.array([2.0]), (0.1, 0.5, 0.9))
    assert found == ForecastScore(
        num_windows=1, mase=0.5, mae=1.0, rmse=1.0,
        quantile_loss=pytest.approx(2 * (0.1 * 2 + 0.5 * 1 + 0.1 * 2) / 3 / 2),
        coverage=1.0, wanted_coverage=0.8,
    )  # fmt: skip


def test_mase_divides_by_seasonal_steps_of_the_training_alone(tmp_path: Path) -> None:
    rows = [f"{t},{(t % 4) + 4 * (t >= 40)}" for t in range(48)]
    task = series(str(write(tmp_path / "a.csv", ["t,x", *rows])), season=4, horizon=4)
    assert isinstance(task.source, Windows)
    assert np.isnan(mase_scales(task.source, TEST, 4)).all()  # no change within the training
    assert mase_scales(task.source, TEST, 1) == pytest.approx(57 / 39)


def test_a_network_that_does_not_beat_a_rule_says_so() -> None:
    def score(mase: float) -> dict[str, ForecastScore]:
        return {"": ForecastScore(1, mase, 1.0, 1.0)}

    scores = {"the network": score(0.9), "last value": score(1.5), "season before": score(0.8)}
    found = Evaluation("forecast", scores)
    assert found.verdict() == (
        "the network is WORSE than the rule season before: MASE 0.900 against 0.800; use the rule, "
        "or train on"
    )
    better = Evaluation("forecast", {**scores, "the network": score(0.7)})
    assert better.verdict().startswith("the network is better than the best rule, season before")


def one_class(rows: list[str]) -> list[str]:
    return [row.replace("run", "walk") for row in rows]


BROKEN: dict[str, tuple[Callable[[], list[str]], str, dict[str, str], str]] = {
    "one class": (
        lambda: one_class(sensor_rows(10)), "id,time,ax,ay,label", {"kind": "classify"},
        "all training series are of the class walk; two or more classes are needed",
    ),
    "one row": (lambda: ["1,2"], "time,x", {}, "a series needs 5 steps, and the longest .* has 0"),
    "short": (
        lambda: sales_rows(1, 20), "shop,month,price,sales", {"target": "sales", "horizon": "9"},
        "no window for the split val: with a horizon of 9 a series needs 29 steps",
    ),
    "constant": (
        lambda: [f"{t},5" for t in range(40)], "time,x", {}, "every column is constant in training",
    ),
    "no label": (
        lambda: ["1,2", "2,3"], "time,x", {"kind": "classify"}, "no label for each series, which k",
    ),
    "no target": (
        lambda: sales_rows(1, 60), "shop,month,price,sales", {"target": "sale"},
        "no column 'sale'; did you mean 'sales'",
    ),
    "both": (
        lambda: sales_rows(1, 60), "shop,month,price,sales", {"target": "sales", "known": "sales"},
        "to be predicted or known ahead, not both: sales",
    ),
    "few series": (lambda: sensor_rows(2), "id,time,ax,ay,label", {}, "has no series for the"),
    "kind": (lambda: ["1,2"], "time,x", {"kind": "forcast"}, "there is no kind 'forcast'; did"),
    "quantiles": (
        lambda: [f"{t},{t % 7}" for t in range(60)], "time,x", {"quantiles": "0.1,2"},
        "lie between 0 and 1, got",
    ),
    "only a forecast": (
        lambda: sensor_rows(10), "id,time,ax,ay,label", {"kind": "classify", "season": "4"},
        "season: only a forecast has it, and this is kind='classify'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_data_from_which_nothing_can_be_learnt_are_refused(tmp_path: Path, name: str) -> None:
    make, head, options, message = BROKEN[name]
    file = write(tmp_path / "a.csv", [head, *make()])
    given = {key: int(value) if value.isdecimal() else value for key, value in options.items()}
    with pytest.raises(ValueError, match=message):
        series(str(file), **given)  # type: ignore[arg-type]


def test_what_cannot_be_used_is_counted_and_named(tmp_path: Path) -> None:
    rows = sensor_rows(12)
    rows += ["bad,0,,,walk", "bad,1,,,walk", "none,0,1,2,", "none,1,1,2,"]
    task = series(str(sensors(tmp_path / "a.csv", rows)), kind="classify")
    assert task.num_skipped == 2
    assert any(
        "2 skipped: it has no value (1), it has no label (1): a.csv#bad, a.csv#none" in note
        for note in task.notes
    )


def test_a_class_that_is_in_the_test_alone_is_skipped_and_told(tmp_path: Path) -> None:
    sensors(tmp_path / "train.csv", sensor_rows(10))
    sensors(tmp_path / "test.csv", [*sensor_rows(4), "odd,0,1,2,swim", "odd,1,1,2,swim"])
    task = series(str(tmp_path))
    assert task.num_skipped == 1
    assert any("no training series is of its class 'swim' (1): test.csv#odd" in note
               for note in task.notes)  # fmt: skip


def test_constant_columns_uneven_times_and_gaps_are_told(tmp_path: Path) -> None:
    rows = [f"{t + (t > 20)},{t % 5 if t != 9 else ''},3" for t in range(60)]
    task = series(str(write(tmp_path / "a.csv", ["time,x,c", *rows])), target="x", horizon=4)
    told = "\n".join(task.notes)
    assert "a.csv: constant in training, so of no use: c" in told
    assert "times are not evenly spaced" in told
    assert "1 missing values in 1 series; they are neither learnt nor measured: a.csv" in told


def test_without_val_the_last_training_horizon_is_held_out(tmp_path: Path) -> None:
    rows = [f"{t},{t % 5}" for t in range(60)]
    write(tmp_path / "train.csv", ["time,x", *rows[:50]])
    write(tmp_path / "test.csv", ["time,x", *rows[50:]])
    task = series(str(tmp_path), horizon=5)
    assert isinstance(task.source, Windows)
    (one,) = task.source.series
    assert np.bincount(one.splits).tolist() == [45, 5, 10]
    assert [window.start for window in task.source.held_out(TEST)] == [50, 55]


def test_a_split_column_of_steps_must_go_forward_in_time(tmp_path: Path) -> None:
    rows = [f"{t},{t % 5},{'test' if t < 9 else 'train'}" for t in range(60)]
    file = str(write(tmp_path / "a.csv", ["time,x,split", *rows]))
    with pytest.raises(ValueError, match="but test stands before train"):
        series(file, horizon=3)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_a_series_is_also_seen_by_its_own_figures(size: float) -> None:
    """Currents of a lamp and of a heater have one form and sizes that differ by 10^4."""
    standardise = Standardise(1)
    standardise.fit(torch.tensor([[-1.0], [1.0]]))
    wave = torch.sin(torch.linspace(0, 6, 50))[None, :, None]
    seen = both_views(standardise(size * wave), torch.tensor([50]))
    own = (wave - wave.mean()) / wave.std(correction=0)
    torch.testing.assert_close(seen[..., 1:], own, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen[..., :1], size * wave)


def test_a_constant_column_far_from_zero_is_nothing_by_its_own_figures() -> None:
    z = torch.full((2, 9, 1), 1234.567)
    z[1, :, 0] = 0.1
    own = both_views(z, torch.tensor([9, 4]))[..., 1]
    assert own.abs().max() < 0.2


def test_a_forecast_is_checked_after_each_pass_over_its_windows() -> None:
    task = series(kind="forecast", horizon=6)
    assert checks_by_default(task.recipe)
    assert task.recipe.patience == 6
