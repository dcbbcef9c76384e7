"""Files that are whole or not there at all, however the process ends.

A file is written under another name in the same folder, brought to the disk and renamed, and then
the folder is brought to the disk too. So a process that is killed, or a disk that is full, leaves
the old file or the new one, never a piece. What a killed process leaves is a hidden file that
nothing reads; `remove_parts` clears such files away where nobody else writes.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

PREFIX, ENDING = ".rondo-", ".part"
"""What the names of unfinished files begin and end with."""

DEVICES = ("/dev/", "/proc/")
"""What lies there is written to as it is."""

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors of folders that cannot be brought to the disk, on file systems that have no such thing."""


def write_text(path: Path, text: str) -> None:
    """Writes a file in UTF-8, all of it or nothing.

    Raises:
        OSError: If it cannot be written; it names the file, and what was there stays.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, contents: bytes) -> None:
    """Writes a file, all of it or nothing.

    A link goes on to name the file that it names, and a file that is replaced hands its permissions
    on. Devices and pipes are written to as they are.

    Raises:
        OSError: If it cannot be written; it names the file, and what was there stays.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rondo.system.files import write_bytes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(Path(folder) / "a.txt", b"whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    try:
        if _is_device(path):
            path.write_bytes(contents)
        else:
            _replace(Path(os.path.realpath(path)), contents)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def remove_parts(folder: Path) -> None:
    """Removes the unfinished files in a folder that nobody else writes to."""
    for part in parts_in(folder):
        part.unlink(missing_ok=True)


def parts_in(folder: Path) -> Iterator[Path]:
    """Yields the unfinished files in a folder."""
    yield from folder.glob(f"{PREFIX}*{ENDING}")


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(number)


def _replace(path: Path, contents: bytes) -> None:
    part = path.with_name(f"{PREFIX}{secrets.token_hex(8)}{ENDING}")
    try:
        with part.open("xb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            _check_writable(path)
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def _check_writable(path: Path) -> None:
    """Raises `OSError` for a file that its owner has closed to changes."""
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _is_device(path: Path) -> bool:
    if os.path.abspath(path).startswith(DEVICES):
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()
    except OSError:
        return False
