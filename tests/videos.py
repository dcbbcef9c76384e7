"""Small videos whose frames tell their numbers, whole and broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")

FORMATS = {
    "mpeg4.avi": ("mpeg4", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "yuvj420p"),
    "ffv1.avi": ("ffv1", "yuv420p"),
    "mpeg4.mp4": ("mpeg4", "yuv420p"),
    "h264.mp4": ("libx264", "yuv420p"),
    "h264.mkv": ("libx264", "yuv420p"),
    "h264.ts": ("libx264", "yuv420p"),
    "h264.avi": ("libx264", "yuv420p"),
    "vp8.webm": ("libvpx", "yuv420p"),
    "mpeg1.mpg": ("mpeg1video", "yuv420p"),
}
"""Names of files, with the codec and the kind of pixels."""

NUM_FRAMES = 60


def grey_of(number: int) -> int:
    """The grey level of a frame."""
    return 20 + 3 * number


def number_of(grey: float) -> int:
    """The number of the frame of a grey level."""
    return round((grey - 20) / 3)


def write_counting(
    path: Path,
    num_frames: int = NUM_FRAMES,
    *,
    rate: int = 25,
    times: Sequence[int] | None = None,
    turn: tuple[Any, ...] | None = None,
    picture: np.ndarray | None = None,
    **options: str,
) -> Path:
    """Writes a video of grey frames, or of one picture (H, W), in the format of its name.

    Args:
        path: The file.
        num_frames: Its frames.
        rate: The frames of a second.
        times: The time of each frame, in units of 1 / rate.
        turn: The arguments of PyAV's `set_display_rotation`.
        picture: What each frame shows.
        options: Those of the encoder.
    """
    codec, kind = FORMATS[f"{path.stem.split('-')[0]}{path.suffix}"]
    shown = np.zeros((120, 160), np.uint8) if picture is None else picture
    head = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=head) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = shown.shape
        stream.pix_fmt = kind
        if turn is not None:
            stream.set_display_rotation(*turn)
        for number in range(num_frames):
            pixels = shown if picture is not None else np.full_like(shown, grey_of(number))
            frame = av.VideoFrame.from_ndarray(np.stack([pixels] * 3, -1), format="rgb24")
            frame = frame.reformat(format=kind)
            if times is not None:
                frame.pts = times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """Cuts a file off."""
    contents = path.read_bytes()
    path.write_bytes(contents[: int(share * len(contents))])
    return path


def damage(path: Path, start: float = 0.5, share: float = 0.125) -> Path:
    """Overwrites a part of a file."""
    contents = bytearray(path.read_bytes())
    first, count = int(start * len(contents)), int(share * len(contents))
    contents[first : first + count] = b"\x55" * count
    path.write_bytes(contents)
    return path
