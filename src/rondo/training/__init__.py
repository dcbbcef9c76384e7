"""Training: what a run is made of, its folder, and the tools to train a network.

Reads a `RunConfig`, leaves a `RunFolder`. Nothing here is imported by `import rondo`; the names
below need torch alone, and are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rondo.moved import find_former_places

if TYPE_CHECKING:
    from rondo.data.buckets import LengthBuckets, pad_batch
    from rondo.looks.flow import GradientFlow, gradient_flow
    from rondo.training.objective import Objective
    from rondo.training.truncated import Window, detached, tbptt

find_former_places()

__all__ = [
    "GradientFlow",
    "LengthBuckets",
    "Objective",
    "Window",
    "detached",
    "gradient_flow",
    "pad_batch",
    "tbptt",
]

_PLACES = {
    "GradientFlow": "rondo.looks.flow",
    "LengthBuckets": "rondo.data.buckets",
    "Objective": "rondo.training.objective",
    "Window": "rondo.training.truncated",
    "detached": "rondo.training.truncated",
    "gradient_flow": "rondo.looks.flow",
    "pad_batch": "rondo.data.buckets",
    "tbptt": "rondo.training.truncated",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'rondo.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
