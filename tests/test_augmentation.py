from dataclasses import replace

import pytest
import torch
from torch import Tensor

from photo_runs import UNCHANGED
from rondo.data.augment import Augmentation, augment, resize


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=generator)


def changed(pixels: Tensor, strength: Augmentation, seed: int = 1, size: int = 32) -> Tensor:
    return augment(pixels, size, strength, torch.Generator().manual_seed(seed))


def test_gives_the_wanted_size_within_the_range_of_pixels(pixels: Tensor) -> None:
    result = changed(pixels, Augmentation(), size=64)
    assert result.shape == (64, 3, 64, 64)
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 255


def test_depends_on_the_seed_alone(pixels: Tensor) -> None:
    torch.manual_seed(1)
    first = changed(pixels, Augmentation(), seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, changed(pixels, Augmentation(), seed=3))
    assert not torch.equal(first, changed(pixels, Augmentation(), seed=4))


def test_of_no_strength_changes_nothing(pixels: Tensor) -> None:
    torch.testing.assert_close(changed(pixels, UNCHANGED), pixels.float(), rtol=0, atol=1e-3)


def test_mirrors_the_wanted_share(pixels: Tensor) -> None:
    result = changed(pixels, replace(UNCHANGED, mirror_share=0.5))
    mirrored = (result - pixels.flip(3)).abs().amax((1, 2, 3)) < 1e-3
    same = (result - pixels).abs().amax((1, 2, 3)) < 1e-3
    assert torch.equal(mirrored, ~same)
    assert 16 < int(mirrored.sum()) < 48


def test_turns_about_the_centre(pixels: Tensor) -> None:
    cross = torch.zeros(32, 3, 33, 33)
    cross[:, :, 16, :] = 255  # a horizontal line
    result = changed(cross, replace(UNCHANGED, rotation_degrees=90), size=33)
    assert (result[:, 0, 16, 16] > 200).all()
    assert (result[:, 0, 16, 2] < 200).float().mean() > 0.7  # it lies flat in few of them
    torch.testing.assert_close(result, result.flip(2, 3), rtol=0, atol=0.5)


@pytest.mark.parametrize("change", [{"log_scale": 0.2}, {"log_aspect": 0.2}, {"shift": 0.2}])
def test_moves_pixels_but_makes_no_new_colours(pixels: Tensor, change: dict[str, float]) -> None:
    flat = torch.full_like(pixels, 77)
    torch.testing.assert_close(
        changed(flat, replace(UNCHANGED, **change)), flat.float(), rtol=0, atol=1e-3
    )
    assert (changed(pixels, replace(UNCHANGED, **change)) - pixels).abs().mean() > 10


def test_takes_away_colour_from_the_wanted_share(pixels: Tensor) -> None:
    result = changed(pixels, replace(UNCHANGED, grey_share=1))
    grey = pixels.float().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(result, grey, rtol=0, atol=1e-3)


def test_brightness_changes_the_mean_and_contrast_does_not(pixels: Tensor) -> None:
    mild = pixels / 4 + 96
    means = mild.mean((1, 2, 3))
    contrast = changed(mild, replace(UNCHANGED, log_contrast=0.3)).mean((1, 2, 3))
    brightness = changed(mild, replace(UNCHANGED, log_brightness=0.3)).mean((1, 2, 3))
    torch.testing.assert_close(contrast, means, rtol=0, atol=0.05)
    ratio = (brightness / means).log()
    assert ratio.abs().max() < 0.301
    assert ratio.std() > 0.1


def test_sloped_light_keeps_the_centre_and_changes_the_sides(pixels: Tensor) -> None:
    flat = torch.full((64, 3, 33, 33), 100.0)
    result = changed(flat, replace(UNCHANGED, light_slope=0.4), size=33)
    torch.testing.assert_close(result[:, :, 16, 16], flat[:, :, 16, 16], rtol=0, atol=0.1)
    rise = (result[:, 0, 16, -1] / 100).log()
    torch.testing.assert_close(rise, -(result[:, 0, 16, 0] / 100).log(), rtol=0, atol=1e-3)
    assert rise.abs().max() < 0.401
    assert rise.std() > 0.1


def test_blurs_the_wanted_share_and_keeps_the_mean(pixels: Tensor) -> None:
    result = changed(pixels, replace(UNCHANGED, blur_share=0.5, blur_size=0.1))
    same = (result - pixels).abs().amax((1, 2, 3)) < 1e-2
    assert 16 < int(same.sum()) < 48
    assert (result.std((1, 2, 3))[~same] < pixels.float().std((1, 2, 3))[~same]).all()
    torch.testing.assert_close(result.mean(), pixels.float().mean(), rtol=0.01, atol=0)


def test_adds_noise_of_different_strength(pixels: Tensor) -> None:
    grey = torch.full_like(pixels, 128)
    deviation = (changed(grey, replace(UNCHANGED, noise=10)) - 128).std((1, 2, 3))
    assert deviation.max() < 10.5
    assert deviation.max() > 8
    assert deviation.min() < 2


def test_erases_a_rectangle_of_one_colour(pixels: Tensor) -> None:
    everything = changed(pixels, replace(UNCHANGED, erase_share=1, erase_size=(4, 4)))
    assert (everything == everything[:, :, :1, :1]).all()
    part = changed(pixels, replace(UNCHANGED, erase_share=1, erase_size=(0.5, 0.5)))
    share = ((part - pixels).abs().amax(1) > 1).float().mean()
    assert 0.08 < share < 0.25  # a quarter, less what lies outside the photo


def test_resize_keeps_or_changes_the_size(pixels: Tensor) -> None:
    assert torch.equal(resize(pixels, 32), pixels.float())
    smaller = resize(pixels, 16)
    assert smaller.shape == (64, 3, 16, 16)
    torch.testing.assert_close(smaller.mean(), pixels.float().mean(), rtol=0.01, atol=0)
