"""Whether a path that a user gave is a file that can be opened, and if not, why."""

from __future__ import annotations

import os
import stat

FOLDER = "is a folder"
"""The fault of a path that is a folder, whatever its name ends in."""

MISSING = "the file is missing"
"""The fault of a path where nothing is."""


def file_fault(path: str | os.PathLike[str]) -> str | None:
    """Returns why a path is no regular file, None where it is one.

    Pipes and devices are refused: to open them may wait for ever. It raises nothing.

    Example:
        >>> from rondo.data.files import file_fault
        >>> file_fault("/")
        'is a folder'
        >>> file_fault("/no/such/file")
        'the file is missing'
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return FOLDER
    return None if stat.S_ISREG(mode) else "is no regular file"
