"""The bytes of a photo become pixels, in a process of its own that can be ended.

The header of a file says how large a picture is, but not how long it takes to decode: a JPEG can
hold thousands of passes over all its pixels. A decoder that takes too long, breaks or takes too
much memory ends with its process, and the server goes on.
"""

from __future__ import annotations

import io

import numpy as np
from anyio import BrokenWorkerProcess, fail_after, to_process

from rondo.data.pictures import Limits, PhotoError, read_pixels

LIMITS = Limits(
    num_bytes=20_000_000,
    num_pixels=50_000_000,
    side=32,
    formats=("JPEG", "PNG", "WEBP", "GIF", "BMP"),
)
"""What a photo from a browser may be."""

DECODE_SECONDS = 20
"""How long a photo may take to decode."""

SHOWN_SIZE = 384
"""The side of the photo that the page shows, in pixels."""

NAME = "the uploaded photo"
"""What a photo is called in messages."""

Pixels = tuple[np.ndarray, np.ndarray]
"""A photo for the network and for the page, each uint8 (3, S, S)."""


def read_twice(contents: bytes | bytearray, size: int, limits: Limits) -> Pixels:
    """Returns a photo with a side of `size` pixels, and with one of `SHOWN_SIZE`.

    Raises:
        PhotoError: Where the bytes are no photo within the limits.
    """
    seen = read_pixels(io.BytesIO(contents), size, limits)
    return seen, read_pixels(io.BytesIO(contents), SHOWN_SIZE, limits)


async def read_apart(contents: bytes | bytearray, size: int, limits: Limits) -> Pixels:
    """Returns what `read_twice` does, from another process, which stays for the next photo.

    Raises:
        PhotoError: Where the bytes are no photo within the limits, or are not decoded in
            `DECODE_SECONDS`.
    """
    try:
        with fail_after(DECODE_SECONDS):
            return await to_process.run_sync(read_twice, contents, size, limits, cancellable=True)
    except TimeoutError as error:
        reason = f"the picture takes longer than {DECODE_SECONDS} seconds to decode"
        raise PhotoError(NAME, reason, "save a smaller copy") from error
    except BrokenWorkerProcess as error:
        reason = "the picture breaks its decoder, or needs more memory than there is"
        raise PhotoError(NAME, reason, "save it once more as JPEG or PNG") from error
