"""From C to a function: a source becomes a library, once, and is loaded.

In goes C source, out comes a library. It is looked for in this process, then in the cache folder
(`cache_folder.py`) by the hash of all that decides what it is: the source, the flags, the processor
and the compiler. Only where it is nowhere, the compiler runs (`c_compiler.py`); where there is no
compiler, what another one made of the same source serves.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import sys
import warnings
import weakref
from contextlib import suppress

from rondo.compiler.c_compiler import (
    FLAGS,
    FULLY,
    NoCompilerError,
    compile_library,
    compiler,
    fingerprint,
    machine_flags,
)
from rondo.compiler.cache_folder import Folder, folders, load_file, tell_not_trusted
from rondo.compiler.lines import stack_level_of_user
from rondo.compiler.reference import EngineWarning
from rondo.compiler.trust import NotTrustedError
from rondo.system.processor import cpuinfo

LOADED: weakref.WeakValueDictionary[str, ctypes.CDLL] = weakref.WeakValueDictionary()
"""The libraries that somebody uses, by name."""

_told: set[str] = set()


def load(source: str, level: str = FULLY) -> ctypes.CDLL:
    """Return the library of a C source, compiled now or before.

    Args:
        source: The source.
        level: How hard the compiler tries.

    Raises:
        NoCompilerError: Where there is no compiler, or it fails.
    """
    index = _index(source, level)
    try:
        command = compiler()
    except NoCompilerError as reason:
        return _of_another_compiler(index, reason)
    name = f"{index}-{fingerprint(command)}"
    library = LOADED.get(name)
    if library is None:
        library = LOADED[name] = _found_or_built(name, _marked(source, index), command, level)
    return library


def _found_or_built(name: str, source: str, command: tuple[str, ...], level: str) -> ctypes.CDLL:
    reason = ""
    for folder in folders():
        try:
            return _kept(folder, name) or _built(folder, name, source, command, level)
        except NotTrustedError as error:
            tell_not_trusted(folder.path, error)
        except OSError as error:  # read-only, full or deleted: the next folder
            reason = f": {error}"
    raise NoCompilerError(
        f"no folder can hold a compiled library; set RONDO_CACHE to one that can{reason}"
    )


def _kept(folder: Folder, name: str) -> ctypes.CDLL | None:
    """The library that a folder has under a name, or None."""
    library = folder.load(name)
    return library if library is not None and _is_of(library, name) else None


def _built(
    folder: Folder, name: str, source: str, command: tuple[str, ...], level: str
) -> ctypes.CDLL:
    """A library that is made now, unless another process has made it meanwhile."""
    with folder.alone(name), folder.workplace() as place:
        library = _kept(folder, name)
        if library is not None:
            return library
        file = compile_library(source, command, place, level)
        library = load_file(str(file))  # before it is kept: the folder may go meanwhile
        if not _is_of(library, name):
            raise NoCompilerError(f"{' '.join(command)} wrote a library of something else")
        with suppress(OSError):
            folder.keep(name, file, source)
        return library


def _of_another_compiler(index: str, reason: NoCompilerError) -> ctypes.CDLL:
    """A library that some compiler made before."""
    for name, library in LOADED.items():
        if name.startswith(index):
            return library
    for folder in folders():
        with suppress(NotTrustedError):
            name = folder.newest(index) or ""
            found = _kept(folder, name) if name else None
            if found is not None:
                LOADED[name] = found
                _tell_of_other(reason)
                return found
    raise reason


def _tell_of_other(reason: NoCompilerError) -> None:
    """Say that a compiler was asked for which there is not; without any, all is as it is to be."""
    text = f"{reason}; kernels that another compiler made before are used"
    if os.environ.get("CC") and text not in _told:
        _told.add(text)
        warnings.warn(text, EngineWarning, stacklevel=stack_level_of_user())


def forget_told() -> None:
    """Say again what was said of compilers."""
    _told.clear()


def _index(source: str, level: str = FULLY) -> str:
    """What a library is of, whoever makes it."""
    facts = (
        source,
        level,
        *FLAGS,
        *machine_flags(),
        sys.platform,
        *platform.libc_ver(),
        _processor(),
    )
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]


def _marked(source: str, index: str) -> str:
    """A source whose library says what it is of."""
    return f'{source}\nconst char rondo_index[] = "{index}";\n'


def _is_of(library: ctypes.CDLL, name: str) -> bool:
    """Whether a library is of the source that it is to be of."""
    index = name.partition("-")[0].encode()
    try:
        mark = (ctypes.c_char * len(index)).in_dll(library, "rondo_index")
    except ValueError:
        return False
    return bytes(mark) == index


@functools.cache
def _processor() -> str:
    """What instructions the processor has: a library of another one must not be loaded."""
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = sorted({line for line in cpuinfo() if line.startswith(wanted)})
    return "\n".join(lines) or platform.processor() or platform.machine()
