"""Training clips changed at random so that the action stays the same.

Poses and videos are mirrored, poses and signals turned and scaled, images moved; every clip is
stretched or shortened in time and loses some of its first and last frames. A signal whose channels
are a multiple of three is taken for sensors of three axes each; others are not turned. All that is
drawn depends on the generator alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rondo.data.sources import Example

OTHER_SIDE = (0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13)
"""For each of the 15 joints of JHMDB the one that it becomes in a mirror."""

TURN = {"poses": 0.15, "signals": 0.2}
"""The standard deviation of an angle, in radians: in the picture, or around each axis."""

SCALE = {"poses": 0.15, "signals": 0.1}
"""The standard deviation of the logarithm of a scale."""

STRETCH = {"poses": 0.2, "signals": 0.1, "video": 0.1}
"""The standard deviation of the logarithm of a speed."""

CUT = {"poses": 0.2, "signals": 0.0, "video": 0.1}
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
    frames = stretched(frames, _factor(STRETCH[kind], generator))
    frames = cut(frames, CUT[kind], generator)
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


def cut(frames: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Returns a clip without some of its first and last frames, each at most such a share."""
    most = min(int(share * len(frames)), max(0, (len(frames) - LEAST_FRAMES) // 2))
    first, last = torch.randint(most + 1, (2,), generator=generator).tolist()
    return frames[first : len(frames) - last]


def _change_poses(pose: Tensor, generator: torch.Generator) -> Tensor:
    if pose.shape[1] == len(OTHER_SIDE) and _toss(generator):
        pose = mirrored(pose)
    pose = _factor(SCALE["poses"], generator) * pose
    turn = TURN["poses"] * float(torch.randn((), generator=generator))
    if pose.shape[2] != 2:
        return pose
    sine, cosine = math.sin(turn), math.cos(turn)
    return pose @ torch.tensor([[cosine, sine], [-sine, cosine]])


def _change_signals(signal: Tensor, generator: torch.Generator) -> Tensor:
    signal = _factor(SCALE["signals"], generator) * signal
    if signal.shape[1] % 3:
        return signal
    a, b, c = (TURN["signals"] * torch.randn(3, generator=generator)).tolist()
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]]))
    return (signal.unflatten(1, (-1, 3)) @ turn).flatten(1)


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
