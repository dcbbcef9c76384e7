"""From C to a function: compile a source with the system's compiler, once, and load it.

In goes C source, out comes a library. Libraries are kept in a folder by the hash of everything
that decides what they are: the source, the compiler and its version, the flags and the processor. A
library is compiled under a temporary name and then renamed, so that many processes may build the
same one at once and none ever sees half of it. The folder is `$RONDO_CACHE`, else `rondo` in the
user's cache folder; where it cannot be written, a temporary folder of the process serves.

The compiler is the first there is of `$CC`, `cc`, `gcc`, `clang` and the wheel `ziglang`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FLAGS = (
    *("-std=gnu11", "-O3", "-shared", "-fPIC", "-fopenmp-simd", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-w"),
)
TIMEOUT_S = 120
"""Seconds after which a compiler counts as stuck."""


class NoCompilerError(Exception):
    """No library can be built here, and why."""


def load(source: str) -> ctypes.CDLL:
    """Return the library of a C source, compiled now or before.

    Raises:
        NoCompilerError: Where there is no compiler, or it fails.
    """
    command = compiler()
    key = hashlib.sha256(
        "\0".join(
            (
                source,
                *command,
                *FLAGS,
                *_machine_flags(command),
                compiler_version(command),
                _processor(),
            )
        ).encode()
    ).hexdigest()[:32]
    name = f"{key}.so"
    for folder in _folders():
        path = folder / name
        library = _open(path)
        if library is not None:
            return library
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _build(source, command, path)
        except OSError:
            continue  # read-only, or full: the next folder
        library = _open(path)
        if library is not None:
            return library
    raise NoCompilerError("no folder can hold a compiled library; set RONDO_CACHE to one that can")


@functools.cache
def compiler() -> tuple[str, ...]:
    """The command of the C compiler.

    Raises:
        NoCompilerError: Where none is found.
    """
    if sys.platform == "win32":
        raise NoCompilerError("compiled kernels are not supported on Windows")
    chosen = os.environ.get("CC")
    for command in (chosen, "cc", "gcc", "clang"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return tuple(words)
        if words and command == chosen:
            raise NoCompilerError(f"CC is {chosen!r}, which is not there")
    if importlib.util.find_spec("ziglang"):
        return sys.executable, "-m", "ziglang", "cc"
    raise NoCompilerError("no C compiler was found: install gcc or clang, or `pip install ziglang`")


@functools.cache
def _machine_flags(command: tuple[str, ...]) -> tuple[str, ...]:
    """Flags for this processor: all its instructions, and its widest vectors."""
    machine = platform.machine().lower()
    native = "-mcpu=native" if machine in ("aarch64", "arm64", "ppc64le") else "-march=native"
    wide = ("-mprefer-vector-width=512",) if machine in ("x86_64", "amd64") else ()
    return native, *wide


@functools.cache
def compiler_version(command: tuple[str, ...]) -> str:
    """What a compiler says of itself."""
    return _run([*command, "--version"]).stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoCompilerError(f"{command[0]} did not end within {TIMEOUT_S} seconds") from error


@functools.cache
def _processor() -> str:
    """What instructions the processor has: a library of another one must not be loaded."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _folders() -> Iterator[Path]:
    """The folders to look in and to write to, one after the other."""
    chosen = os.environ.get("RONDO_CACHE")
    if chosen:
        first = Path(chosen)
    elif sys.platform == "darwin":
        first = Path.home() / "Library" / "Caches" / "rondo"
    else:
        first = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rondo"
    yield first
    yield Path(_temporary_folder().name)


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process alone, with a name that nobody can foresee; gone at its end."""
    return tempfile.TemporaryDirectory(prefix="rondo-")


def _open(path: Path) -> ctypes.CDLL | None:
    """The library at a path, or None where there is none or it is damaged."""
    mark = path.with_suffix(".sum")
    try:
        if mark.read_text() != _checksum(path):
            return None
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(source: str, command: tuple[str, ...], path: Path) -> None:
    """Compile a source to a path, all at once or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
        text, library, mark = (Path(folder) / name for name in ("kernel.c", "kernel.so", "sum"))
        text.write_text(source)
        flags = [*FLAGS, *_machine_flags(command)]
        done = _run([*command, *flags, str(text), "-o", str(library), "-lm"])
        if done.returncode:
            if "No space left" in done.stderr:
                raise OSError(done.stderr)
            raise NoCompilerError(f"{' '.join(command)} failed: {done.stderr.strip()[:2000]}")
        mark.write_text(_checksum(library))
        os.replace(library, path)
        os.replace(mark, path.with_suffix(".sum"))
        shutil.copyfile(text, path.with_suffix(".c"))
