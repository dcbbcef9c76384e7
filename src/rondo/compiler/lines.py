"""Where the user's own code is on the way to a call: for messages that name a line."""

from __future__ import annotations

import os
import sys
import threading
from functools import lru_cache
from types import CodeType, FrameType

import torch

OURS = tuple(
    os.path.join(os.path.dirname(path), "") for path in (torch.__file__, os.path.dirname(__file__))
)
"""The folders of torch and Rondo."""

PYTHON = os.path.join(os.path.dirname(threading.__file__), "")
"""The folder of Python's own library."""

BOUNDARY = "run_recorded"
"""The function of Rondo's within which the user's step runs while it is recorded."""


@lru_cache(maxsize=4096)
def is_users(code: CodeType) -> bool:
    """Whether code was written by the user: it lies outside torch, Rondo and Python's library."""
    name = code.co_filename
    in_python = name.startswith(PYTHON) and "site-packages" not in name
    return not name.startswith(OURS) and not in_python and not name.startswith("<frozen")


def line_of_user() -> str | None:
    """The innermost line of the user's step that leads here, as "cells.py:12"."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code):
        if frame.f_code.co_name == BOUNDARY:
            return None
        frame = frame.f_back
    if frame is None:
        return None
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def stack_level_of_user() -> int:
    """What `warnings.warn(stacklevel=...)` needs, in the caller, to point at the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and not is_users(frame.f_code):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level if frame is not None else 1
