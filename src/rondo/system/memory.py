"""Whether an error means that there is not enough memory, whoever raised it."""

from __future__ import annotations

import errno

WORDS = (
    "bad_alloc",
    "can't allocate memory",
    "cannot allocate memory",
    "can't start new thread",  # its stack finds no place
    "could not create a primitive",  # oneDNN says no more
    "failed to map segment",  # a library finds no place
    "out of memory",
    "unable to allocate",
)
"""What such errors say that are not Python's own."""


def is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, means that there is not enough memory.

    Example:
        >>> from rondo.system.memory import is_lack_of_memory
        >>> is_lack_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
        >>> is_lack_of_memory(RuntimeError("the sizes do not fit"))
        False
    """
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if any(words in str(error).lower() for words in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
