"""Training clips changed at random so that the action stays the same.

Poses and videos are mirrored, poses turned and scaled, images moved, signals scaled; every clip is
stretched or shortened in time, and loses some of its first and last frames. All that is drawn
depends on the generator alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rondo.tasks.sources import Example

OTHER_SIDE = (0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13)
"""For each of the 15 joints of JHMDB the one that it becomes in a mirror."""

TURN, SCALE, STRETCH = 0.15, 0.15, 0.2
"""Standard deviations: of an angle, in radians, and of the logarithms of a scale and a speed."""

CUT = 0.2
"""At most so much of a clip is cut off at either end."""

LEAST_FRAMES = 8
"""No clip gets shorter than this, but for those that are."""

NOISE = {"poses": 0.01, "signals": 0.02}
"""The standard deviation of noise on every number."""

MOVE = 4
"""Images are moved by up to so many pixels."""


def augmented(
    example: Example, generator: torch.Generator, *, kind: str, shape: tuple[int, ...]
) -> Example:
    """Returns a clip changed at random.

    Args:
        example: The clip.
        generator: Where random numbers come from.
        kind: "poses", "signals" or "video".
        shape: The shape of a frame.
    """
    frames = example.inputs.unflatten(1, shape)
    frames = CHANGES[kind](frames, generator)
    frames = cut(stretched(frames, _factor(STRETCH, generator)), generator)
    if kind in NOISE:
        frames = frames + NOISE[kind] * torch.randn(frames.shape, generator=generator)
    return Example(frames.flatten(1), example.targets)


def mirrored(pose: Tensor) -> Tensor:
    """Returns poses (T, 15, D) as in a mirror, right joints in the place of left ones.

    Example:
        >>> import torch
        >>> pose = torch.zeros(1, 15, 2)
        >>> pose[0, 11] = torch.tensor([2.0, 1.0])  # the right wrist
        >>> mirrored(pose)[0, 12]  # the left one
        tensor([-2.,  1.])
    """
    sign = torch.ones(pose.shape[-1])
    sign[0] = -1
    return pose[:, OTHER_SIDE] * sign


def stretched(frames: Tensor, factor: float) -> Tensor:
    """Returns a clip over so many times as many frames; bytes take the nearest, others lie between.

    Example:
        >>> import torch
        >>> stretched(torch.tensor([[0.0], [1], [2]]), 5 / 3).flatten()
        tensor([0.0000, 0.5000, 1.0000, 1.5000, 2.0000])
    """
    num_frames = max(min(len(frames), LEAST_FRAMES), round(factor * len(frames)))
    if len(frames) < 2 or num_frames < 2:
        return frames
    place = torch.linspace(0, len(frames) - 1, num_frames)
    if frames.dtype == torch.uint8:
        return frames[place.round().long()]
    before = place.long().clamp_max(len(frames) - 2)
    share = (place - before).view(-1, *[1] * (frames.ndim - 1))
    return torch.lerp(frames[before], frames[before + 1], share)


def cut(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Returns a clip without some of its first and last frames."""
    most = min(int(CUT * len(frames)), max(0, (len(frames) - LEAST_FRAMES) // 2))
    first, last = torch.randint(most + 1, (2,), generator=generator).tolist()
    return frames[first : len(frames) - last]


def _change_poses(pose: Tensor, generator: torch.Generator) -> Tensor:
    if pose.shape[1] == len(OTHER_SIDE) and _toss(generator):
        pose = mirrored(pose)
    pose = _factor(SCALE, generator) * pose
    turn = TURN * float(torch.randn((), generator=generator))
    if pose.shape[2] != 2:
        return pose
    sine, cosine = math.sin(turn), math.cos(turn)
    return pose @ torch.tensor([[cosine, sine], [-sine, cosine]])


def _change_signals(signal: Tensor, generator: torch.Generator) -> Tensor:
    return _factor(SCALE / 2, generator) * signal


def _change_video(images: Tensor, generator: torch.Generator) -> Tensor:
    if _toss(generator):
        images = images.flip(2)
    down, right = torch.randint(-MOVE, MOVE + 1, (2,), generator=generator).tolist()
    rows = (torch.arange(images.shape[1]) - down).clamp(0, images.shape[1] - 1)
    columns = (torch.arange(images.shape[2]) - right).clamp(0, images.shape[2] - 1)
    return images[:, rows][:, :, columns]


CHANGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "poses": _change_poses,
    "signals": _change_signals,
    "video": _change_video,
}
"""What each kind of frames (T, ...) may become."""


def _factor(deviation: float, generator: torch.Generator) -> float:
    return math.exp(deviation * float(torch.randn((), generator=generator)))


def _toss(generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)
