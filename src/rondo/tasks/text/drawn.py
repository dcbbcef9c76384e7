"""Pictures of words drawn by the program, where no others are at hand.

In go characters and a random generator; out comes a word of them in a font that is found on the
machine, with its colours, spacing, a line or two across it: (W, 32) grey values. How pictures are
bent, blurred and spoilt otherwise is `word_distortions`, which is for all pictures.

Fonts are those of the DejaVu, Liberation, Noto and FreeFont families that are installed, or the
one that Pillow holds. Other fonts draw other pictures, so the digest of the fonts belongs to the
settings of a run. Known limits: words are written from left to right, a character at a time, so
scripts whose letters join are drawn wrongly.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rondo.tasks.text.words import columns_of

FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
"""Where fonts are looked for."""

FONT_FAMILIES = ("DejaVu", "Liberation", "Noto", "Free")
"""How the files of the fonts that are taken begin."""

UNLIKE_PRINT = ("Math", "ExtraLight", "Emoji", "Symbols", "Italic-VF")
"""What the names of fonts of these families hold that are left out."""

FONT_ENDINGS = (".ttf", ".otf", ".ttc")
"""How the files of fonts end, in small letters."""

FONT_SIZE = 48
"""The size of the letters as they are drawn, in pixels."""

MOST_FONTS = 40
"""Fonts that are taken, at most."""

NO_CHARACTER = "\U0010ffff"
"""What no font has: it is drawn as every character is that a font lacks."""

Font = ImageFont.FreeTypeFont


class Typesetter:
    """Draws words of an alphabet.

    Args:
        alphabet: The characters.
        folder: A folder of fonts to take, or None for those that are found on the machine.

    Raises:
        ValueError: Where there is no font in the folder, or none has all characters.
    """

    def __init__(self, alphabet: str, folder: Path | None = None) -> None:
        fonts = _fonts(_font_files(folder))
        self.fonts = [(font, digest) for font, digest in fonts if _has_all(font, alphabet)]
        self.alphabet = alphabet
        if not self.fonts:
            lacking = next(
                (one for one in alphabet if not any(_has_all(font, one) for font, _ in fonts)),
                alphabet,
            )
            raise ValueError(
                f"no font found has the character {lacking!r}; give a folder of fonts that have "
                "it with --fonts, or leave it out of --alphabet"
            )

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change when the fonts do."""
        parts = "".join(digest for _, digest in self.fonts)
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    def any_word(self, rng: np.random.Generator, least: int, most: int) -> str:
        """Returns characters of the alphabet, each as likely, of a length in a range."""
        length = int(rng.integers(least, most + 1))
        return "".join(self.alphabet[i] for i in rng.integers(len(self.alphabet), size=length))

    def draw(self, text: str, rng: np.random.Generator, width: int | None = None) -> np.ndarray:
        """Returns a picture of a text, uint8 (W, 32); the font and all else are drawn by chance.

        Args:
            text: What to write.
            rng: The source of all that is random.
            width: W, or None for what the text takes.
        """
        font, _ = self.fonts[rng.integers(len(self.fonts))]
        mask = _written(text, font, rng)
        paper, ink = _greys(rng)
        picture = Image.new("L", mask.size, paper)
        picture.paste(ink, mask=mask)
        _cross_out(picture, rng, ink)
        return columns_of(picture, width)


def _written(text: str, font: Font, rng: np.random.Generator) -> Image.Image:
    """The letters, white on black, with some space around them."""
    left, above, right, below = rng.uniform(0.05, 0.35, 4) * FONT_SIZE
    spacing = rng.uniform(-0.04, 0.16) * FONT_SIZE
    steps = [font.getlength(character) + spacing for character in text]
    ascent, descent = font.getmetrics()
    size = (int(left + sum(steps) + right) + 1, int(above + 0.85 * (ascent + descent) + below))
    mask = Image.new("L", size, 0)
    pen, x = ImageDraw.Draw(mask), float(left)
    jitter = rng.uniform(0, 0.06) * FONT_SIZE
    for character, step in zip(text, steps, strict=True):
        y = above - 0.12 * ascent + rng.normal() * jitter
        pen.text((x, y), character, fill=255, font=font)
        x += step
    return mask


def _greys(rng: np.random.Generator) -> tuple[int, int]:
    """The greys of paper and ink, of which either may be the darker."""
    paper = int(rng.integers(0, 256))
    contrast = int(rng.integers(70, 200))
    ink = paper - contrast if paper >= 128 else paper + contrast
    return paper, min(max(ink, 0), 255)


def _cross_out(picture: Image.Image, rng: np.random.Generator, ink: int) -> None:
    """Sometimes draws thin lines over the word."""
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.choice(3, p=(0.6, 0.25, 0.15))):
        xs = np.sort(rng.uniform(-0.1, 1.1, 3)) * picture.width
        ys = rng.uniform(0.05, 0.95, 3) * picture.height
        points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        pen.line(points, fill=ink, width=int(rng.integers(1, 4)))


def _font_files(folder: Path | None) -> list[Path]:
    """The files of fonts, of a folder or of the machine, sorted by name; of one name one."""
    if folder is not None:
        found = [path for path in _below(folder) if path.suffix.lower() in FONT_ENDINGS]
        if not found:
            raise ValueError(f"{folder} holds no font; fonts end in {', '.join(FONT_ENDINGS)}")
    else:
        found = [
            path
            for place in FONT_FOLDERS
            for path in _below(Path(place).expanduser())
            if path.suffix.lower() in FONT_ENDINGS
            and path.name.startswith(FONT_FAMILIES)
            and not any(word in path.name for word in UNLIKE_PRINT)
        ]
    return sorted({path.name: path for path in found}.values(), key=lambda path: path.name)


def _below(folder: Path) -> Sequence[Path]:
    return sorted(folder.rglob("*")) if folder.is_dir() else ()


def _fonts(files: Sequence[Path]) -> list[tuple[Font, str]]:
    """Fonts with their digests; without files the one that Pillow holds."""
    loaded = [font for path in files[:MOST_FONTS] if (font := _load(path)) is not None]
    return loaded or [_embedded()]


@lru_cache(maxsize=2 * MOST_FONTS)
def _load(path: Path) -> tuple[Font, str] | None:
    try:
        content = path.read_bytes()
        font = ImageFont.truetype(io.BytesIO(content), FONT_SIZE)
    except OSError:
        return None
    return font, hashlib.blake2b(content, digest_size=8).hexdigest()


@lru_cache(maxsize=1)
def _embedded() -> tuple[Font, str]:
    font = ImageFont.load_default(FONT_SIZE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ValueError("this Pillow was built without FreeType and cannot draw words")
    return font, "pillow"


def _has_all(font: Font, alphabet: str) -> bool:
    """Whether a font draws each character otherwise than one that it lacks."""
    lacking = bytes(font.getmask(NO_CHARACTER))
    return all(one.isspace() or bytes(font.getmask(one)) != lacking for one in alphabet)
