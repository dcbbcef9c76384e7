"""What stick figures do: the postures of a figure over time, for each of eight actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

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


def _folded(thigh: Tensor, knee: Tensor) -> Tensor:
    """Returns how much lower the hips are on bent legs whose feet stay on the ground."""
    return 0.45 * (2 - thigh.cos() - (thigh - knee).cos())
