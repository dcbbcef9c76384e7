"""Pictures that were stored turned or mirrored are brought upright.

A camera stores pixels as its sensor lies, and beside them how to turn them: photos by an EXIF
orientation of 1 to 8, videos by a display matrix. Both mean one of eight turns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Turn(NamedTuple):
    """A turn by a number of quarters, perhaps with a mirror.

    Attributes:
        swaps: Whether rows become columns, before the rest.
        mirrors: Whether left and right are then exchanged.
        flips: Whether top and bottom are then exchanged.
    """

    swaps: bool = False
    mirrors: bool = False
    flips: bool = False


EXIF_TURNS = {
    1: Turn(),
    2: Turn(mirrors=True),
    3: Turn(mirrors=True, flips=True),
    4: Turn(flips=True),
    5: Turn(swaps=True),
    6: Turn(swaps=True, mirrors=True),
    7: Turn(swaps=True, mirrors=True, flips=True),
    8: Turn(swaps=True, flips=True),
}
"""What to do with the pixels of a photo for each EXIF orientation."""

MATRIX_BYTES = 36
"""The size of a display matrix: nine numbers of 32 bits."""


def turn_of_matrix(matrix: bytes) -> Turn:
    """Returns the turn that a display matrix means, to the nearest quarter.

    Args:
        matrix: Nine whole numbers of 32 bits, of which the first, second, fourth and fifth turn:
            a pixel at (x, y) is shown at (a x + c y, b x + d y).

    Example:
        >>> import numpy as np
        >>> from rondo.data.turns import turn_of_matrix
        >>> turn_of_matrix(np.array([0, -1, 0, 1, 0, 0, 0, 0, 1], np.int32).tobytes())
        Turn(swaps=True, mirrors=False, flips=True)
    """
    if len(matrix) != MATRIX_BYTES:
        return Turn()
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, c < 0, b < 0)
    return Turn(False, a < 0, d < 0)


def turned(pixels: np.ndarray, turn: Turn) -> np.ndarray:
    """Returns pixels (H, W, ...) turned: (W, H, ...) where rows become columns.

    Example:
        >>> import numpy as np
        >>> from rondo.data.turns import EXIF_TURNS, turned
        >>> turned(np.array([[1, 2, 3]]), EXIF_TURNS[6]).tolist()
        [[1], [2], [3]]
    """
    pixels = pixels.swapaxes(0, 1) if turn.swaps else pixels
    columns = -1 if turn.mirrors else 1
    rows = -1 if turn.flips else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])
