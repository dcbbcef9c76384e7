"""Stick figures that move: the drawn actions, for which no file is needed.

A figure of 15 joints stands in space, turned by some angle, and does one of eight things. Its
limbs have drawn lengths, its motion a drawn speed, size and moment to begin with; each clip is its
projection on the picture, with some noise: poses (T, 15, 2), x to the right and y down, the figure
about two units tall, 16 to 48 frames. The joints stand in the order of JHMDB (Jhuang et al., 2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.data.lazy import Lazy
from rondo.data.seeds import generator_for
from rondo.data.sources import TEST_SEED, Example
from rondo.tasks.actions.motions import ACTIONS, LEFT, MOTIONS, RIGHT, Posture

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


@dataclass(frozen=True, eq=False)
class Figure:
    """What is drawn by chance of a clip.

    Args:
        action: What the figure does.
        num_frames: T.
        begin: The phase of the first frame.
        pace: The speed, as a part of the usual one.
        side: The side of what one arm or leg does.
        size: How far it moves.
        limbs: The lengths of trunk, arms and legs and the width, as parts of the usual ones.
        turn: The angle from which it is seen.
        scale: How large it is in the picture.
        shift: How far it lies to the right and down.
        noise: (T, 15, 2), of deviation 1.
    """

    action: str
    num_frames: int
    begin: float
    pace: float
    side: int
    size: float
    limbs: list[float]
    turn: float
    scale: float
    shift: list[float]
    noise: Tensor

    def poses(self) -> Tensor:
        """The poses, laid flat (T, 30)."""
        motion, speed = MOTIONS[self.action]
        seconds = torch.arange(self.num_frames) / FRAME_RATE
        posture = motion(self.begin + speed * self.pace * seconds, self.size, self.side)
        pose = _projected(_figure(posture, self.limbs), self.turn) * self.scale
        pose = pose + torch.tensor(self.shift)
        return (pose + NOISE * self.noise).flatten(1)

    def example(self) -> Example:
        """The poses with the number of the action."""
        return Example(self.poses(), torch.tensor(ACTIONS.index(self.action)))


def draw_clips(num_clips: int, generator: torch.Generator) -> list[Example]:
    """Returns clips of all actions in turn: poses laid flat (T, 30), and the action's number.

    Example:
        >>> import torch
        >>> from rondo.tasks.actions.drawn import draw_clips
        >>> clip = draw_clips(8, torch.Generator().manual_seed(0))[3]
        >>> 16 <= len(clip.inputs) <= 48, clip.inputs.shape[1], clip.targets
        (True, 30, tensor(3))
    """
    return [figure.example() for figure in draw_figures(num_clips, generator)]


def draw_figures(num_clips: int, generator: torch.Generator) -> list[Figure]:
    """Draws what clips of all actions in turn are to be."""
    return [draw_figure(ACTIONS[place % len(ACTIONS)], generator) for place in range(num_clips)]


def drawn_split(split: str) -> Sequence[Example]:
    """Returns the clips of a split, the same at every call; each is made when it is asked for."""
    number = TEST_SEED + list(SPLITS).index(split)
    return Lazy(
        SPLITS[split],
        lambda: draw_figures(SPLITS[split], generator_for("stick figures", number)),
        Figure.example,
    )


def draw_clip(action: str, generator: torch.Generator) -> Tensor:
    """Returns one clip of an action, its poses laid flat (T, 30)."""
    return draw_figure(action, generator).poses()


def draw_figure(action: str, generator: torch.Generator) -> Figure:
    """Draws what one clip of an action is to be."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    num_frames = int(torch.randint(FRAMES[0], FRAMES[1] + 1, (), generator=generator))
    return Figure(
        action,
        num_frames,
        begin=between(0, 2 * math.pi),
        pace=between(0.7, 1.4),
        side=int(torch.randint(2, (), generator=generator)),
        size=between(0.7, 1.15),
        limbs=[between(0.85, 1.15) for _ in range(4)],
        turn=between(0, 2 * math.pi),
        scale=between(0.85, 1.15),
        shift=[between(-0.5, 0.5), between(-0.2, 0.2)],
        noise=torch.randn(num_frames, len(JOINTS), 2, generator=generator),
    )


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


def _projected(figure: Tensor, turn: float) -> Tensor:
    """Returns what is seen of a figure that is turned: (T, 15, 2), y down."""
    x = math.cos(turn) * figure[..., 0] + math.sin(turn) * figure[..., 2]
    return torch.stack([x, -figure[..., 1]], -1)
