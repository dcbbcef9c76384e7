"""What a browser sent becomes checked values, or an error that says what to send instead."""

from __future__ import annotations

import json
import reprlib
from typing import Any

from rondo.cells.named import NAMED_CELLS
from rondo.errors import RunError, look_up
from rondo.training.request import Request
from rondo.web.cells import MAX_STEPS, STAGES
from rondo.web.live import tasks

RANGES: dict[str, tuple[float, float]] = {
    "length": (1, 300),
    "hidden_size": (1, 128),
    "learning_rate": (1e-5, 1.0),
    "seed": (0, 10**6),
}
"""What a browser may ask of a training, from the least to the greatest value."""


MAX_DRAWINGS = 10**6
"""How many drawings there are to try."""


WORD_LENGTH = 100
"""How long the name of a task or a cell may be."""


class MalformedError(RunError):
    """A request cannot be read at all."""


def training_of(contents: bytes | bytearray) -> tuple[str, Request]:
    """Returns the task and the request that a JSON object asks for.

    Raises:
        MalformedError: Where it is no object of words and numbers.
        RunError: Where it holds a name or number that it may not.
    """
    values = _flat_object(contents)
    name = _word(values, "task")
    facts = look_up("task", name, tasks())
    numbers = {key: _number(key, value) for key, value in values.items() if key in RANGES}
    if facts["length"] is None:
        numbers.pop("length", None)
    seed = numbers.pop("seed", 0)
    options = {"length": numbers.pop("length")} if "length" in numbers else {}
    return name, Request(options, recipe={"cell": _word(values, "cell"), **numbers}, seed=seed)


def stage_of(name: str, stage: str, steps: str) -> tuple[str, str, int]:
    """Returns the cell, the stage and the number of steps that an address asks for.

    Raises:
        RunError: Where there is no such cell or stage, or the number is out of range.
    """
    look_up("cell", name, NAMED_CELLS)
    look_up("stage", stage, dict.fromkeys(STAGES))
    num_steps = _whole("steps", steps, 1, MAX_STEPS)
    return name, stage, num_steps if stage == "unrolled" else 1


def drawing_of(number: str) -> int:
    """Returns the number of the drawing that an address asks for.

    Raises:
        RunError: Where there is no such drawing.
    """
    return _whole("number of the drawing", number, 0, MAX_DRAWINGS)


def _whole(words: str, text: str, least: int, greatest: int) -> int:
    is_short = text.isdecimal() and len(text) <= len(str(greatest))
    if not is_short or not least <= int(text) <= greatest:
        raise RunError(
            f"the {words} must be a whole number from {least} to {greatest}, "
            f"got {reprlib.repr(text)}"
        )
    return int(text)


def _flat_object(contents: bytes | bytearray) -> dict[str, Any]:
    try:
        values = json.loads(contents)
    except ValueError as error:
        raise MalformedError(f"the request must be a JSON object, but is none ({error})") from error
    except RecursionError as error:
        raise MalformedError("the request must be a JSON object of words and numbers") from error
    if not isinstance(values, dict):
        raise MalformedError(f"the request must be a JSON object, got {type(values).__name__}")
    for key, value in values.items():
        if isinstance(value, (dict, list)):
            found = f"{type(value).__name__} for {reprlib.repr(key)}"
            raise MalformedError(f"the request must hold words and numbers alone, got {found}")
    return values


def _word(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or len(value) > WORD_LENGTH:
        raise RunError(f"{key} must be a word, got {reprlib.repr(value)}")
    return value


def _number(key: str, value: Any) -> Any:
    least, greatest = RANGES[key]
    kinds = (int, float) if key == "learning_rate" else int
    words = key.replace("_", " ")
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    if not is_number or not least <= value <= greatest:
        kind = "a number" if key == "learning_rate" else "a whole number"
        raise RunError(
            f"the {words} must be {kind} from {least:g} to {greatest:g}, got {reprlib.repr(value)}"
        )
    return value
