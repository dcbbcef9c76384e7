"""Music: predict from all notes so far which notes sound in the next step.

A piece is a piano roll: at each step 88 zeros and ones, the keys from A0 to C8. From x(1) ... x(t)
the network gives the probability of each key at t + 1; what is minimised, and reported, is the
negative log likelihood of the keys that did sound,

    -Σ_k (x_k(t+1) log p_k + (1 - x_k(t+1)) log (1 - p_k)), in nats a step,

its mean taken over all predicted steps of all pieces, so that long pieces count more. The first
step of a piece is not predicted.

Boulanger-Lewandowski et al., "Modeling temporal dependencies in high-dimensional sequences",
2012, published the pieces with their splits; Chung et al., "Empirical evaluation of gated
recurrent neural networks on sequence modeling", 2014, measured cells on them with rolls of 93 to
108 notes. The files read here are the rolls of 88 keys (JSB_Chorales.mat, Nottingham.mat,
MuseData.mat, Piano_midi.mat) that Bai et al., 2018, use; figures are comparable, not the same.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.files import file_fault
from rondo.data.matlab import read_matlab
from rondo.data.sources import Collection, Example
from rondo.tasks.music.definition import RECIPE
from rondo.tasks.shows import grey_picture, steps_words
from rondo.training.task import Shown, Task

NUM_KEYS = 88
"""The keys of a piano."""

SPLITS = {"train": "traindata", "val": "validdata", "test": "testdata"}
"""The name of each split in the file."""


def music(data: str, transpose: int = 0) -> Task:
    """The task on the pieces of a file.

    Args:
        data: A file of MATLAB with the cells `traindata`, `validdata` and `testdata`.
        transpose: Each training piece is moved up or down by a number of semitones, drawn from
            -transpose to transpose for every batch; 0 leaves them as they are.

    Raises:
        ValueError: Where the file holds something else.
        OSError: Where it cannot be read.
    """
    if not 0 <= transpose < NUM_KEYS // 2:
        raise ValueError(f"transpose must be 0 to {NUM_KEYS // 2 - 1} semitones, got {transpose}")
    pieces = read_rolls(Path(data))
    train, val, test = ([predicted(roll) for roll in pieces[name]] for name in SPLITS)
    augment = partial(transposed, semitones=transpose) if transpose else None
    return Task(
        name="music",
        source=Collection(train, val, test, augment),
        input_size=NUM_KEYS,
        output_size=NUM_KEYS,
        distance="binary_cross_entropy",
        recipe=RECIPE,
        unit="nats a step",
        show=_show,
    )


def _show(outputs: Tensor, batch: Batch, row: int) -> Shown:
    """The keys that sounded, above those that were expected, high notes at the top."""
    steps = len(outputs[row]) if batch.lengths is None else int(batch.lengths[row])
    sounded, expected = batch.targets[row, :steps], outputs[row, :steps].sigmoid()
    picture = torch.cat([sounded.T.flip(0), torch.ones(2, steps), expected.T.flip(0)])
    keys = f"{float(sounded.sum()) / steps:.1f} keys a step"
    return Shown(
        keys, f"{float(expected.sum()) / steps:.1f} keys a step expected",
        f"{steps_words(batch, row)}: what sounded, and what was expected", grey_picture(picture),
    )  # fmt: skip


def read_rolls(path: Path) -> dict[str, list[Tensor]]:
    """Returns the rolls (T, 88) of uint8 of each split.

    Raises:
        ValueError: Where the file holds something else.
        OSError: Where it cannot be read.
    """
    fault = file_fault(path)
    if fault is not None:
        raise ValueError(f"{path}: {fault}; music needs a .mat file of piano rolls")
    values = read_matlab(path)
    absent = [key for key in SPLITS.values() if key not in values]
    if absent:
        raise ValueError(f"{path} has no {', '.join(absent)}, so it holds no piano rolls")
    return {name: _rolls(path, key, values[key]) for name, key in SPLITS.items()}


def predicted(roll: Tensor) -> Example:
    """Returns a piece as what is heard and what comes next."""
    return Example(roll[:-1], roll[1:])


def transposed(example: Example, generator: torch.Generator, *, semitones: int) -> Example:
    """Returns a piece moved by a drawn interval; notes never leave the keyboard."""
    used = torch.cat([example.inputs[:1], example.targets]).any(0).nonzero().flatten()
    low, high = (int(used[0]), int(used[-1])) if len(used) else (0, NUM_KEYS - 1)
    least, most = max(-semitones, -low), min(semitones, NUM_KEYS - 1 - high)
    shift = int(torch.randint(least, most + 1, (), generator=generator))
    return Example(example.inputs.roll(shift, 1), example.targets.roll(shift, 1))


def _rolls(path: Path, key: str, cells: Any) -> list[Tensor]:
    """The pieces of a split."""
    if not isinstance(cells, np.ndarray) or cells.dtype != object or not cells.size:
        raise ValueError(f"{path}: {key} must be a cell array of one piece or more")
    return [_roll(path, f"{key}, piece {n}", piece) for n, piece in enumerate(cells.flat)]


def _roll(path: Path, where: str, piece: Any) -> Tensor:
    if not isinstance(piece, np.ndarray) or piece.dtype.kind not in "buif":
        raise ValueError(f"{path}: {where} must be an array of numbers (T, {NUM_KEYS})")
    if piece.ndim != 2 or piece.shape[1] != NUM_KEYS or len(piece) < 2:
        raise ValueError(
            f"{path}: {where} must be (T, {NUM_KEYS}) of two steps or more, got {piece.shape}"
        )
    is_note = (piece == 0) | (piece == 1)
    if not is_note.all():
        raise ValueError(
            f"{path}: {where} must hold zeros and ones, the keys that sound, but has "
            f"{piece[~is_note][0]}"
        )
    return torch.from_numpy(piece.astype(np.uint8))
