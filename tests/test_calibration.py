"""Calibration: the figures beside hand-computed ones, and temperatures that are known."""

import json
import math

import pytest
import torch
from torch import Tensor

from rondo.errors import RunError
from rondo.measures.abstention import answered, check_min_confidence, coverage_curve
from rondo.measures.calibration import (
    BOUNDS,
    LEAST_PHOTOS,
    Temperature,
    calibration,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    fit_temperature,
    temper,
    temperature_from_json,
)
from rondo.tasks.photo.report.tables import answered_table, calibration_table


def believed(num_photos: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities of all sizes, and labels that are drawn with just these."""
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(num_photos, 2, generator=generator, dtype=torch.double)
    probabilities = z.softmax(1)
    labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    return probabilities, labels


def negative_log_likelihood(probabilities: Tensor, labels: Tensor) -> float:
    return float(-probabilities.gather(1, labels.unsqueeze(1)).log().mean())


# --- figures


def test_figures_of_calibration_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.08, 0.92], [0.4, 0.6], [0.3, 0.7]])
    found = calibration(probabilities, torch.tensor([0, 0, 1, 1]))
    # with 15 bins 0.9 and 0.92 lie in (13/15, 14/15], 0.6 in (8/15, 9/15], 0.7 in (10/15, 11/15]
    assert [(one.num_photos, one.observed) for one in found.bins] == [(1, 1.0), (1, 1.0), (2, 0.5)]
    assert found.bins[-1].predicted == pytest.approx(0.91)
    assert found.error == pytest.approx((0.4 + 0.3 + 2 * 0.41) / 4)
    # 15 bins of equal mass of 4 photos hold one each: |0.6-1|, |0.7-1|, |0.9-1|, |0.92-0|
    assert found.error_equal_mass == pytest.approx((0.4 + 0.3 + 0.1 + 0.92) / 4)
    assert found.loss == pytest.approx(-sum(map(math.log, (0.9, 0.08, 0.6, 0.7))) / 4)
    assert found.brier == pytest.approx((0.1**2 + 0.92**2 + 0.4**2 + 0.3**2) / 4)


def test_bins_of_equal_width_hold_their_upper_edge() -> None:
    confidence = torch.tensor([0.5, 0.50001, 0.75, 1.0, 0.0], dtype=torch.double)
    bins = equal_width_bins(confidence, torch.ones(5, dtype=torch.bool), num_bins=4)
    assert [one.num_photos for one in bins] == [1, 1, 2, 1]


def test_bins_of_equal_mass_differ_by_one_photo_at_most() -> None:
    confidence = torch.rand(100, generator=torch.Generator().manual_seed(1))
    bins = equal_mass_bins(confidence, confidence > 0.5, num_bins=15)
    assert {one.num_photos for one in bins} == {6, 7}
    assert sum(one.num_photos for one in bins) == 100
    means = [one.predicted for one in bins]
    assert means == sorted(means)


def test_perfect_probabilities_have_next_to_no_error() -> None:
    probabilities, labels = believed(200_000)
    found = calibration(probabilities, labels)
    assert found.error < 0.005
    assert found.error_equal_mass < 0.005


def test_the_error_of_a_known_overconfidence_is_found() -> None:
    right = torch.rand(50_000, generator=torch.Generator().manual_seed(2)) < 0.7
    bins = equal_width_bins(torch.full((50_000,), 0.9, dtype=torch.double), right)
    assert calibration_error(bins) == pytest.approx(0.2, abs=0.01)


# --- temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    probabilities, labels = believed(20_000, seed=3)
    found = fit_temperature(temper(probabilities, 1 / temperature), labels)
    assert found.is_fitted
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.low is not None
    assert found.high is not None
    assert found.low < temperature < found.high
    assert found.high / found.low < 1.1


def test_the_temperature_has_the_smallest_loss_nearby() -> None:
    probabilities, labels = believed(300, seed=4)
    probabilities = temper(probabilities, 0.5)
    best = fit_temperature(probabilities, labels).value
    losses = [
        negative_log_likelihood(temper(probabilities, best * factor), labels)
        for factor in (0.9, 0.99, 1.0, 1.01, 1.1)
    ]
    assert min(losses) == losses[2]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        found = fit_temperature(*believed(200, seed=100 + seed))
        assert found.low is not None
        assert found.high is not None
        held += found.low < 1 < found.high
    assert 88 <= held <= 100


def test_the_temperature_makes_the_error_of_overconfident_answers_small() -> None:
    probabilities, labels = believed(20_000, seed=5)
    probabilities = temper(probabilities, 1 / 3)
    found = fit_temperature(probabilities, labels)
    before = calibration(probabilities, labels)
    after = calibration(temper(probabilities, found.value), labels)
    assert before.error > 0.1
    assert after.error < 0.02
    assert after.loss < before.loss
    assert after.brier < before.brier


def test_a_temperature_moves_no_answer() -> None:
    probabilities, _ = believed(1000)
    for temperature in (0.1, 5.0):
        changed = temper(probabilities, temperature)
        assert changed.argmax(1).equal(probabilities.argmax(1))
        torch.testing.assert_close(changed.sum(1), torch.ones(1000, dtype=torch.double))
    assert temper(probabilities, 1.0) is probabilities


def test_probabilities_of_0_have_a_temperature_too() -> None:
    changed = temper(torch.tensor([[1.0, 0.0]]), 2.0)
    torch.testing.assert_close(changed, torch.tensor([[1.0, 0.0]]))


@pytest.mark.parametrize("num_photos", [1, LEAST_PHOTOS - 1])
def test_few_photos_fit_no_temperature(num_photos: int) -> None:
    found = fit_temperature(*believed(num_photos))
    assert (found.value, found.is_fitted, found.num_photos) == (1.0, False, num_photos)
    assert "tell too little" in found.note


@pytest.mark.parametrize("label", [0, 1])
def test_answers_that_are_all_right_or_all_wrong_fit_no_temperature(label: int) -> None:
    probabilities = torch.tensor([[0.8, 0.2], [0.7, 0.3]]).repeat(LEAST_PHOTOS, 1)
    found = fit_temperature(probabilities, torch.full((2 * LEAST_PHOTOS,), label))
    assert (found.value, found.is_fitted) == (1.0, False)
    assert f"between {BOUNDS[0]:g} and {BOUNDS[1]:g}" in str(found)


def test_a_network_that_diverged_fits_no_temperature() -> None:
    probabilities = torch.full((LEAST_PHOTOS, 2), math.nan)
    labels = torch.zeros(LEAST_PHOTOS, dtype=torch.long)
    assert fit_temperature(probabilities, labels).value == 1.0
    assert math.isnan(calibration(probabilities, labels).error)


def test_a_temperature_is_read_back() -> None:
    found = fit_temperature(*believed(500))
    assert temperature_from_json(found.to_json()) == found
    assert "fitted on 500 val photos" in str(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be understood"),
        ('{"tempreature": 2}', "cannot be understood .*tempreature"),
        ('{"value": 0}', "must be a number above 0, but is 0"),
        ('{"value": "hot"}', "must be a number above 0, but is 'hot'"),
        ('{"value": NaN}', "must be a number above 0, but is nan"),
    ],
)
def test_what_is_no_temperature_is_refused(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        temperature_from_json(text)


# --- no answer


def test_coverage_and_accuracy_by_hand() -> None:
    of_male = torch.tensor([0.1, 0.8, 0.55, 0.7], dtype=torch.double)
    probabilities = torch.stack((1 - of_male, of_male), dim=1)
    labels = torch.tensor([0, 0, 1, 1])
    found = answered(probabilities, labels, 0.7)
    assert (found.coverage.num_correct, found.coverage.num_photos) == (3, 4)
    assert (found.accuracy.num_correct, found.accuracy.num_photos) == (2, 3)
    nothing = answered(probabilities, labels, 0.95)
    assert nothing.coverage.value == 0
    assert math.isnan(nothing.accuracy.value)
    assert "0.0 % (0.0 to 49.0)" in answered_table({"test": nothing})
    assert answered_table({"test": nothing}).splitlines()[-1].endswith(" -")


def test_the_curve_starts_with_all_and_answers_ever_less() -> None:
    probabilities, labels = believed(1000)
    curve = coverage_curve(probabilities, labels)
    coverages = [point.coverage.value for point in curve]
    assert coverages[0] == 1
    assert coverages == sorted(coverages, reverse=True)
    assert 100 < len(curve) <= 200
    assert all(point.accuracy.num_photos for point in curve)
    assert curve[len(curve) // 2].accuracy.value > curve[0].accuracy.value + 0.05


@pytest.mark.parametrize("value", [-0.1, 1.01, 90, math.nan])
def test_what_is_no_confidence_is_refused(value: float) -> None:
    with pytest.raises(RunError, match=f"must be from 0 to 1, as 0.9, but is {value:g}"):
        check_min_confidence(value)


def test_the_table_of_calibration_says_where_no_temperature_is() -> None:
    text = calibration_table({}, Temperature())
    assert text.startswith("temperature 1, none fitted: this run has no temperature")
    assert json.loads(Temperature().to_json())["value"] == 1.0
