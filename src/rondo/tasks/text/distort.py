"""Random changes to pictures of words that leave what they say as it is.

In go columns (W, 32), out come as many: turned, slanted, scaled, moved, bent in waves, lit from a
side, blurred, made coarse, noisy, with a spot painted over. All numbers are drawn from the
generator that is given, so a picture depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from rondo.data.augment import Dice


@dataclass(frozen=True)
class Distortion:
    """How strongly pictures are changed; every number is the end of a uniform range or a share.

    Args:
        rotation: Greatest turn to either side, as the rise of the line over its length in heights
            per width of ten heights.
        slant: Greatest shift of the top against the middle, in heights of the picture.
        log_scale: Greatest change of the logarithm of the size, in each direction.
        shift: Greatest shift across and down, in pixels.
        wave: Standard deviation of the bends, in pixels.
        light: Greatest change of brightness from the middle to an end, in steps of the 255 of a
            pixel.
        coarse_share: Share of pictures that are blurred or made coarse.
        noise: Greatest standard deviation of the noise, in steps of the 255 of a pixel.
        spot_share: Share of pictures with a spot.
    """

    rotation: float = 0.6
    slant: float = 0.25
    log_scale: float = 0.12
    shift: float = 2.5
    wave: float = 0.7
    light: float = 40.0
    coarse_share: float = 0.3
    noise: float = 14.0
    spot_share: float = 0.2


def distorted(columns: Tensor, strength: Distortion, generator: torch.Generator) -> Tensor:
    """Returns a randomly changed picture.

    Args:
        columns: Grey values 0 to 255 (W, 32), of any type of number.
        strength: How strongly to change it.
        generator: Source of all randomness, on the CPU.

    Returns:
        uint8 (W, 32).

    Example:
        >>> import torch
        >>> from rondo.tasks.text.distort import Distortion, distorted
        >>> columns = torch.randint(256, (60, 32)).byte()
        >>> distorted(columns, Distortion(), torch.Generator().manual_seed(1)).shape
        torch.Size([60, 32])
    """
    dice = Dice(1, generator, columns.device)
    picture = _moved(columns.float().T[None, None], strength, dice)
    picture = _coarse(_lit(picture, strength, dice), strength, dice)
    noise = torch.randn(picture.shape, generator=generator) * dice.uniform(0, strength.noise)
    picture = _spotted(picture + noise, strength, dice)
    return picture.round().clamp(0, 255).byte()[0, 0].T.contiguous()


def _moved(picture: Tensor, strength: Distortion, dice: Dice) -> Tensor:
    """Turns, slants, scales, shifts and bends in one resampling; borders are repeated."""
    height, width = picture.shape[2:]
    shift = dice.uniform(-1, 1, 2).flatten() * strength.shift * 2 / torch.tensor([width, height])
    scale = dice.around_one(strength.log_scale, 2).flatten()
    slant = float(dice.uniform(-strength.slant, strength.slant)) * height / width
    rise = float(dice.uniform(-strength.rotation, strength.rotation)) * width / height / 10
    transform = torch.tensor(
        [[float(scale[0]), slant, float(shift[0])], [rise, float(scale[1]), float(shift[1])]]
    )
    grid = affine_grid(transform[None], [1, 1, height, width], align_corners=False)
    knots = (2, 2 + width // 24)
    bends = torch.randn(1, 2, *knots, generator=dice.generator) * strength.wave
    bends = interpolate(bends, (height, width), mode="bicubic", align_corners=True)
    grid = grid + (bends * (2 / torch.tensor([width, height]))[:, None, None]).permute(0, 2, 3, 1)
    return grid_sample(picture, grid, padding_mode="border", align_corners=False)


def _lit(picture: Tensor, strength: Distortion, dice: Dice) -> Tensor:
    """Makes one end lighter and the other darker, and the same from top to bottom."""
    height, width = picture.shape[2:]
    across, down = (dice.uniform(-strength.light, strength.light) for _ in range(2))
    slope = across * torch.linspace(-1, 1, width)
    return picture + slope + down * torch.linspace(-1, 1, height)[:, None]


def _coarse(picture: Tensor, strength: Distortion, dice: Dice) -> Tensor:
    """Mixes some pictures with a blurred copy, and halves the resolution of some."""
    chance = float(dice.uniform(0, 1))
    if chance < strength.coarse_share / 2:
        blurred = avg_pool2d(picture, 3, stride=1, padding=1, count_include_pad=False)
        return picture.lerp(blurred, float(dice.uniform(0.3, 1)))
    if chance < strength.coarse_share:
        small = interpolate(picture, scale_factor=0.5, mode="bilinear", antialias=True)
        return interpolate(small, picture.shape[2:], mode="bilinear")
    return picture


def _spotted(picture: Tensor, strength: Distortion, dice: Dice) -> Tensor:
    """Paints a small rectangle over some pictures."""
    if not bool(dice.happens(strength.spot_share)):
        return picture
    height, width = picture.shape[2:]
    down, across = float(dice.uniform(0, height)), float(dice.uniform(0, width))
    tall, wide = (float(dice.uniform(2, 7)) for _ in range(2))
    picture[..., int(down) : int(down + tall), int(across) : int(across + wide)] = float(
        dice.uniform(0, 255)
    )
    return picture
