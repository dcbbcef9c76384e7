"""How many threads may be asked for."""

from __future__ import annotations

import os


def most_threads() -> int:
    """Returns the number of the machine's processors."""
    return os.cpu_count() or 1


def check_num_threads(number: object) -> int:
    """Returns a number of threads that may be asked for.

    Raises:
        ValueError: If it is no whole number from 1 to that of the machine's processors.

    Example:
        >>> from rondo.system.threads import check_num_threads
        >>> check_num_threads("1"), check_num_threads(1)
        (1, 1)
    """
    most = most_threads()
    text = str(number).strip()
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    if not is_number or not 1 <= int(text) <= most:
        raise ValueError(
            f"the number of threads must be from 1 to {most}, the processors of this machine, "
            f"but is {number if isinstance(number, int) else repr(number)}"
        )
    return int(text)
