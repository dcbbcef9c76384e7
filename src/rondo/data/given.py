"""What a command is asked about, one file after another: of a folder its files, or an open file.

In go the words of the command, out come paths and open files, or why a word means none; and what
a file holds, as bytes or as text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rondo.data.files import file_fault

STANDARD_INPUT = "standard input"
"""What an open file is called."""

MOST_BYTES = 500_000_000
"""A file with more bytes is not read."""


@dataclass(frozen=True)
class Unusable:
    """A word that means no file.

    Args:
        source: The word.
        error: Why.
    """

    source: str
    error: str


def each_file(
    sources: Sequence[str | Path | BinaryIO], endings: Sequence[str], what: str
) -> Iterator[Path | BinaryIO | Unusable]:
    """Yields the files that words mean; of a folder those with such endings, in order.

    Args:
        sources: Paths of files or folders, or open files.
        endings: How the names of files in a folder end, in lower case.
        what: What they are, such as "picture".
    """
    for source in sources:
        if not isinstance(source, (str, Path)):
            yield source
        elif os.path.isdir(source):  # unlike Path.is_dir it never raises
            try:
                yield from _files_in(Path(source), endings, what)
            except OSError as error:
                yield Unusable(str(source), f"cannot be read ({error.strerror})")
        else:
            yield Path(source)


def _files_in(folder: Path, endings: Sequence[str], what: str) -> list[Path | Unusable]:
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(tuple(endings)))
    if found:
        return list(found)
    return [Unusable(str(folder), f"the folder holds no {what}; they end in {', '.join(endings)}")]


def source_name(source: Path | BinaryIO | Unusable) -> str:
    """Returns what to call a source."""
    if isinstance(source, Unusable):
        return source.source
    return str(source) if isinstance(source, Path) else STANDARD_INPUT


def bytes_of(source: Path | BinaryIO) -> bytes:
    """Returns what a file holds.

    Raises:
        ValueError: Where there is no such file, it is empty, or too large.
    """
    if not isinstance(source, Path):
        return _limited(source)
    fault = file_fault(source)
    if fault is not None:
        raise ValueError(fault)
    try:
        with source.open("rb") as file:
            return _limited(file)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error


def text_of(source: Path | BinaryIO) -> str:
    """Returns the text of a file in UTF-8, its ends of lines as `Path.read_text` gives them.

    Raises:
        ValueError: Where there is no such file, it is empty, too large, or no text.
    """
    try:
        text = bytes_of(source).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8 ({error.reason} at byte {error.start})") from None
    if "\0" in text:
        raise ValueError("it is no text: it holds the byte 0")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def arrays_of(contents: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays of an NPZ file by name; nothing in it is unpickled.

    Raises:
        ValueError: Where it is none, is damaged, or holds Python objects.
    """
    try:
        with np.load(io.BytesIO(contents), allow_pickle=False) as file:
            if isinstance(file, np.ndarray):
                raise ValueError("it is one array; write it with numpy.savez")
            return {name: file[name] for name in file.files}
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything at all
        text = " ".join(str(error).split())
        raise ValueError(f"it is no NPZ file that can be read: {text}") from error


def _limited(file: BinaryIO) -> bytes:
    contents = file.read(MOST_BYTES + 1)
    if not contents:
        raise ValueError("the file is empty")
    if len(contents) > MOST_BYTES:
        raise ValueError(f"the file is larger than {MOST_BYTES:,} bytes; give it in parts")
    return contents
