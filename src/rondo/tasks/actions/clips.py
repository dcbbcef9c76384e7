"""The clips of actions with their classes and splits, and how clips are held out of the training.

A clip is an :class:`rondo.data.sources.Example`: frames laid flat (T, F), and the number of its
class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rondo.data.sources import Example

HELD_OUT = 5
"""Where no clips for validation are given, one of so many training clips is held out."""


@dataclass(frozen=True)
class ActionSet:
    """Clips of actions.

    Args:
        kind: What a frame is: "poses", "signals" or "video".
        shape: The shape of a frame: (J, D), (C,) or (H, W).
        classes: The names of the actions.
        train: The clips for training.
        val: The clips of the checks.
        test: The clips of the test.
        notes: What was left out, and why, for the user.
        num_skipped: How many clips or files that is.
    """

    kind: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    train: Sequence[Example]
    val: Sequence[Example]
    test: Sequence[Example]
    notes: tuple[str, ...] = ()
    num_skipped: int = 0

    def check(self) -> None:
        """Raises `ValueError` where nothing could be learnt or measured."""
        if len(self.classes) < 2:
            raise ValueError(f"actions need two classes or more, got {', '.join(self.classes)}")
        occurring = {int(clip.targets) for clip in self.train}
        if len(occurring) == 1:
            raise ValueError(
                f"all training clips are of the class {self.classes[occurring.pop()]}; two classes "
                "or more are needed"
            )
        for name, clips in (("train", self.train), ("val", self.val), ("test", self.test)):
            if not clips:
                raise ValueError(f"there is no clip for the split {name}")


def hold_out(clips: Sequence[Example], names: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """Returns clips for training and for validation: the last fifth of the clips of each class.

    Neighbours in a file often come from the same recording; so what is held out is not a drawn
    fifth but a piece of the file.

    Raises:
        ValueError: Where a class has one clip alone.
    """
    train: list[Example] = []
    val: list[Example] = []
    for number, name in enumerate(names):
        of_class = [clip for clip in clips if int(clip.targets) == number]
        if len(of_class) < 2:
            raise ValueError(
                f"the class {name!r} has {len(of_class)} training clip; each needs two or more, "
                "since some are held out for validation"
            )
        num_held = max(1, len(of_class) // HELD_OUT)
        train += of_class[:-num_held]
        val += of_class[-num_held:]
    return train, val
