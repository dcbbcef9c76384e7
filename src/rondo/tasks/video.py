"""The frames of a video, through PyAV, which is imported when the first video is read."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondo.extras import how_to_install

FRAME_SIZE = (48, 64)
"""The height and the width to which frames are scaled."""

FRAME_RATE = 12.5
"""About so many frames a second are kept."""


def read_frames(path: Path, stride: int | None = None) -> Tensor:
    """Returns every n-th frame of a video in grey, scaled: (T, 48, 64) of bytes.

    Args:
        path: The video.
        stride: n; by default such that some 12.5 frames a second are left, 1 for slower videos.

    Raises:
        ValueError: Where it is no video that can be read to its end, or has no frame.
        OSError: Where there is no such file.
        ModuleNotFoundError: Where PyAV is not installed.
    """
    height, width = FRAME_SIZE
    small = (
        frame.reformat(width, height, format="gray", interpolation="AREA").to_ndarray()
        for frame in decoded(path, stride)
    )
    return torch.stack([torch.from_numpy(pixels) for pixels in small])


def read_pictures(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video in colour, as they are: (H, W, 3) of bytes.

    It raises what `read_frames` does.
    """
    for frame in decoded(path, 1):
        yield frame.to_ndarray(format="rgb24")


def decoded(path: Path, stride: int | None = None) -> Iterator[Any]:
    """Yields every n-th frame of a video as PyAV gives it; see `read_frames`."""
    av = _av()
    number = -1
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("it has no video stream")
            stream = container.streams.video[0]
            stride = stride or every(stream.average_rate)
            for number, frame in enumerate(container.decode(stream)):
                if number % stride == 0:
                    yield frame
    except ValueError as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read as a video: {what}") from error
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, EOFError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise ValueError(f"{path} cannot be read as a video: {error.strerror}") from error
    if number < 0:
        raise ValueError(f"{path} cannot be read as a video: it has no frame")


def every(rate: Fraction | None) -> int:
    """Returns of how many frames one is kept, for frames a second.

    Example:
        >>> from fractions import Fraction
        >>> from rondo.tasks.video import every
        >>> every(Fraction(25)), every(Fraction(30000, 1001)), every(Fraction(10)), every(None)
        (2, 2, 1, 1)
    """
    return 1 if rate is None else max(1, round(float(rate) / FRAME_RATE))


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"videos are read through PyAV; {how_to_install('actions')}", name="av"
        ) from error
    return av
