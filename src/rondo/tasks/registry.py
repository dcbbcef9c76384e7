"""The tasks on sequences by name."""

from __future__ import annotations

from collections.abc import Callable

from rondo.tasks.actions.task import actions
from rondo.tasks.captions.task import captions
from rondo.tasks.characters.task import characters
from rondo.tasks.digits_by_row.task import digits_by_row
from rondo.tasks.memory.adding import adding, multiplication
from rondo.tasks.memory.copying import copying
from rondo.tasks.memory.parity import parity
from rondo.tasks.memory.reber import reber
from rondo.tasks.memory.temporal_order import temporal_order_6a, temporal_order_6b
from rondo.tasks.music.task import music
from rondo.tasks.segmentation.task import segmentation
from rondo.tasks.series.task import series
from rondo.tasks.text.task import text
from rondo.training.task import Task

SEQUENCE_TASKS: dict[str, Callable[..., Task]] = {
    "adding": adding,
    "multiplication": multiplication,
    "temporal-order-6a": temporal_order_6a,
    "temporal-order-6b": temporal_order_6b,
    "reber": reber,
    "copy": copying,
    "parity": parity,
    "music": music,
    "characters": characters,
    "digits-by-row": digits_by_row,
    "text": text,
    "actions": actions,
    "segmentation": segmentation,
    "captions": captions,
    "series": series,
}
"""What makes a task of a name."""
