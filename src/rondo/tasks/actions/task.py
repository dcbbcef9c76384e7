"""Actions: which of some things a person does, from poses, signals of motion, or a video.

A clip is a sequence of frames of ragged length; after its last frame the network names the class.
The data are stick figures that the program draws, or a folder: of npz files with poses or signals
(`rondo.tasks.actions.files`), or of KTH's videos (`rondo.tasks.actions.kth`).

Baccouche et al., "Sequential deep learning for human action recognition", 2011, and many after them
classify actions by recurrent layers over features of frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rondo.data.sources import Collection, Example, together
from rondo.tasks.actions.augment import augmented
from rondo.tasks.actions.clips import ActionSet
from rondo.tasks.actions.definition import RECIPES
from rondo.tasks.actions.drawn import JOINTS, drawn_split
from rondo.tasks.actions.files import read_action_files
from rondo.tasks.actions.kth import LIST, read_kth
from rondo.tasks.actions.motions import ACTIONS
from rondo.tasks.shows import show_classes
from rondo.training.task import Task, is_likeliest

LAGS = {"poses": (1, 4), "signals": (1,), "video": (1,)}
"""The steps over which differences are taken."""

FITTED_TOGETHER = 100
"""Clips from which mean and deviation of features are taken."""


def actions(data: str | None = None, bidirectional: bool = False) -> Task:
    """The task on drawn stick figures, or on the clips of a folder.

    Args:
        data: The folder; default drawn stick figures.
        bidirectional: Whether the network also reads from the last frame to the first; such a
            network cannot answer while frames still come.

    Raises:
        ValueError: Where the folder holds no such clips, or they hold something else.
        OSError: Where something cannot be read.
        ModuleNotFoundError: Where it holds videos and PyAV is not installed.

    Example:
        >>> from rondo.tasks.actions.task import actions
        >>> task = actions()
        >>> task.classes
        ('bow', 'clap', 'jump', 'kick', 'run', 'squat', 'walk', 'wave')
        >>> batch = task.source.training_batch(seed=0, step=0, batch_size=4)
        >>> batch.inputs.shape[2], batch.targets.shape, batch.lengths.shape
        (30, torch.Size([4]), torch.Size([4]))
    """
    found = drawn_actions() if data is None else read_actions(Path(data))
    recipe_name = "drawn" if data is None else found.kind
    arguments: dict[str, Any] = {
        "frames": found.kind,
        "frame_shape": list(found.shape),
        "lags": list(LAGS[found.kind]),
        "bidirectional": bidirectional,
    }
    return Task(
        name="actions",
        source=Collection(
            found.train,
            found.val,
            found.test,
            partial(augmented, kind=found.kind, shape=found.shape),
        ),
        input_size=math.prod(found.shape),
        output_size=len(found.classes),
        distance="cross_entropy",
        recipe=RECIPES[recipe_name],
        recipe_name=recipe_name,
        final=True,
        right=is_likeliest,
        unit="nats",
        show=show_classes(found.classes, is_picture=True),
        may_be_shown=found.kind != "video",
        classes=found.classes,
        model="action_model",
        model_arguments=arguments,
        prepare=partial(_fit_input, clips=found.train),
        notes=found.notes,
        num_skipped=found.num_skipped,
    )


def drawn_actions() -> ActionSet:
    """Returns the drawn clips, the same at every call."""
    train, val, test = (drawn_split(split) for split in ("train", "val", "test"))
    return ActionSet("poses", (len(JOINTS), 2), ACTIONS, train, val, test)


def read_actions(folder: Path) -> ActionSet:
    """Returns the clips of a folder.

    Raises:
        ValueError: Where it holds no clips that can be used.
        OSError: Where something cannot be read.
        ModuleNotFoundError: Where it holds videos and PyAV is not installed.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"{folder} {what}; actions need a folder of npz files or of KTH's videos")
    found = read_kth(folder) if (folder / LIST).is_file() else read_action_files(folder)
    found.check()
    return found


def _fit_input(model: Any, *, clips: Sequence[Example]) -> None:
    """Has an `ActionModel` take from training clips what its features need."""
    stride = -(-len(clips) // FITTED_TOGETHER)
    batch = together(clips[::stride])
    model.fit_input(batch.inputs, batch.lengths)
