"""Photos that are made bad: how bad, and always in the same way."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from photo_runs import SHORT, SIZE, TinyNetwork, photo_data, run_config
from rondo.measures.corruptions import CORRUPTIONS, Corruption, corrupt
from rondo.tasks.photo.drawn import draw_photos
from rondo.tasks.photo.evaluation import evaluate, predict
from rondo.tasks.photo.robustness import UNCHANGED, try_photos, try_splits

BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}
each = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda one: one.name)


def drawings() -> Tensor:
    return draw_photos(64, num_train=4, num_val=8, num_test=1, num_cross=1, seed=3)["val"].pixels


@each
def test_stronger_corruption_leads_further_away(corruption: Corruption) -> None:
    pixels = drawings()
    distances = [
        (corrupt(pixels, corruption, strength, 0).float() - pixels.float()).abs().mean((1, 2, 3))
        for strength in corruption.strengths
    ]
    assert len(distances) == 3
    assert distances[0].min() > 0
    for weaker, stronger in pairwise(distances):
        assert stronger.mean() > 1.1 * weaker.mean()
        assert (stronger > weaker).double().mean() > 0.8


@each
def test_corruption_depends_on_its_seed_alone(corruption: Corruption) -> None:
    pixels = drawings()
    kept, strength = pixels.clone(), corruption.strengths[1]
    first = corrupt(pixels, corruption, strength, 7)
    torch.rand(3)
    assert first.equal(corrupt(pixels, corruption, strength, 7))
    assert pixels.equal(kept)
    assert (first.shape, first.dtype) == (pixels.shape, torch.uint8)
    is_random = corruption.name in ("noise", "shift")
    assert first.equal(corrupt(pixels, corruption, strength, 8)) is not is_random


def test_blur_spreads_a_point_by_its_deviation() -> None:
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pixels[..., 32, 32] = 255
    blurred = BY_NAME["blur"].change(pixels.float(), 4.0, torch.Generator())
    assert blurred.sum().item() == pytest.approx(3 * 255, rel=1e-4)
    places = torch.arange(64.0) - 32
    variance = (blurred[0, 0].sum(0) * places.square()).sum() / blurred[0, 0].sum()
    assert variance.sqrt().item() == pytest.approx(0.04 * 64, rel=0.02)


def test_noise_has_its_deviation() -> None:
    pixels = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    noisy = corrupt(pixels, BY_NAME["noise"], 25, 0).float()
    assert noisy.std().item() == pytest.approx(25, rel=0.02)
    assert not noisy[0].equal(noisy[1])


def test_darkness_leaves_a_share_of_the_light() -> None:
    pixels = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)
    assert corrupt(pixels, BY_NAME["darkness"], 25, 0).unique().tolist() == [50]


def test_a_crop_enlarges_the_middle() -> None:
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    pixels[..., 16:48, 16:48] = 255
    assert corrupt(pixels, BY_NAME["crop"], 50, 0).unique().tolist() == [255]
    assert corrupt(pixels, BY_NAME["crop"], 100, 0).equal(pixels)


def test_a_shift_moves_as_far_as_it_says_and_repeats_the_border() -> None:
    row, column = torch.arange(64).view(-1, 1).expand(64, 64), torch.arange(64).expand(64, 64)
    pixels = torch.stack((row, column, row)).unsqueeze(0).repeat(20, 1, 1, 1).to(torch.uint8)
    shifted = corrupt(pixels, BY_NAME["shift"], 20, 0).float()
    down = 32 - shifted[:, 0, 32, 32]
    across = 32 - shifted[:, 1, 32, 32]
    torch.testing.assert_close(
        (down.square() + across.square()).sqrt(), torch.full((20,), 12.8), rtol=0, atol=0.8
    )
    assert len(down.unique()) > 5
    assert (shifted[:, 0] == row.clamp(max=63)).logical_not().any()
    assert shifted.min() == 0


def test_trials_begin_with_the_photos_as_they_are() -> None:
    data = photo_data()
    model, config = TinyNetwork().eval(), run_config(data)
    trials = try_photos(model, config, data["test"], 2.0)
    assert [trial.level for trial in trials] == [0, *(1, 2, 3) * len(CORRUPTIONS)]
    assert trials[0].name == trials[0].corruption == UNCHANGED
    assert trials[1].name == "blur 1 %"
    found = predict(model, data["test"].pixels, mirror=SHORT.mirror, precision="float32")
    assert found is not None
    assert trials[0].accuracy == evaluate(found, data["test"]).accuracy
    plain = try_photos(model, config, data["test"], 1.0)
    assert [trial.accuracy for trial in plain] == [trial.accuracy for trial in trials]
    assert trials[0].confidence < plain[0].confidence
    assert plain[0].confidence == pytest.approx(found.max(1).values.mean().item())


def test_trials_take_evenly_spaced_photos_and_are_always_the_same() -> None:
    data = photo_data()
    model, config = TinyNetwork(SIZE).eval(), run_config(data)
    said: list[str] = []
    whole = try_splits(model, config, {"cross": data["cross"]}, 1.0, said.append)
    assert whole == try_splits(model, config, {"cross": data["cross"]}, 1.0, said.append)
    assert said[0].startswith("measuring cross")
    few = try_photos(model, config, data["cross"], 1.0, num_photos=3)
    assert {trial.accuracy.num_photos for trial in few} == {3}
