"""Stick figures that move: the drawn actions, for which no file is needed.

A figure of 15 joints stands in space, turned by some angle, and does one of eight things. Its
limbs have drawn lengths, its motion a drawn speed, size and moment to begin with; each clip is its
projection on the picture, with some noise: poses (T, 15, 2), x to the right and y down, the figure
about two units tall, 16 to 48 frames. The joints stand in the order of JHMDB (Jhuang et al., 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rondo.data.seeds import generator_for
from rondo.data.sources import TEST_SEED, Example

JOINTS = (
    *("neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip"),
    *("right elbow", "left elbow", "right knee", "left knee", "right wrist", "left wrist"),
    *("right ankle", "left ankle"),
)
"""The joints of a pose, in the order of JHMDB."""

BONES = (
    *((2, 0), (0, 1), (0, 3), (3, 7), (7, 11), (0, 4), (4, 8), (8, 12)),
    *((1, 5), (5, 9), (9, 13), (1, 6), (6, 10), (10, 14)),
)
"""The joints between which a figure has a line."""

FRAMES = (16, 48)
"""The least and the largest number of frames of a clip."""

FRAME_RATE = 15.0
"""Frames a second."""

NOISE = 0.02
"""The standard deviation of each coordinate around its place."""

SPLITS = {"train": 480, "val": 160, "test": 400}
"""The clips that are drawn for each split."""

RIGHT, LEFT = 0, 1


@dataclass
class Posture:
    """What the limbs do over T frames; angles in radians, 0 where a limb hangs down.

    Args:
        num_frames: T.
        arms: For the right and the left arm: forward, sideways, the bend of the elbow, and how much
            further sideways the forearm goes.
        legs: The same for the legs, with knees and lower legs.
        lean: How far the trunk leans forward.
        height: How far the hips are above where they stand.
        place: How far the figure has gone forward.
    """

    num_frames: int
    arms: list[list[Tensor]] = field(default_factory=list)
    legs: list[list[Tensor]] = field(default_factory=list)
    lean: Tensor = field(default_factory=lambda: torch.zeros(1))
    height: Tensor = field(default_factory=lambda: torch.zeros(1))
    place: Tensor = field(default_factory=lambda: torch.zeros(1))

    def __post_init__(self) -> None:
        zero = torch.zeros(self.num_frames)
        self.arms = [[zero + 0.1, zero + 0.15, zero + 0.2, zero] for _ in (RIGHT, LEFT)]
        self.legs = [[zero, zero + 0.1, zero, zero] for _ in (RIGHT, LEFT)]
        self.lean, self.height, self.place = zero, zero, zero


Motion = Callable[[Tensor, float, int], Posture]
"""From the phase at each frame (T,), a size about 1 and a side to what the limbs do."""


def _stride(phase: Tensor, swing: float, bend: float, elbow: float) -> Posture:
    """Legs that swing in turn, and arms against them."""
    posture = Posture(len(phase))
    for side, turn in ((RIGHT, 0.0), (LEFT, math.pi)):
        leg = (phase + turn).sin()
        posture.legs[side][0] = swing * leg
        posture.legs[side][2] = bend * (0.15 + (phase + turn + 1.2).cos().clamp_min(0))
        posture.arms[side][0] = -0.9 * swing * leg
        posture.arms[side][2] = posture.arms[side][2] + elbow
    return posture


def _walk(phase: Tensor, size: float, _side: int) -> Posture:
    posture = _stride(phase, 0.45 * size, 0.5, 0.1)
    posture.place = 0.3 * size * phase
    return posture


def _run(phase: Tensor, size: float, _side: int) -> Posture:
    posture = _stride(phase, 0.75 * size, 1.2, 1.3)
    posture.place = 0.45 * size * phase
    posture.height = 0.08 * (2 * phase).sin()
    posture.lean = posture.lean + 0.2
    return posture


def _wave(phase: Tensor, size: float, side: int) -> Posture:
    posture = Posture(len(phase))
    posture.arms[side][1] = torch.full_like(phase, 1.5)
    posture.arms[side][3] = 1.2 + 0.7 * size * phase.sin()
    return posture


def _clap(phase: Tensor, size: float, _side: int) -> Posture:
    posture = Posture(len(phase))
    for side in (RIGHT, LEFT):
        posture.arms[side][0] = torch.full_like(phase, 1.0)
        posture.arms[side][1] = 0.15 + 0.35 * size * (1 + phase.cos()) - 0.4
        posture.arms[side][2] = torch.full_like(phase, 0.6)
    return posture


def _squat(phase: Tensor, size: float, _side: int) -> Posture:
    posture = Posture(len(phase))
    depth = size * (1 - phase.cos()) / 2
    for side in (RIGHT, LEFT):
        posture.legs[side][0], posture.legs[side][2] = 1.1 * depth, 2.1 * depth
        posture.arms[side][0] = posture.arms[side][0] + 1.2 * depth
    posture.height = -_folded(1.1 * depth, 2.1 * depth)
    posture.lean = 0.4 * depth
    return posture


def _jump(phase: Tensor, size: float, side: int) -> Posture:
    low = (-phase.sin()).clamp_min(0)
    posture = _squat(torch.acos((1 - 1.4 * low * size).clamp(-1, 1)), 1.0, side)
    posture.height = posture.height + 0.6 * size * phase.sin().clamp_min(0)
    for arm in (RIGHT, LEFT):
        posture.arms[arm][0] = 0.3 + 1.5 * phase.sin()
    return posture


def _kick(phase: Tensor, size: float, side: int) -> Posture:
    posture = Posture(len(phase))
    posture.legs[side][0] = 1.2 * size * phase.sin().clamp_min(-0.35)
    posture.legs[side][2] = 0.9 * (-phase.sin()).clamp_min(0) + 0.1
    posture.arms[1 - side][0] = posture.arms[1 - side][0] + 0.5 * phase.sin()
    posture.lean = -0.15 * phase.sin()
    return posture


def _bow(phase: Tensor, size: float, _side: int) -> Posture:
    posture = Posture(len(phase))
    posture.lean = 1.1 * size * (1 - phase.cos()) / 2
    return posture


MOTIONS: dict[str, tuple[Motion, float]] = {
    "bow": (_bow, 3.0),
    "clap": (_clap, 9.0),
    "jump": (_jump, 6.0),
    "kick": (_kick, 5.0),
    "run": (_run, 9.0),
    "squat": (_squat, 4.0),
    "walk": (_walk, 6.0),
    "wave": (_wave, 9.0),
}
"""What a figure can do, and its usual speed: the phase in a second, in radians."""

ACTIONS = tuple(MOTIONS)
"""The names of the actions, in the order of their numbers."""


def draw_clips(num_clips: int, generator: torch.Generator) -> list[Example]:
    """Returns clips of all actions in turn: poses laid flat (T, 30), and the action's number.

    Example:
        >>> import torch
        >>> from rondo.tasks.actions.drawn import draw_clips
        >>> clip = draw_clips(8, torch.Generator().manual_seed(0))[3]
        >>> 16 <= len(clip.inputs) <= 48, clip.inputs.shape[1], clip.targets
        (True, 30, tensor(3))
    """
    return [
        Example(draw_clip(ACTIONS[number], generator), torch.tensor(number))
        for number in (place % len(ACTIONS) for place in range(num_clips))
    ]


def drawn_split(split: str) -> list[Example]:
    """Returns the clips of a split, the same at every call."""
    number = TEST_SEED + list(SPLITS).index(split)
    return draw_clips(SPLITS[split], generator_for("stick figures", number))


def draw_clip(action: str, generator: torch.Generator) -> Tensor:
    """Returns one clip of an action, its poses laid flat (T, 30)."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    motion, speed = MOTIONS[action]
    num_frames = int(torch.randint(FRAMES[0], FRAMES[1] + 1, (), generator=generator))
    seconds = torch.arange(num_frames) / FRAME_RATE
    phase = between(0, 2 * math.pi) + speed * between(0.7, 1.4) * seconds
    side = int(torch.randint(2, (), generator=generator))
    posture = motion(phase, between(0.7, 1.15), side)
    limbs = [between(0.85, 1.15) for _ in range(4)]
    figure = _figure(posture, limbs)
    pose = _projected(figure, between(0, 2 * math.pi)) * between(0.85, 1.15)
    pose = pose + torch.tensor([between(-0.5, 0.5), between(-0.2, 0.2)])
    pose = pose + NOISE * torch.randn(pose.shape, generator=generator)
    return pose.flatten(1)


def _figure(posture: Posture, limbs: list[float]) -> Tensor:
    """Returns the joints (T, 15, 3): to the figure's left, up, and forward."""
    trunk_length, arm, leg, width = (
        size * part for size, part in zip((0.6, 0.32, 0.45, 0.18), limbs, strict=True)
    )
    zero = torch.zeros(posture.num_frames)
    hips = torch.stack([zero, posture.height, posture.place], -1)
    up = torch.stack([zero, posture.lean.cos(), posture.lean.sin()], -1)
    across = torch.tensor([1.0, 0, 0])
    neck = hips + trunk_length * up
    joints = {0: neck, 1: hips + 0.4 * trunk_length * up, 2: neck + 0.25 * up}
    for side, sign in ((RIGHT, -1.0), (LEFT, 1.0)):
        shoulder = neck - 0.05 * up + sign * width * across
        hip = hips + sign * 0.55 * width * across
        elbow, wrist = _limb(shoulder, arm, posture.arms[side], sign, bends=1)
        knee, ankle = _limb(hip, leg, posture.legs[side], sign, bends=-1)
        for number, joint in enumerate((shoulder, hip, elbow, knee, wrist, ankle)):
            joints[3 + 2 * number + side] = joint
    return torch.stack([joints[number] for number in range(len(JOINTS))], 1)


def _limb(
    begin: Tensor, length: float, angles: list[Tensor], sign: float, *, bends: int
) -> tuple[Tensor, Tensor]:
    """Returns the middle and the end of a limb; elbows bend forward, knees backward."""
    forward, sideways, bend, tilt = angles
    middle = begin + length * _direction(forward, sideways, sign)
    return middle, middle + length * _direction(forward + bends * bend, sideways + tilt, sign)


def _direction(forward: Tensor, sideways: Tensor, sign: float) -> Tensor:
    down = sideways.cos()
    return torch.stack([sign * sideways.sin(), -down * forward.cos(), down * forward.sin()], -1)


def _folded(thigh: Tensor, knee: Tensor) -> Tensor:
    """Returns how much lower the hips are on bent legs whose feet stay on the ground."""
    return 0.45 * (2 - thigh.cos() - (thigh - knee).cos())


def _projected(figure: Tensor, turn: float) -> Tensor:
    """Returns what is seen of a figure that is turned: (T, 15, 2), y down."""
    x = math.cos(turn) * figure[..., 0] + math.sin(turn) * figure[..., 2]
    return torch.stack([x, -figure[..., 1]], -1)
