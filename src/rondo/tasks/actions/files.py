"""Poses and signals with their actions, from npz files; nothing in them is unpickled.

A file of poses holds

    pose    (sum of T, J, D)  the joints of all clips, one clip after another
    length  (N,)              the frames of each clip
    label   (N,)              words or whole numbers

and one of signals

    x       (N, T, C)         channels over time
    length  (N,)              the steps of each, if they are not all T
    y       (N,)              words or whole numbers

`y` and `label` may stand for each other. A folder has one file with `train` in its name, one with
`test`, and perhaps one with `val`; without it the last fifth of each class of the training file is
held out. `classes.csv`, with the columns `id` and `name`, names whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondo.data.label_tables import MISFIT, table_rows
from rondo.data.sources import Example
from rondo.tasks.actions.clips import ActionSet, hold_out


@dataclass(frozen=True)
class Clips:
    """The clips of a file.

    Args:
        path: The file.
        kind: "poses" or "signals".
        shape: The shape of a frame.
        frames: The clips, frames laid flat (T, F).
        labels: What stands beside each, as words or whole numbers; None where nothing does.
    """

    path: Path
    kind: str
    shape: tuple[int, ...]
    frames: list[Tensor]
    labels: list[str | int] | None


def read_action_files(folder: Path) -> ActionSet:
    """Returns the clips of a folder of npz files.

    Raises:
        ValueError: Where there are no such files, or they hold something else.
        OSError: Where one cannot be read.
    """
    found = {split: _file(folder, split) for split in ("train", "val", "test")}
    for split in ("train", "test"):
        if found[split] is None:
            raise ValueError(
                f"{folder} has no file *{split}*.npz and no 00sequences.txt; actions need a folder "
                "of poses or signals (train and test npz) or of KTH's videos"
            )
    for path in set(found.values()):
        of_path = [split for split, one in found.items() if one == path]
        if path is not None and len(of_path) > 1:
            raise ValueError(
                f"{path} must be for one split, but is named for {' and '.join(of_path)}"
            )
    clips = {split: read_clips(path) for split, path in found.items() if path is not None}
    classes = _classes(clips["train"])
    for one in clips.values():
        _check_like(one, clips["train"])
    names = _names(folder / "classes.csv")
    examples = {split: _examples(one, classes) for split, one in clips.items()}
    words = tuple(names.get(str(value), str(value)) for value in classes)
    train, val = examples["train"], examples.get("val")
    if val is None:
        train, val = hold_out(train, words)
    kind, shape = clips["train"].kind, clips["train"].shape
    return ActionSet(kind, shape, words, train, val, examples["test"])


def read_clips(path: Path) -> Clips:
    """Returns the clips of an npz file.

    Raises:
        ValueError: Where it holds something else.
        OSError: Where it cannot be read.
    """
    values = _read(path)
    if "pose" in values:
        kind, frames = "poses", _poses(path, values)
    elif "x" in values:
        kind, frames = "signals", _signals(path, values)
    else:
        held = ", ".join(values) or "nothing"
        raise ValueError(f"{path} must hold `pose` and `length`, or `x`, but holds {held}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is told of
        small = [clip.astype(np.float32) for clip in frames]
    for number, clip in enumerate(small):
        _check_numbers(path, number, clip)
    return Clips(
        path,
        kind,
        tuple(frames[0].shape[1:]),
        [torch.from_numpy(clip).flatten(1) for clip in small],
        _labels(path, values, len(frames)),
    )


def _read(path: Path) -> dict[str, Any]:
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe may wait for ever
        raise ValueError(f"{path} is no regular file; poses and signals are read from npz files")
    with path.open("rb") as stream:
        try:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise ValueError("it holds one array without a name")
            return {name: file[name] for name in file.files}
        except Exception as error:  # numpy and zipfile may raise anything at all on damaged bytes
            what = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"{path} is no npz file that can be read: {what}") from error


def _poses(path: Path, values: dict[str, Any]) -> list[np.ndarray]:
    pose, lengths = values["pose"], values.get("length")
    if pose.ndim != 3 or pose.dtype.kind not in "fiu" or 0 in pose.shape[1:]:
        raise ValueError(
            f"{path}: `pose` must be numbers (sum of T, J, D), got {pose.dtype} {pose.shape}"
        )
    if lengths is None:
        raise ValueError(f"{path} has `pose` but no `length`, the frames of each clip")
    lengths = _lengths(path, lengths, len(pose))
    if int(lengths.sum()) != len(pose):
        raise ValueError(
            f"{path}: `length` sums to {int(lengths.sum())}, but `pose` has {len(pose)} frames"
        )
    return np.split(pose, lengths.cumsum()[:-1])


def _signals(path: Path, values: dict[str, Any]) -> list[np.ndarray]:
    x = values["x"]
    if x.ndim != 3 or x.dtype.kind not in "fiu" or 0 in x.shape:
        raise ValueError(f"{path}: `x` must be numbers (N, T, C), got {x.dtype} {x.shape}")
    if "length" not in values:
        return list(x)
    lengths = _lengths(path, values["length"], x.shape[1])
    if len(lengths) != len(x):
        raise ValueError(f"{path}: `length` has {len(lengths)} numbers for {len(x)} clips")
    return [clip[:length] for clip, length in zip(x, lengths, strict=True)]


def _lengths(path: Path, lengths: np.ndarray, most: int | None) -> np.ndarray:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths):
        raise ValueError(
            f"{path}: `length` must be a whole number for each clip, got {lengths.dtype} "
            f"{lengths.shape}"
        )
    for number, length in enumerate(lengths.tolist()):
        if length < 1:
            raise ValueError(f"{path}: clip {number} has {length} frames; leave it out")
    for number, length in enumerate(lengths.tolist()):
        if most is not None and length > most:
            raise ValueError(f"{path}: clip {number} has {length} steps, but there are {most}")
    return lengths.astype(np.int64)


def _check_numbers(path: Path, number: int, clip: np.ndarray) -> None:
    is_bad = ~np.isfinite(clip.reshape(len(clip), -1)).all(1)
    if is_bad.any():
        raise ValueError(
            f"{path}: clip {number} has a number that is NaN or infinite in frame "
            f"{int(is_bad.argmax())}; mend it, or leave the clip out (numbers "
            "are kept in float32)"
        )


def _labels(path: Path, values: dict[str, Any], num_clips: int) -> list[str | int] | None:
    labels = values.get("label", values.get("y"))
    if labels is None:
        return None
    if labels.shape != (num_clips,) or labels.dtype.kind not in "iuU":
        raise ValueError(
            f"{path}: labels must be a word or whole number for each of {num_clips} clips, got "
            f"{labels.dtype} {labels.shape}"
        )
    return labels.tolist()


def _file(folder: Path, split: str) -> Path | None:
    """Returns the npz file of a split, None where there is none."""
    found = sorted(path for path in folder.glob("*.npz") if split in path.stem)
    if len(found) > 1:
        words = " and ".join(path.name for path in found[:2])
        raise ValueError(f"{folder} has {words}, and one file of them must be for {split}")
    return found[0] if found else None


def _classes(train: Clips) -> list[str | int]:
    """Returns the labels that occur, in order."""
    if train.labels is None:
        raise ValueError(f"{train.path} has no `label` and no `y`; training needs labels")
    return sorted(set(train.labels))


def _check_like(clips: Clips, train: Clips) -> None:
    if (clips.kind, clips.shape) != (train.kind, train.shape):
        raise ValueError(
            f"{clips.path} holds {clips.kind} of shape {clips.shape}, but {train.path.name} "
            f"{train.kind} of shape {train.shape}"
        )


def _examples(clips: Clips, classes: Sequence[str | int]) -> list[Example]:
    """Returns the clips with the numbers of their classes."""
    if clips.labels is None:
        raise ValueError(f"{clips.path} has no `label` and no `y`, so nothing can be measured")
    numbers = {value: number for number, value in enumerate(classes)}
    for value in clips.labels:
        if value not in numbers:
            raise ValueError(f"{clips.path} has the label {value!r}, which no training clip has")
    return [
        Example(frames, torch.tensor(numbers[value]))
        for frames, value in zip(clips.frames, clips.labels, strict=True)
    ]


def _names(path: Path) -> dict[str, str]:
    """Returns the names of numbered classes, by number; nothing where there is no such file."""
    if not path.is_file():
        return {}
    names = {}
    for line, row in table_rows(path, ("id", "name"), ()):
        if not row:
            raise ValueError(f"{path}, line {line}: {MISFIT}")
        number, name = row["id"].strip(), row["name"].strip()
        if not number or not name:
            raise ValueError(f"{path}, line {line}: an id and a name are needed")
        if number in names:
            raise ValueError(f"{path}, line {line}: the id {number} was named before")
        names[number] = name
    return names
