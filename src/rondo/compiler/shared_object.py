"""Whether a file is a whole library.

Loading a file that was cut short ends the process where it reads beyond the end; so the file is
looked at before.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

LOADED = 1
"""The type of a part of an ELF file that is loaded."""


def is_whole(path: Path) -> bool:
    """Whether a file is a library with all its parts; on systems without ELF, whether it has any.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile() as file:
        ...     is_whole(Path(file.name))
        False
    """
    content = path.read_bytes()
    if not sys.platform.startswith("linux"):
        return bool(content)
    try:
        return _has_all_parts(content)
    except struct.error:
        return False


def _has_all_parts(content: bytes) -> bool:
    if content[:4] != b"\x7fELF":
        return False
    is_64, order = content[4] == 2, "<" if content[5] == 1 else ">"
    (first,) = struct.unpack_from(f"{order}{'Q' if is_64 else 'I'}", content, 32 if is_64 else 28)
    size, count = struct.unpack_from(f"{order}HH", content, 54 if is_64 else 42)
    layout, offset, length = ("IIQQQQQQ", 2, 5) if is_64 else ("IIIIIIII", 1, 4)
    parts = [
        struct.unpack_from(f"{order}{layout}", content, first + number * size)
        for number in range(count)
    ]
    loaded = [part for part in parts if part[0] == LOADED]
    return bool(loaded) and all(part[offset] + part[length] <= len(content) for part in loaded)
