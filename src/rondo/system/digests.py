"""Files beside which their SHA-256 stands, so that damage is seen when they are read.

Beside `model.safetensors` stands `model.safetensors.sha256`, in the form of `sha256sum`. Two files
cannot be renamed at once, so while a file is replaced the digests of the old and of the new one
both stand there: a process that is killed at any moment leaves a pair that fits.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from rondo.system.files import write_bytes, write_text

LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")

NUM_TRIES = 3
"""How often a file is read that another process may be replacing, before it counts as damaged."""


class DamagedError(ValueError):
    """A file is not the one whose digest stands beside it; the message says what was expected."""


def digest_file(path: Path) -> Path:
    """Returns where the digest of a file stands."""
    return path.with_name(f"{path.name}.sha256")


def write_with_digest(path: Path, contents: bytes) -> None:
    """Writes a file and its digest; one process at a time may do so.

    Raises:
        OSError: If one of them cannot be written; then the old file stays, and its digest fits.
    """
    new = _digest(contents)
    _write_digests(path, [*_digests(path), new])
    write_bytes(path, contents)
    _write_digests(path, [new])


def read_checked(path: Path) -> bytes:
    """Returns what a file holds; one without a digest beside it is not checked.

    Raises:
        OSError: If it cannot be read.
        DamagedError: If it is not the file whose digest stands beside it.
    """
    for _ in range(NUM_TRIES):
        contents = path.read_bytes()
        if not digest_file(path).exists():
            return contents
        found, expected = _digest(contents), _digests(path)
        if found in expected:
            return contents
    wanted = " or ".join(f"{digest[:16]}..." for digest in expected) or "no digest that can be read"
    raise DamagedError(
        f"its SHA-256 is {found[:16]}... ({len(contents)} bytes), and {digest_file(path).name} "
        f"names {wanted}: it was damaged or replaced"
    )


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def _digests(path: Path) -> list[str]:
    """The digests that stand beside a file; none where there is no file of digests."""
    try:
        lines = digest_file(path).read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [match[1] for line in lines if (match := LINE.fullmatch(line))]


def _write_digests(path: Path, digests: list[str]) -> None:
    lines = "".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(digests))
    write_text(digest_file(path), lines)
