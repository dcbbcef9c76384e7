"""Ways in which a file can be broken, whatever it should hold."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
"""Whether permissions count for nothing."""


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """The first half alone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """Another byte at every tenth place of the second half."""
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content), 10):
        content[place] ^= 0x5A
    path.write_bytes(content)


def noise(path: Path) -> None:
    path.write_bytes(bytes((7 * n * n + 13) % 256 for n in range(3000)))


def html(path: Path) -> None:
    """What a download leaves that was not allowed."""
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 40)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


def a_circle(path: Path) -> None:
    """Two links that name each other."""
    path.unlink()
    other = path.with_name(f"other-{path.name}")
    path.symlink_to(other)
    other.symlink_to(path)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def forbidden(path: Path) -> None:
    path.chmod(0)


ANYTHING: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (emptied, cut, noise, html, a_folder, gone, a_circle, a_pipe)
}
"""What makes a file useless, whatever it should hold."""


def png_that_claims(path: Path, width: int, height: int) -> None:
    """A small file that says it is a huge picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
