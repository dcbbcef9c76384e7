"""Random changes to photos in training that leave the person's sex as it is.

In goes a batch of pixels 0..255, out comes one of the wanted size: turned, scaled, shifted and
mirrored, with other light and colour, blurred, noisy, and here and there with a rectangle painted
over. All numbers are drawn from the generator that is given, on the CPU, so a batch depends on its
seed alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad

from rondo.data.augmentation import Augmentation


class Dice:
    """Draws one number for each photo of a batch, shaped to multiply (B, C, S, S) pixels."""

    def __init__(self, batch_size: int, generator: torch.Generator, device: torch.device) -> None:
        self.batch_size = batch_size
        self.generator = generator
        self.device = device

    def uniform(self, low: float, high: float, num_channels: int = 1) -> Tensor:
        """Returns numbers between low and high, (B, num_channels, 1, 1)."""
        unit = torch.rand(self.batch_size, num_channels, 1, 1, generator=self.generator)
        return (low + (high - low) * unit).to(self.device)

    def around_one(self, log_range: float, num_channels: int = 1) -> Tensor:
        """Returns factors whose logarithm lies within log_range of zero."""
        return self.uniform(-log_range, log_range, num_channels).exp()

    def happens(self, share: float) -> Tensor:
        """Returns a truth value for each photo that holds for the given share of them."""
        return self.uniform(0.0, 1.0) < share


def augment(
    pixels: Tensor, image_size: int, strength: Augmentation, generator: torch.Generator
) -> Tensor:
    """Returns randomly changed photos of the wanted size.

    Args:
        pixels: Photos (B, 3, S, S), 0..255, of any type of number.
        image_size: Side of the photos that come out.
        strength: How strongly to change them.
        generator: Source of all randomness, on the CPU.

    Returns:
        Photos (B, 3, image_size, image_size), float32, 0..255.
    """
    dice = Dice(len(pixels), generator, pixels.device)
    pixels = _move(pixels.float(), image_size, strength, dice)
    pixels = _recolour(pixels, strength, dice)
    pixels = _blur(pixels, strength, dice)
    pixels = _add_noise(pixels, strength, dice)
    return _erase(pixels, strength, dice)


def resize(pixels: Tensor, image_size: int) -> Tensor:
    """Returns the photos (B, 3, S, S) as float32 (B, 3, image_size, image_size)."""
    if pixels.shape[-1] == image_size:
        return pixels.float()
    return interpolate(pixels.float(), (image_size, image_size), mode="bilinear", antialias=True)


def shrink(pixels: Tensor, size: float) -> Tensor:
    """Returns photos (B, 3, S, S) with all of them at some size, and borders repeated around it.

    Args:
        pixels: The photos, of floating point.
        size: What the width becomes, in widths of the photo: above 0 and at most 1.

    Example:
        >>> import torch
        >>> shrink(torch.tensor([[[[1.0, 2, 3, 4]] * 4]]), 0.5)[0, 0, 0]
        tensor([1.7143, 1.7143, 3.2857, 3.2857])
    """
    side = pixels.shape[-1]
    shown = max(1, int(side * size))
    before = (side - shown) // 2
    after = side - shown - before
    return pad(resize(pixels, shown), (before, after, before, after), mode="replicate")


def _move(pixels: Tensor, image_size: int, strength: Augmentation, dice: Dice) -> Tensor:
    """Turns, scales, stretches, shifts and mirrors in one resampling; borders are reflected."""
    radians = strength.rotation_degrees * math.pi / 180
    angle = dice.uniform(-radians, radians)
    scale = dice.around_one(strength.log_scale)
    aspect = dice.around_one(strength.log_aspect)
    mirror = torch.where(dice.happens(strength.mirror_share), -1.0, 1.0)
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    shift = dice.uniform(-strength.shift, strength.shift, num_channels=2)
    rows = (
        torch.cat((cosine * aspect * mirror, -sine, shift[:, :1]), dim=3),
        torch.cat((sine * mirror, cosine / aspect, shift[:, 1:]), dim=3),
    )
    transform = torch.cat(rows, dim=2).squeeze(1)
    grid = affine_grid(transform, [len(pixels), 3, image_size, image_size], align_corners=False)
    return grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _recolour(pixels: Tensor, strength: Augmentation, dice: Dice) -> Tensor:
    """Changes saturation, contrast, brightness and the weight of each colour channel."""
    saturation = dice.uniform(*strength.saturation)
    saturation = torch.where(dice.happens(strength.grey_share), 0.0, saturation)
    grey = pixels.mean(dim=1, keepdim=True)
    pixels = grey + (pixels - grey) * saturation
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    contrast = dice.around_one(strength.log_contrast)
    brightness = dice.around_one(strength.log_brightness)
    pixels = (pixels - mean) * contrast + mean * brightness
    colour = dice.around_one(strength.log_colour, num_channels=3)
    return (pixels * colour * _sloped_light(pixels, strength, dice)).clamp(0, 255)


def _sloped_light(pixels: Tensor, strength: Augmentation, dice: Dice) -> Tensor:
    """Returns factors on the brightness that rise from one side of the photo to the other."""
    place = torch.linspace(-1, 1, pixels.shape[-1], device=pixels.device)
    slope = dice.uniform(-strength.light_slope, strength.light_slope, num_channels=2)
    down, across = slope[:, :1] * place.view(1, 1, -1, 1), slope[:, 1:] * place.view(1, 1, 1, -1)
    return down.exp() * across.exp()


def _blur(pixels: Tensor, strength: Augmentation, dice: Dice) -> Tensor:
    """Mixes some of the photos with their mean over squares; squares of one pixel blur nothing."""
    width = int(strength.blur_size * pixels.shape[-1]) // 2 * 2 + 1
    share = dice.uniform(0, 1) * dice.happens(strength.blur_share)
    blurred = avg_pool2d(pixels, width, stride=1, padding=width // 2, count_include_pad=False)
    return pixels.lerp(blurred, share)


def _add_noise(pixels: Tensor, strength: Augmentation, dice: Dice) -> Tensor:
    """Adds normal noise, in each photo of a strength of its own."""
    noise = torch.randn(pixels.shape, generator=dice.generator).to(pixels.device)
    return (pixels + noise * dice.uniform(0, strength.noise)).clamp(0, 255)


def _erase(pixels: Tensor, strength: Augmentation, dice: Dice) -> Tensor:
    """Paints a rectangle of one random colour over some of the photos."""
    size = pixels.shape[-1]
    low, high = (share * size for share in strength.erase_size)
    height, width = dice.uniform(low, high), dice.uniform(low, high)
    centre_y, centre_x = dice.uniform(0, size), dice.uniform(0, size)
    colour = dice.uniform(0, 255, num_channels=3)
    position = torch.arange(size, device=pixels.device)
    inside_y = (position.view(1, 1, size, 1) - centre_y).abs() < height / 2
    inside_x = (position.view(1, 1, 1, size) - centre_x).abs() < width / 2
    return torch.where(inside_y & inside_x & dice.happens(strength.erase_share), colour, pixels)
