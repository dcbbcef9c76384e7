"""One image file becomes pixels, whatever the file holds, or a `PhotoError` that says why not.

Every task reads its pictures here. A picture is turned upright (EXIF) and brought to 8-bit RGB; for
most tasks it is cut to its largest centred square and resized with antialiasing. Known limits:
colour profiles are ignored, of an animation only the first frame is read, and transparent parts lie
on white.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from rondo.data.files import FOLDER, file_fault
from rondo.data.turns import EXIF_TURNS
from rondo.system.beside import Beside

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""The formats that are opened, by the names that Pillow gives them."""

FILE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""How the names of such files end, in lower case."""


@dataclass(frozen=True)
class Limits:
    """What a file may be, to be read.

    Args:
        num_bytes: A file with more bytes is refused before it is read.
        num_pixels: A picture with more is refused before it is decoded; the default takes 300 MB.
        side: A picture whose width or height is below it is refused, in pixels.
        formats: Of `FORMATS`, those that are opened.

    Example:
        >>> Limits(num_bytes=1_000_000, formats=("JPEG", "PNG")).side
        1
    """

    num_bytes: int = 500_000_000
    num_pixels: int = 100_000_000
    side: int = 1
    formats: tuple[str, ...] = FORMATS


ANY = Limits()
"""What the files of a data set may be."""

Seen = TypeVar("Seen")
"""What is made of a picture, such as its pixels."""

ToSeen = Callable[[Image.Image], Seen]
"""Makes something of an opened picture; it decodes it, and may raise `UnfitError`."""

_NUM_THREADS = min(8, os.cpu_count() or 1)
_WARNINGS_LOCK = threading.Lock()  # the warning filters belong to the whole process


class UnfitError(Exception):
    """A picture is whole, but not of the kind that is wanted.

    Attributes:
        advice: What to do about it.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(reason)
        self.advice = advice


class PhotoError(ValueError):
    """A file is not a usable photo.

    Attributes:
        reason: What was found, in words that are the same for every file with the same fault.
    """

    def __init__(self, name: str, reason: str, advice: str):
        super().__init__(f"{name}: {reason}; {advice}")
        self.name, self.reason, self.advice = name, reason, advice

    def __reduce__(self) -> tuple[type[PhotoError], tuple[str, str, str]]:
        return type(self), (self.name, self.reason, self.advice)  # it passes between processes


def read_pixels(source: Path | BinaryIO, image_size: int, limits: Limits = ANY) -> np.ndarray:
    """Reads one photo.

    Args:
        source: A file, or an open binary stream, which is read to its end.
        image_size: Width and height of the result, in pixels.
        limits: What the file may be.

    Returns:
        uint8 (3, image_size, image_size): red, green, blue.

    Raises:
        PhotoError: If it is not a usable photo.
        ValueError: If `image_size` is below 1.
    """
    _check_image_size(image_size)
    return read_picture(source, partial(_to_square, image_size=image_size), limits)


def read_picture(source: Path | BinaryIO, to_seen: ToSeen[Seen], limits: Limits = ANY) -> Seen:
    """Reads one picture in a shape of one's own.

    Args:
        source: A file, or an open binary stream, which is read to its end.
        to_seen: Makes pixels of the picture, such as a function that calls `upright_rgb`.
        limits: What the file may be.

    Raises:
        PhotoError: If it is not a usable picture.
    """
    name, stream = _open_bytes(source, limits)
    with _no_warnings():
        return _decode(name, stream, to_seen, limits)


def read_many(paths: Sequence[Path], image_size: int) -> tuple[np.ndarray, dict[int, PhotoError]]:
    """Reads photos on a few threads.

    Returns:
        The pixels of the usable photos in order, uint8 (number of them, 3, image_size,
        image_size), and what is wrong with each other one, by its index in `paths`.
    """
    _check_image_size(image_size)
    pixels = np.empty((len(paths), 3, image_size, image_size), np.uint8)
    errors: dict[int, PhotoError] = {}
    for index, result in enumerate(read_each(paths, partial(_to_square, image_size=image_size))):
        if isinstance(result, PhotoError):
            errors[index] = result
        else:
            pixels[index - len(errors)] = result
    return pixels[: len(paths) - len(errors)], errors


def read_each(paths: Sequence[Path], to_seen: ToSeen[Seen]) -> Iterator[Seen | PhotoError]:
    """Yields what is made of each picture, or what is wrong with it; it reads on a few threads.

    It reads no further ahead than these threads reach. No other picture can be read before the last
    one is given.
    """

    def read(path: Path) -> Seen | PhotoError:
        try:
            return _decode(*_open_bytes(path, ANY), to_seen, ANY)
        except PhotoError as error:
            return error

    begun: deque[Beside[Seen | PhotoError]] = deque()
    with _no_warnings():
        try:
            for path in paths:
                begun.append(Beside(partial(read, path)))
                if len(begun) == _NUM_THREADS:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:  # no thread goes on where nobody wants the rest
            for reading in begun:
                reading.wait()


def name_of(source: Path | BinaryIO) -> str:
    """Returns what to call a source."""
    return str(source) if isinstance(source, Path) else "standard input"


def _check_image_size(image_size: int) -> None:
    if image_size < 1:
        raise ValueError(f"image_size must be 1 pixel or more, got {image_size}")


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Keeps Pillow's remarks on odd files from the user, who gets a picture or a `PhotoError`."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open_bytes(source: Path | BinaryIO, limits: Limits) -> tuple[str, io.BytesIO]:
    """The name to use in messages, and the contents."""
    if not isinstance(source, (str, os.PathLike)):
        name = str(getattr(source, "name", "the uploaded photo"))
        return name, _limited(name, source, limits.num_bytes)
    path = Path(source)
    fault = file_fault(path)
    if fault is not None:
        advice = "name one photo in it" if fault == FOLDER else "check the path"
        raise PhotoError(str(path), fault, advice)
    try:
        with path.open("rb") as file:
            return str(path), _limited(str(path), file, limits.num_bytes)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise PhotoError(str(path), reason, "check its permissions") from error


def _limited(name: str, file: BinaryIO, num_bytes: int) -> io.BytesIO:
    """All bytes of the file, if there are any and not too many."""
    contents = file.read(num_bytes + 1)
    if not contents:
        raise PhotoError(name, "the file is empty", "copy or download it again")
    if len(contents) > num_bytes:
        limit = f"the file is larger than {num_bytes:,} bytes"
        raise PhotoError(name, limit, "save a smaller copy")
    return io.BytesIO(contents)


def _decode(name: str, stream: io.BytesIO, to_seen: ToSeen[Seen], limits: Limits) -> Seen:
    """What is made of the picture. A decoder may raise anything at all on damaged bytes."""
    try:
        with Image.open(stream, formats=limits.formats) as image:
            _check_size(name, image.width, image.height, limits)
            return to_seen(image)
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        reason = f"is not a picture in one of the formats {', '.join(limits.formats)}"
        raise PhotoError(name, reason, "convert it to JPEG or PNG") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, limits) from error
    except UnfitError as error:
        raise PhotoError(name, str(error), error.advice) from error
    except Exception as error:
        reason = "the picture is damaged or cut off"
        raise PhotoError(name, reason, f"copy or download it again ({error})") from error


def _check_size(name: str, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.num_pixels:
        raise _too_large(name, limits)
    if min(width, height) < limits.side:
        reason = f"the picture is only {width} x {height} pixels"
        raise PhotoError(name, reason, f"take one of {limits.side} x {limits.side} or more")


def _too_large(name: str, limits: Limits) -> PhotoError:
    return PhotoError(
        name, f"the picture has more than {limits.num_pixels:,} pixels", "save a smaller copy"
    )


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation of an opened picture, 1 to 8; 1 where it has none.

    It must be asked before the picture is decoded, which turns some kinds of files.
    """
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block must not cost the photo
        return 1
    return found if found in EXIF_TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """Decodes a picture and turns it upright."""
    image.load()
    with contextlib.suppress(Exception):  # a damaged EXIF block must not cost the photo
        ImageOps.exif_transpose(image, in_place=True)
    return image


def upright_rgb(image: Image.Image, least_side: int | None = None) -> Image.Image:
    """Decodes a picture, turns it upright and brings it to 8-bit RGB.

    Args:
        image: An opened picture.
        least_side: A large JPEG may be decoded at a fraction of its size, with both sides no
            smaller than twice so many pixels; None for its whole size.
    """
    if least_side is not None:
        image.draft(None, (2 * least_side, 2 * least_side))
    return _to_rgb(upright(image))


def _to_square(image: Image.Image, image_size: int) -> np.ndarray:
    """Cuts and resizes; uint8 (3, S, S)."""
    rgb = upright_rgb(image, image_size)
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    square = (left, top, left + side, top + side)
    resized = rgb.resize((image_size, image_size), Image.Resampling.BILINEAR, box=square)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode that Pillow reads, with transparent parts on white."""
    if image.mode.startswith("I"):
        return _scale_to_8_bits(image).convert("RGB")
    if image.mode in ("F", "LAB"):
        raise UnfitError(f"holds colours of the kind '{image.mode}'", "save it as 8-bit RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 bits, or of 32 bits where a value needs them, scaled to 0 to 255."""
    greys = np.asarray(image).astype(np.float64)
    white = 2**16 - 1 if greys.max() < 2**16 else 2**31 - 1
    return Image.fromarray((greys.clip(0) * (255 / white) + 0.5).astype(np.uint8))
