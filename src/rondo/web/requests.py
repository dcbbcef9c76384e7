"""What a browser sent becomes checked values, or an error that says what to send instead."""

from __future__ import annotations

import json
from typing import Any

from rondo.cells.named import NAMED_CELLS
from rondo.training.run_error import RunError, look_up
from rondo.training.sequences.session import Options
from rondo.web.cells import MAX_STEPS, STAGES
from rondo.web.live import tasks

RANGES: dict[str, tuple[float, float]] = {
    "length": (1, 300),
    "hidden_size": (1, 128),
    "learning_rate": (1e-5, 1.0),
    "seed": (0, 10**6),
}
"""What a browser may ask of a training, from the least to the greatest value."""


def training_of(contents: bytes) -> tuple[str, Options]:
    """Returns the task and the options that a JSON object asks for.

    Raises:
        RunError: Where it is none, or holds a name or number that it may not.
    """
    try:
        values = json.loads(contents)
    except ValueError as error:
        raise RunError(f"the request must be a JSON object, but is none ({error})") from error
    if not isinstance(values, dict):
        raise RunError(f"the request must be a JSON object, got {type(values).__name__}")
    name = _word(values, "task")
    facts = look_up("task", name, tasks())
    numbers = {key: _number(key, value) for key, value in values.items() if key in RANGES}
    if facts["length"] is None:
        numbers.pop("length", None)
    return name, Options(cell=_word(values, "cell"), **numbers)


def stage_of(name: str, stage: str, steps: str) -> tuple[str, str, int]:
    """Returns the cell, the stage and the number of steps that an address asks for.

    Raises:
        RunError: Where there is no such cell or stage, or the number is out of range.
    """
    look_up("cell", name, NAMED_CELLS)
    look_up("stage", stage, dict.fromkeys(STAGES))
    if not steps.isdecimal() or not 1 <= int(steps) <= MAX_STEPS:
        raise RunError(f"the steps must be a whole number from 1 to {MAX_STEPS}, got {steps!r}")
    return name, stage, int(steps) if stage == "unrolled" else 1


def _word(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise RunError(f"{key} must be a word, got {value!r}")
    return value


def _number(key: str, value: Any) -> Any:
    least, greatest = RANGES[key]
    kinds = (int, float) if key == "learning_rate" else int
    words = key.replace("_", " ")
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or not least <= value <= greatest:
        kind = "a number" if key == "learning_rate" else "a whole number"
        raise RunError(f"the {words} must be {kind} from {least:g} to {greatest:g}, got {value!r}")
    return value
