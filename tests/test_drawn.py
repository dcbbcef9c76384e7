"""Drawn portraits: the same every time, told apart by no pixel and by no single factor."""

import numpy as np
import pytest
import torch

from rondo.tasks.photo import drawn
from rondo.tasks.photo.drawn import FACTORS, best_error, draw_photos, draw_portrait
from rondo.tasks.photo.sets import PhotoSet


def portraits(count: int, image_size: int = 16, **options):
    return [
        draw_portrait(np.random.default_rng([9, number]), image_size, **options)
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def many():
    """400 small portraits: pixels (N, 3, 16, 16), labels (N,), factors (N, number of them)."""
    pixels, labels, factors = zip(*portraits(400), strict=True)
    table = np.array([[one[name] for name in FACTORS] for one in factors])
    return np.stack(pixels), np.array(labels), table


@pytest.mark.parametrize("image_size", [16, 37, 64, 128])
def test_a_portrait_is_a_picture_with_a_label_and_factors(image_size):
    pixels, sex, factors = portraits(1, image_size)[0]
    assert pixels.shape == (3, image_size, image_size)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10
    assert sex in (0, 1)
    assert list(factors) == list(FACTORS)


def test_large_and_small_show_the_same_portrait():
    for (small, sex, factors), (large, *same) in zip(
        portraits(5, 32), portraits(5, 64), strict=True
    ):
        assert [sex, factors] == same
        reduced = large.reshape(3, 32, 2, 32, 2).mean((2, 4))
        assert np.abs(reduced - small).mean() < 12


def test_drawings_depend_on_seed_split_and_number_alone():
    few = draw_photos(16, num_train=3, num_val=2, num_test=1, num_cross=1, seed=4)
    more = draw_photos(16, num_train=6, num_val=2, num_test=2, seed=4)
    other = draw_photos(16, num_train=3, num_val=2, num_test=1, seed=5)
    assert list(few) == ["train", "val", "test", "cross"]
    assert list(more) == ["train", "val", "test"]
    assert torch.equal(more["train"].pixels[:3], few["train"].pixels)
    assert more["train"].labels[:3].tolist() == few["train"].labels.tolist()
    assert more["test"].photos[:1] == few["test"].photos
    assert not torch.equal(other["train"].pixels, few["train"].pixels)
    assert not torch.equal(few["val"].pixels, few["train"].pixels[:2])


def test_sets_are_labelled_like_photos():
    sets = draw_photos(16, num_train=2, num_val=1, num_test=2, num_cross=1)
    for one in sets.values():
        PhotoSet(one.pixels, one.labels, one.photos, one.classes).check()
    last = sets["test"].photos[-1]
    assert (last.path.as_posix(), last.split, last.source) == ("drawn/test/000001", "test", "drawn")
    assert (last.age, last.groups) == (None, ())
    assert sets["cross"].photos[0].source == "drawn-harsh"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 15}, "image_size must be at least 16 for a face to show, got 15"),
        ({"num_val": 0}, "num_val must be at least 1, got 0"),
        ({"num_cross": -1}, "num_cross must be at least 0, got -1"),
        ({"seed": -2}, "seed must be 0 or more, got -2"),
    ],
)
def test_numbers_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        draw_photos(**({"image_size": 16, "num_train": 1, "num_val": 1, "num_test": 1} | change))


def test_labels_are_balanced(many):
    assert many[1].mean() == pytest.approx(0.5, abs=0.08)


def test_factors_differ_as_the_table_says(many):
    _, labels, factors = many
    found = factors[labels == 1].mean(0) - factors[labels == 0].mean(0)
    assert found == pytest.approx([separation for separation, _, _ in FACTORS.values()], abs=0.4)


def test_no_factor_decides_alone_but_all_together_do():
    separations = np.array([separation for separation, _, _ in FACTORS.values()])
    labels = np.arange(200_000) % 2
    noise = np.random.default_rng(0).normal(size=(len(labels), len(separations)))
    factors = noise + np.outer(labels - 0.5, separations)
    alone = ((factors * separations > 0) != labels[:, None]).mean(0)
    together = ((factors @ separations > 0) != labels).mean()
    assert alone.min() > 0.1
    assert together == pytest.approx(best_error(), abs=0.001)
    assert 0.003 < best_error() < 0.03


def test_no_pixel_tells_much(many):
    pixels, labels, _ = many
    female, male = pixels[labels == 0].astype(float), pixels[labels == 1].astype(float)
    effect = np.abs(female.mean(0) - male.mean(0)) / pixels.std(0)
    assert effect.max() < 0.7


def test_cross_is_harsher():
    roughness = [
        np.mean([np.abs(np.diff(pixels.astype(float), axis=2)).mean() for pixels, _, _ in some])
        for some in (portraits(60, 32), portraits(60, 32, harsh=True))
    ]
    assert roughness[1] > 1.05 * roughness[0]


def test_colours_of_skin_and_hair_do_not_depend_on_the_label(monkeypatch):
    palettes = []
    draw_palette = drawn._draw_palette
    monkeypatch.setattr(
        drawn, "_draw_palette", lambda rng: palettes.append(draw_palette(rng)) or palettes[-1]
    )
    labels = np.array([sex for _, sex, _ in portraits(400)])
    colours = np.array([[*one.skin, *one.hair, *one.lips] for one in palettes])
    difference = colours[labels == 1].mean(0) - colours[labels == 0].mean(0)
    assert np.abs(difference / colours.std(0)).max() < 0.3


@pytest.mark.slow
def test_a_linear_model_stays_under_80_percent():
    """Logistic regression on 32x32 pixels, its decay tuned on val; the factors are the control."""
    sets = draw_photos(64, num_train=3000, num_val=500, num_test=1500)
    labels = {split: one.labels for split, one in sets.items()}
    colours = {
        split: torch.nn.functional.avg_pool2d(one.pixels.float(), 2) for split, one in sets.items()
    }
    greys = {split: one.mean(1).flatten(1) for split, one in colours.items()}
    assert 0.5 < _logistic_accuracy(greys, labels) < 0.75
    flat = {split: one.flatten(1) for split, one in colours.items()}
    assert 0.5 < _logistic_accuracy(flat, labels) < 0.8


def test_a_linear_model_of_the_factors_is_nearly_perfect(many):
    _, labels, factors = many
    parts = {"train": slice(0, 200), "val": slice(200, 300), "test": slice(300, 400)}
    inputs = {split: torch.tensor(factors[part]).float() for split, part in parts.items()}
    targets = {split: torch.tensor(labels[part]) for split, part in parts.items()}
    assert _logistic_accuracy(inputs, targets) > 0.93


def _logistic_accuracy(inputs: dict[str, torch.Tensor], labels: dict[str, torch.Tensor]) -> float:
    """Test accuracy of logistic regression on standardised inputs, of the decay best on val."""
    mean, std = inputs["train"].mean(0), inputs["train"].std(0)
    inputs = {split: (one - mean) / std for split, one in inputs.items()}
    scores = []
    for decay in (1e-2, 1e-1, 1.0):
        weight = _fit_logistic(inputs["train"], labels["train"], decay)
        accuracy = {
            split: ((one @ weight > 0) == labels[split]).float().mean().item()
            for split, one in inputs.items()
        }
        scores.append((accuracy["val"], accuracy["test"]))
    return max(scores)[1]


def _fit_logistic(inputs: torch.Tensor, labels: torch.Tensor, decay: float) -> torch.Tensor:
    weight = torch.zeros(inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=40, line_search_fn="strong_wolfe")
    signs = 2.0 * labels - 1

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.softplus(-signs * (inputs @ weight)).mean()
        value = value + decay / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach()
