"""The name of a cell becomes its drawings, its plan and its kernel."""

from __future__ import annotations

import inspect
import re
from functools import cache, lru_cache

import rondo
from rondo.cells.named import NAMED_CELLS
from rondo.errors import RunError

INPUT_SIZE, HIDDEN_SIZE = 3, 4
"""The sizes of the cells that are shown."""

MAX_STEPS = 8
"""To how many steps a cell is unrolled at most."""

STAGES = ("graph", "unrolled", "plan", "backward", "source")
"""What can be shown of a cell: drawings as SVG, and the source of the kernel as text."""


@lru_cache(maxsize=256)
def shown(name: str, stage: str, steps: int) -> str:
    """Returns a stage of a cell: SVG, or text for the stage "source".

    Args:
        name: A name in `NAMED_CELLS`.
        stage: One of `STAGES`.
        steps: The number of steps of the stage "unrolled".

    Example:
        >>> from rondo.web.cells import shown
        >>> shown("tanh", "unrolled", 3)[:4]
        '<svg'

    Raises:
        RunError: If there is no kernel to show, as where no compiler is; it says why.
    """
    layer = layer_of(name)
    if stage == "source":
        try:
            return layer.source
        except ValueError as error:
            raise RunError(f"the source of {name} cannot be shown: {error}") from error
    if stage == "unrolled":
        return layer.draw(steps=steps).svg
    if stage == "graph":
        return layer.draw().svg
    return (layer.plan if stage == "plan" else layer.backward_plan).draw().svg


@cache
def layer_of(name: str) -> rondo.Recurrent:
    """Returns a layer of a named cell, with small sizes."""
    return rondo.Recurrent(NAMED_CELLS[name](INPUT_SIZE, HIDDEN_SIZE))


def equations(name: str) -> str:
    """Returns what the docstring of a cell says of it before its arguments.

    Example:
        >>> from rondo.web.cells import equations
        >>> equations("gru").splitlines()[0]
        "The gated recurrent unit, by default in torch's form: the reset gate after the product."
    """
    text = inspect.getdoc(type(layer_of(name).cell)) or ""
    before = re.split(r"\n(?:Args|Shape|Example|Raises):", text)[0]
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", before).replace("`", "").strip()
