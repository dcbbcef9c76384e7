"""How strongly photos are changed in training: numbers alone, `rondo.data.augment` does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """How strongly photos are changed; every number is the end of a uniform range or a share.

    Args:
        mirror_share: Share of photos that are mirrored.
        rotation_degrees: Largest turn to either side.
        log_scale: Largest change of the logarithm of the size.
        log_aspect: Largest change of the logarithm of width and, the other way, of height.
        shift: Largest shift, in half widths of the photo.
        saturation: Least and greatest factor on the distance of a colour from grey.
        grey_share: Share of photos that lose their colour altogether.
        log_contrast: Largest change of the logarithm of the contrast.
        log_brightness: Largest change of the logarithm of the mean brightness.
        log_colour: Largest change of the logarithm of each colour channel.
        light_slope: Largest change of the logarithm of the brightness from the centre to a side.
        blur_share: Share of photos that are blurred.
        blur_size: Greatest side of the squares whose mean a blurred photo is mixed with, in widths
            of the photo.
        noise: Greatest standard deviation of the noise, in steps of the 255 of a pixel.
        erase_share: Share of photos of which a rectangle is painted over.
        erase_size: Least and greatest side of that rectangle, in widths of the photo.
    """

    mirror_share: float = 0.5
    rotation_degrees: float = 15.0
    log_scale: float = 0.2
    log_aspect: float = 0.08
    shift: float = 0.1
    saturation: tuple[float, float] = (0.4, 1.6)
    grey_share: float = 0.15
    log_contrast: float = 0.35
    log_brightness: float = 0.35
    log_colour: float = 0.1
    light_slope: float = 0.4
    blur_share: float = 0.4
    blur_size: float = 0.04
    noise: float = 10.0
    erase_share: float = 0.2
    erase_size: tuple[float, float] = (0.15, 0.45)
