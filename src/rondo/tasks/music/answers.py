"""What a run that predicts music says of pieces: how well it knew them, and what comes next.

In go piano rolls, out come nats a step and the likeliest keys of the step after the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rondo.data.files import file_fault
from rondo.data.given import Unusable, arrays_of, bytes_of, each_file, source_name
from rondo.data.matlab import read_matlab
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.music.definition import MUSIC
from rondo.tasks.music.task import NUM_KEYS
from rondo.training.answers import Given, why_not
from rondo.training.run_folder import read_run

ENDINGS = (".mat", ".npz")
"""How the names of files of piano rolls end."""

NUM_NEXT = 5
"""So many of the likeliest next keys are told."""

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
"""The names of the keys of an octave."""


@dataclass(frozen=True)
class Heard:
    """What the network says of a piece.

    Args:
        source: The file and the piece in it, such as `a.mat#testdata[3]`.
        num_steps: The steps of the piece.
        nats: The negative log likelihood of its keys, in nats a step, the mean over all steps but
            the first, which nothing predicts; None where there is only one, or no piece.
        next_keys: The likeliest keys of the next step, with their probabilities.
        error: Why the piece cannot be read.
    """

    source: str
    num_steps: int = 0
    nats: float | None = None
    next_keys: dict[str, float] = field(default_factory=dict)
    error: str | None = None


class Answers:
    """What `rondo predict` tells of a run that predicts music.

    Args:
        run: The run folder.

    Raises:
        RunError: If the run cannot be used.
    """

    columns = ("source", "num_steps", "nats", "next_keys", "error")
    head = f"{'nats a step':>11} {'steps':>6}  piece: likeliest keys of the next step"
    notes: tuple[str, ...] = ()

    def __init__(self, run: Path) -> None:
        _, self.model, _ = read_run(run, MUSIC, SequenceModel)

    def iterate(self, sources: Sequence[Given]) -> Iterator[Heard]:
        """Yields what the network says of each piece of each file."""
        for file in each_file(sources, ENDINGS, "piano roll"):
            name = source_name(file)
            try:
                pieces = _pieces_of(file)
            except (ValueError, OSError) as error:
                yield Heard(name, error=str(error))
                continue
            for place, values in pieces:
                yield self._heard(f"{name}#{place}", values)

    def line(self, answer: Heard) -> str:
        """Returns nats, steps and next keys, or why there is no answer."""
        if answer.error is not None:
            return f"{'unread':>11} {'-':>6}  {why_not(answer.source, answer.error)}"
        nats = "-" if answer.nats is None else f"{answer.nats:.3f}"
        keys = ", ".join(f"{name} {100 * p:.0f} %" for name, p in answer.next_keys.items())
        return f"{nats:>11} {answer.num_steps:6}  {answer.source}: {keys}"

    def _heard(self, source: str, values: object) -> Heard:
        try:
            roll = roll_of(values)
        except ValueError as error:
            return Heard(source, error=str(error))
        return self.hear(source, roll)

    @torch.no_grad()
    def hear(self, source: str, roll: Tensor) -> Heard:
        """Returns what the network says of a piece (T, 88) of zeros and ones."""
        logits = self.model(roll[None])[0][0].double()
        losses = binary_cross_entropy_with_logits(
            logits[:-1], roll[1:].double(), reduction="none"
        ).sum(-1)
        chances, keys = logits[-1].sigmoid().topk(NUM_NEXT)
        names = [key_name(key) for key in keys.tolist()]
        return Heard(
            source,
            len(roll),
            float(losses.mean()) if len(losses) else None,
            dict(zip(names, chances.tolist(), strict=True)),
        )


def key_name(number: int) -> str:
    """Returns the name of a key of a piano, counted from 0.

    Example:
        >>> from rondo.tasks.music.answers import key_name
        >>> key_name(0), key_name(39), key_name(87)
        ('A0', 'C4', 'C8')
    """
    octave, key = divmod(number + 9, 12)
    return f"{NAMES[key]}{octave}"


def roll_of(values: object) -> Tensor:
    """Returns a piece (T, 88) of float32.

    Raises:
        ValueError: Where it is none.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != NUM_KEYS or len(array) < 1:
        raise ValueError(f"a piece must be (T, {NUM_KEYS}) of a step or more, got {array.shape}")
    if not (array.dtype.kind in "buif" and bool(np.isin(array, (0, 1)).all())):
        raise ValueError("a piece must hold zeros and ones alone: 1 where a key sounds")
    return torch.tensor(array.astype(np.float32))


def _pieces_of(file: Path | BinaryIO | Unusable) -> list[tuple[str, Any]]:
    """The pieces of a file, with their places in it."""
    if isinstance(file, Unusable):
        raise ValueError(file.error)
    found: list[tuple[str, Any]] = []
    for name, values in _variables(file).items():
        if values.dtype == object or values.ndim == 3:
            pieces = values.ravel() if values.dtype == object else values
            found += [(f"{name}[{number}]", piece) for number, piece in enumerate(pieces)]
        else:
            found.append((name, values))
    if not found:
        raise ValueError(f"it holds no piece; give arrays (T, {NUM_KEYS}) of zeros and ones")
    return found


def _variables(file: Path | BinaryIO) -> dict[str, np.ndarray]:
    """The arrays of a file by name."""
    if isinstance(file, Path) and file.suffix.lower() == ".mat":
        fault = file_fault(file)
        if fault is not None:
            raise ValueError(fault)
        values = read_matlab(file)
        return {name: np.asarray(value) for name, value in values.items() if name[:2] != "__"}
    return arrays_of(bytes_of(file))
