"""Shapes of a drawn face: in goes a table of traits, out comes a cartoon face.

Everything is a filled polygon in the face's own frame: the origin in the middle of the face, x to
the right, y down, the crown at y = -1 and the chin at y = +1. A `Canvas` moves that frame about
(shift, scale, rotation, shear) and turns the head by sliding the middle of the face sideways, as
the front of a cylinder slides. Known limits: flat colours, few styles, no profile views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Traits = Mapping[str, float]

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_OVER_THE_TOP = np.linspace(-np.pi / 2, np.pi / 2, 15)  # from ear to ear across the crown
_SPAN = np.linspace(-1, 1, 9)
_MIRROR = np.array([-1.0, 1.0])
_HEAD_HALF_WIDTH = 0.74
_BLACK, _WHITE = (22, 18, 18), (244, 242, 238)


@dataclass(frozen=True)
class Pose:
    """Where the head is.

    Attributes:
        shift: Of the middle of the face from the middle of the picture, in half picture widths.
        scale: Half the height of the head, in half picture widths.
        rotation: Clockwise, in radians.
        shear: Sideways slide for each unit downwards.
        yaw: How far the tip of the nose slides sideways, in face units.
    """

    shift: tuple[float, float]
    scale: float
    rotation: float
    shear: float
    yaw: float


@dataclass(frozen=True)
class Palette:
    """The colours of one portrait, 0 to 255 for each of red, green and blue."""

    skin: Colour
    hair: Colour
    clothes: Colour
    iris: Colour
    lips: Colour
    things: Colour


class Canvas:
    """An RGB picture that takes polygons in face units."""

    def __init__(self, image: Image.Image, pose: Pose):
        half = image.width / 2
        cos, sin = np.cos(pose.rotation), np.sin(pose.rotation)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, pose.shear], [0.0, 1.0]])
        self._pen = ImageDraw.Draw(image, "RGBA")
        self._matrix = half * pose.scale * turn.T
        self._offset = half * (1 + np.asarray(pose.shift))
        self._yaw = pose.yaw

    def fill(self, points: np.ndarray, colour: Colour, opacity: float = 1.0) -> None:
        """Fills the polygon `points` (n, 2); `opacity` is 0 to 1."""
        x, y = points[:, 0], points[:, 1]
        depth = np.maximum(1 - 1.6 * x * x - 0.6 * y * y, 0)
        turned = np.stack([x + self._yaw * depth, y], axis=1)
        pixels = turned @ self._matrix + self._offset
        self._pen.polygon(pixels.ravel().tolist(), fill=(*colour, round(255 * opacity)))

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour
    ) -> None:
        """Fills an upright ellipse."""
        self.fill(_CIRCLE * radii + centre, colour)

    def band(self, line: np.ndarray, thickness: np.ndarray, colour: Colour) -> None:
        """Fills the band of `thickness` (n,) around the line (n, 2), from left to right."""
        half = np.stack([np.zeros_like(thickness), thickness / 2], axis=1)
        self.fill(np.concatenate([line - half, (line + half)[::-1]]), colour)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (`factor` below 1) or lighter (above 1)."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


def blend(first: Colour, second: Colour, weight: float) -> Colour:
    """The colour that lies `weight` (0 to 1) of the way from `first` to `second`."""
    red, green, blue = (round(a + weight * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def draw_person(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Draws a whole portrait, from what lies behind to what lies in front."""
    _draw_hair_behind(canvas, traits, palette)
    _draw_neck(canvas, traits, palette)
    _draw_head(canvas, traits, palette)
    _draw_beard(canvas, traits, palette)
    _draw_nose(canvas, traits, palette)
    _draw_mouth(canvas, traits, palette)
    for side in (-1.0, 1.0):
        _draw_eye(canvas, side, traits, palette)
        _draw_brow(canvas, side, traits, palette)
    _draw_hair_in_front(canvas, traits, palette)
    _draw_things(canvas, traits, palette)


def _draw_hair_behind(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills the hair behind the head, from the crown down to y = `hair_length`."""
    bottom, width = traits["hair_length"], _HEAD_HALF_WIDTH + traits["hair_volume"]
    height = 1 + traits["hair_volume"]
    crown = np.stack([width * np.sin(_OVER_THE_TOP), -height * np.cos(_OVER_THE_TOP)], axis=1)
    drop = np.linspace(0, 1, 8)[1:]
    spread = max(bottom, 0.0) * drop
    waves = 0.05 * traits["hair_wave"] * np.sin(4 + 9 * drop) + 0.2 * traits["hair_flare"]
    flare = width * (1 + waves * spread)
    right = np.stack([flare, bottom * drop], axis=1)
    canvas.fill(np.concatenate([crown, right, (right * _MIRROR)[::-1]]), shade(palette.hair, 0.78))


def _draw_neck(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills the neck, of half width `neck_width`, the shadow of the chin, and the clothes."""
    half, shoulder, line = traits["neck_width"], traits["shoulder_width"], traits["neckline"]
    neck = np.array([(-half, 0.5), (half, 0.5), (half, 1.25), (1.9 * half, 1.6),
                     (0, 1.75 + line), (-1.9 * half, 1.6), (-half, 1.25)])  # fmt: skip
    right = np.array([(1.15 * half, 1.4), (shoulder, 1.62), (shoulder + 0.35, 3.6), (0, 3.6)])
    chin = np.array([(half, 0.6), (half, 1.02), (0, 1.22), (-half, 1.02), (-half, 0.6)])
    canvas.fill(neck, shade(palette.skin, 0.92))
    canvas.fill(chin, shade(palette.skin, 0.72))
    collar = np.array([(0, 1.45 + line)])
    canvas.fill(np.concatenate([collar, right, (right * _MIRROR)[::-1]]), palette.clothes)


def _draw_head(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills the ears and the face; `jaw_width` runs from -1 (pointed) to +1 (square)."""
    for side in (-1.0, 1.0):
        ear = (side * (_HEAD_HALF_WIDTH + 0.02), 0.05)
        canvas.ellipse(ear, (0.11, 0.19), shade(palette.skin, 0.85))
    canvas.fill(_face_outline(traits["jaw_width"]), palette.skin)
    for side in (-1.0, 1.0):
        cheek = _CIRCLE * (0.17, 0.13) + (side * 0.42, 0.3)
        canvas.fill(cheek, palette.lips, 0.28 * traits["blush"])


def _face_outline(jaw_width: float) -> np.ndarray:
    """The edge of the face (n, 2), clockwise from the right cheek through the chin."""
    cos, sin = _CIRCLE.T
    lower = np.maximum(sin, 0)
    power = np.where(sin > 0, 0.93 - 0.33 * jaw_width, 0.9)
    width = np.sign(cos) * np.abs(cos) ** power * (1 + (0.12 * jaw_width - 0.1) * lower)
    return np.stack([_HEAD_HALF_WIDTH * width, sin], axis=1)


def _draw_beard(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Tints chin, jaw and upper lip by `beard` (0: bare, 1: full), in a tone of the hair."""
    outline = _face_outline(traits["jaw_width"])
    lower = outline[outline[:, 1] > 0.2]
    inner = np.array([(-0.5, 0.32), (-0.34, 0.46), (-0.3, 0.4), (0, 0.36), (0.3, 0.4),
                      (0.34, 0.46), (0.5, 0.32)])  # fmt: skip
    tone = blend(palette.hair, shade(palette.skin, 0.6), 0.25)
    canvas.fill(np.concatenate([lower, inner]), tone, 0.75 * traits["beard"])


def _draw_nose(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills one side of the nose and the shadow under its tip."""
    size = traits["nose_size"]
    ridge = np.array([(0.02, -0.1), (0.05 + 0.3 * size, 0.28), (0.0, 0.3)]) * (traits["lit"], 1)
    canvas.fill(ridge, shade(palette.skin, 0.84))
    tip = np.array([(-size, 0.25), (0, 0.2), (size, 0.25), (0.7 * size, 0.32), (0, 0.35),
                    (-0.7 * size, 0.32)])  # fmt: skip
    canvas.fill(tip, shade(palette.skin, 0.74))


def _draw_mouth(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills two lips of thickness `lip_fullness` around a line that smiles or not."""
    full, opening = traits["lip_fullness"], traits["mouth_open"]
    arch = 1 - _SPAN**2
    line = np.stack([traits["mouth_width"] * _SPAN, 0.57 + traits["smile"] * (arch - 0.5)], axis=1)
    bow = arch * (1 - 0.25 * np.exp(-((5 * _SPAN) ** 2)))
    up = np.stack([0 * arch, 0.8 * full * bow], axis=1)
    down = np.stack([0 * arch, full * arch + opening * arch], axis=1)
    teeth = np.stack([0 * arch, opening * arch], axis=1)
    canvas.fill(np.concatenate([line - up, (line + down)[::-1]]), palette.lips)
    canvas.fill(np.concatenate([line, (line + teeth)[::-1]]), _WHITE)
    canvas.band(line, 0.03 * arch + 0.02, shade(palette.lips, 0.45))


def _draw_eye(canvas: Canvas, side: float, traits: Traits, palette: Palette) -> None:
    """Fills the white, iris and pupil, and a lid whose weight and wing are `lashes`."""
    size, lashes = traits["eye_size"], traits["lashes"]
    middle = np.array([side * 0.33, -0.06])
    arch = (1 - _SPAN**2) ** 0.8
    upper = np.stack([1.15 * size * _SPAN, -0.8 * size * arch], axis=1) + middle
    lower = np.stack([1.15 * size * _SPAN, 0.6 * size * arch], axis=1) + middle
    canvas.fill(np.concatenate([upper, lower[::-1]]), _WHITE)
    gaze = (middle[0] + 0.35 * size * traits["gaze"], middle[1] - 0.06 * size)
    canvas.ellipse(gaze, (0.5 * size, 0.55 * size), palette.iris)
    canvas.ellipse(gaze, (0.26 * size, 0.28 * size), _BLACK)
    lid = upper + np.stack([0.02 * side + 0 * arch, 0 * arch], axis=1)
    canvas.band(lid, np.full_like(arch, 0.03 + 0.07 * lashes), _BLACK)
    wing = np.array([(1.0, -0.1), (1.25 + 0.9 * lashes, -0.5 - 1.0 * lashes), (0.6, -0.75)])
    canvas.fill(wing * (side * size, size) + middle, _BLACK, min(1.0, 2.5 * lashes))


def _draw_brow(canvas: Canvas, side: float, traits: Traits, palette: Palette) -> None:
    """Fills a brow of `brow_thickness` that lies `brow_height` above the eye."""
    along = (_SPAN + 1) / 2
    x = side * (0.13 + 0.42 * along)
    arch = traits["brow_arch"] * np.sin(np.pi * along**1.3)
    y = -0.2 - traits["brow_height"] - arch + traits["frown"] * (0.5 - along)
    thickness = traits["brow_thickness"] * (1 - 0.5 * along)
    canvas.band(np.stack([x, y], axis=1), thickness, blend(palette.hair, _BLACK, 0.35))


def _draw_hair_in_front(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Fills the hair over the forehead and, where it is long, two strands beside the face."""
    volume, line = traits["hair_volume"], traits["hairline"]
    width, height = _HEAD_HALF_WIDTH + volume, 1 + volume
    outer = np.stack([width * np.sin(_OVER_THE_TOP), -height * np.cos(_OVER_THE_TOP)], axis=1)
    across = _SPAN[::-1]
    fringe = -line + (line - 0.15) * np.abs(across) ** 5 + 0.2 * (across - traits["parting"]) ** 2
    x = 0.95 * _HEAD_HALF_WIDTH * across
    canvas.fill(np.concatenate([outer, np.stack([x, np.minimum(fringe, 0)], axis=1)]), palette.hair)
    bottom = traits["hair_length"]
    for side in (-1.0, 1.0):
        strand = np.array([(0.8, -0.35), (1.0, -0.3), (1.12, 0.5 * bottom), (1.05, bottom),
                           (0.97, bottom), (0.92, 0.4 * bottom)])  # fmt: skip
        canvas.fill(strand * (side * _HEAD_HALF_WIDTH, 1), palette.hair)


def _draw_things(canvas: Canvas, traits: Traits, palette: Palette) -> None:
    """Puts on glasses, sunglasses and a hat where their trait is above zero."""
    if traits["glasses"] > 0 or traits["sunglasses"] > 0:
        _draw_glasses(canvas, palette.things, traits["sunglasses"] > 0)
    if traits["hat"] > 0:
        brim = np.array([(-1.25, -0.62), (-0.8, -0.85), (0.8, -0.85), (1.25, -0.62), (0, -0.5)])
        top = np.array([(-0.86, -0.7), (-0.8, -1.45), (0, -1.6), (0.8, -1.45), (0.86, -0.7)])
        canvas.fill(top, palette.things)
        canvas.fill(brim, shade(palette.things, 0.7))


def _draw_glasses(canvas: Canvas, colour: Colour, dark: bool) -> None:
    """Draws two round lenses, filled where `dark`, and the bridge between them."""
    for side in (-1.0, 1.0):
        middle = (side * 0.34, -0.04)
        if dark:
            canvas.ellipse(middle, (0.29, 0.23), shade(colour, 0.3))
        rim = np.concatenate([_CIRCLE, _CIRCLE[:1], 0.84 * _CIRCLE[:1], 0.84 * _CIRCLE[::-1]])
        canvas.fill(rim * (0.28, 0.23) + middle, colour)
        temple = np.array([(0.6, -0.1), (0.78, -0.12), (0.78, -0.06), (0.6, -0.03)])
        canvas.fill(temple * (side, 1), colour)
    canvas.fill(np.array([(-0.08, -0.09), (0.08, -0.09), (0.08, -0.04), (-0.08, -0.04)]), colour)
