"""JSON that every program can read: numbers that are not finite become null."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any


def json_text(value: Any, indent: int | None = None) -> str:
    """Returns a value as JSON.

    Example:
        >>> from rondo.system.json_text import json_text
        >>> json_text({"loss": float("nan"), "steps": [1, float("inf")]})
        '{"loss": null, "steps": [1, null]}'
    """
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def dataclass_text(values: Any) -> str:
    """Returns the text of a file, such as `config.json`, of values that are a dataclass."""
    return json_text(asdict(values), indent=2) + "\n"


def finite(value: Any) -> Any:
    """Returns a value of dictionaries, lists and numbers, those not finite replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
