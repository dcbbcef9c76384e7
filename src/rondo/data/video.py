"""The frames of a video, through PyAV, which is imported when the first video is read.

Every task reads its videos here. Frames are turned upright by the display matrix. Where some are
lost, since the file is damaged or cut off, the others keep their numbers: the last frame before
stands for a lost one, the end is cut off, and a warning names the file and the numbers. Frames of
which the decoder says that they are damaged are lost too.

Known limits: times are taken from the file, so frames that are lost of a stream without times
(raw H.264) shift those after them; pictures that a decoder mends, or predicts from lost ones, are
taken as they are.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondo.data.files import MISSING, file_fault
from rondo.data.lost_frames import LostFramesWarning, numbers_text
from rondo.data.turns import Turn, turn_of_matrix, turned
from rondo.data.video_clock import Clock, Placement
from rondo.extras import how_to_install

FRAME_SIZE = (48, 64)
"""The height and the width to which frames are scaled."""

FRAME_RATE = 12.5
"""About so many frames a second are kept."""


@dataclass(frozen=True)
class Frames:
    """Every n-th frame of a video.

    Attributes:
        pixels: In grey, upright, scaled: (T, 48, 64) of bytes.
        placement: The numbers of all frames that could be decoded, and of those that are lost.
    """

    pixels: Tensor
    placement: Placement


def read_frames(path: Path, stride: int | None = None) -> Tensor:
    """Returns every n-th frame of a video in grey, scaled: (T, 48, 64) of bytes.

    Args:
        path: The video.
        stride: n; by default such that some 12.5 frames a second are left, 1 for slower videos.

    Raises:
        ValueError: Where it is no video, or no frame of it can be decoded.
        OSError: Where there is no such file.
        ModuleNotFoundError: Where PyAV is not installed.

    Warns:
        LostFramesWarning: Where frames are lost.
    """
    found = numbered_frames(path, stride)
    _tell(path, found.placement)
    return found.pixels


def numbered_frames(path: Path, stride: int | None = None) -> Frames:
    """Returns what `read_frames` does, with the numbers of lost frames in place of a warning."""
    video = _Video(path)
    small = [_grey(frame) for frame in video.frames()]
    placement = video.placement()
    kept = range(0, placement.end, stride or every(video.rate))
    pixels = torch.stack([torch.from_numpy(small[placement.at(number)]) for number in kept])
    return Frames(pixels, placement)


def read_pictures(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video in colour, upright: (H, W, 3) of bytes.

    It raises and warns as `read_frames` does.
    """
    waiting = 0
    before = None
    for found in pictures_and_gaps(path):
        if isinstance(found, range):
            waiting = len(found)
            continue
        for _ in range(waiting):
            yield found if before is None else before
        yield found
        before, waiting = found, 0


def pictures_and_gaps(path: Path) -> Iterator[np.ndarray | range]:
    """Yields what `read_pictures` does, but the numbers of lost frames in their place.

    The video is decoded twice, first to see what is lost.
    """
    survey = _Video(path)
    for _ in survey.frames():
        pass
    placement = survey.placement()
    _tell(path, placement)
    number = 0
    for own, frame in zip(placement.numbers, _Video(path).frames(), strict=False):
        if own > number:
            yield range(number, own)
        yield turned(frame.to_ndarray(format="rgb24"), _turn_of(frame))
        number = own + 1
    if number < placement.num_frames:
        yield range(number, placement.num_frames)


def every(rate: Fraction | None) -> int:
    """Returns of how many frames one is kept, for frames a second.

    Example:
        >>> from fractions import Fraction
        >>> from rondo.data.video import every
        >>> every(Fraction(25)), every(Fraction(30000, 1001)), every(Fraction(10)), every(None)
        (2, 2, 1, 1)
    """
    return 1 if rate is None else max(1, round(float(rate) / FRAME_RATE))


class _Video:
    """A video that is decoded once, and its clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate: Fraction | None = None
        self._clock = Clock()

    def frames(self) -> Iterator[Any]:
        """Yields the frames in the order in which they are shown, as PyAV gives them."""
        with self._opened() as container:
            stream = self._stream(container)
            self.rate = stream.average_rate
            self._clock = _clock_of(container, stream)
            for packet in self._packets(container, stream):
                for frame in _frames_in(stream, packet):
                    if not frame.is_corrupt:
                        self._clock.add_frame(frame.pts)
                        yield frame

    def placement(self) -> Placement:
        """Returns where the frames stand that were decoded.

        Raises:
            ValueError: Where there is none.
        """
        found = self._clock.placement()
        if not found.numbers:
            raise ValueError(f"{self.path} cannot be read as a video: it has no whole frame")
        return found

    def _opened(self) -> Any:
        av = _av()
        fault = file_fault(self.path)
        if fault is None and not self.path.stat().st_size:
            fault = "is empty"
        if fault not in (None, MISSING):
            raise ValueError(f"{self.path} cannot be read as a video: it {fault}")
        try:
            return av.open(str(self.path))
        except av.error.FFmpegError as error:
            if isinstance(error, (FileNotFoundError, PermissionError)):
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            raise ValueError(f"{self.path} cannot be read as a video: {error.strerror}") from error

    def _stream(self, container: Any) -> Any:
        for stream in container.streams.video:
            if stream.codec_context is not None:
                return stream
        raise ValueError(f"{self.path} cannot be read as a video: it has no video stream")

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yields the packets up to the end, or to where the file cannot be read on, then None."""
        with contextlib.suppress(_av().error.FFmpegError):
            for packet in container.demux(stream):
                if packet.size:
                    self._clock.add_packet(packet)
                    yield packet
        yield None


def _frames_in(stream: Any, packet: Any) -> list[Any]:
    """The frames that a packet brings to light, none where it cannot be decoded."""
    try:
        return stream.decode(packet)
    except _av().error.FFmpegError:
        return []


def _clock_of(container: Any, stream: Any) -> Clock:
    """The clock of a stream, by the head of its file."""
    return Clock(
        stream.frames,
        _end_of(container, stream),
        [(entry.pos, entry.size) for entry in stream.index_entries],
        stream.time_base is not None and stream.time_base * (stream.average_rate or 0) == 1,
    )


def _end_of(container: Any, stream: Any) -> float | None:
    """When a stream ends by the head of the file, in its own units, if that is said of it alone."""
    if stream.time_base is None:
        return None
    words = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = map(float, words)
        return (3600 * hours + 60 * minutes + seconds) / float(stream.time_base)
    except ValueError:
        pass
    if container.duration is None or stream.duration is not None or len(container.streams) > 1:
        return None
    return container.duration / _av().time_base / float(stream.time_base)


def _grey(frame: Any) -> np.ndarray:
    """A frame (48, 64) of bytes, upright."""
    turn = _turn_of(frame)
    height, width = FRAME_SIZE[::-1] if turn.swaps else FRAME_SIZE
    small = frame.reformat(width, height, format="gray", interpolation="AREA")
    return turned(small.to_ndarray(), turn)


def _turn_of(frame: Any) -> Turn:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return Turn() if matrix is None else turn_of_matrix(bytes(matrix))


def _tell(path: Path, placement: Placement) -> None:
    if placement.lost:
        warnings.warn(f"{path}: {describe(placement)}", LostFramesWarning, stacklevel=3)


def describe(placement: Placement, first: int = 0) -> str:
    """Says which frames are lost.

    Args:
        placement: The frames of a video.
        first: What its first frame is called.

    Example:
        >>> from rondo.data.video import describe
        >>> from rondo.data.video_clock import Placement
        >>> describe(Placement((0, 1, 4), 6))
        '3 of 6 frames are lost: 2-3, 5, counted from 0'
    """
    number = placement.num_frames - len(placement.numbers)
    words = numbers_text(placement.lost, first)
    return f"{number} of {placement.num_frames} frames are lost: {words}, counted from {first}"


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"videos are read through PyAV; {how_to_install('actions')}", name="av"
        ) from error
    return av
