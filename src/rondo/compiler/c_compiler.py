"""From C to a library file: which compiler there is, and what becomes of a call of it.

In goes C source and a folder, out comes the file of a library, or a :class:`NoCompilerError` that
names the compiler and what it said. The compiler is the first there is of `$CC`, `cc`, `gcc`,
`clang` and the wheel `ziglang`.

It runs in a process group of its own, so that Ctrl-C ends it when Rondo says so and not before, and
it speaks into a file: a pipe would stay open for as long as a process lives that was forked at that
moment, or that the compiler left behind. What it wrote counts more than its exit status, which is
lost where a program ignores or collects the ends of all its children.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from rondo.compiler.shared_object import is_whole
from rondo.extras import how_to_install

FLAGS = (
    *("-std=gnu11", "-shared", "-fPIC", "-fopenmp-simd", "-ffp-contract=fast"),
    *("-fno-math-errno", "-fno-trapping-math", "-w"),
)
FULLY = "-O3"
"""How hard a compiler tries with what is compiled once on a machine, such as products."""

BRIEFLY = "-O1"
"""How hard it tries with kernels, whose loops are marked as vector code."""

TIMEOUT_S = 60.0
"""Seconds after which a compiler counts as stuck, and again for each `TIMEOUT_BYTES` of source."""

TIMEOUT_BYTES = 500_000
"""How much source of a kernel a slow machine compiles within `TIMEOUT_S`."""

LONGEST_PAUSE_S = 0.004
"""Seconds between two looks at whether a compiler has ended."""

MAX_SAID = 2000
"""Characters that are passed on of what a compiler said."""

NO_ROOM = ("No space left on device", "Disk quota exceeded", "Read-only file system")
"""What a compiler says where the folder is at fault."""

PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Why a program cannot be started that could be at another time."""

PROBE = "int rondo_probe(void) { return 0; }\n"
"""A source that every compiler can compile."""

_broken: dict[str, str] = {}  # by the fingerprint of a compiler: why it compiles nothing
_given_up: ContextVar[threading.Event | None] = ContextVar("rondo_given_up", default=None)


class NoCompilerError(Exception):
    """No library can be built here, and why."""


class GivenUpError(Exception):
    """A compilation was ended, since nobody waits for it any more."""


def compiler() -> tuple[str, ...]:
    """The command of the C compiler.

    Raises:
        NoCompilerError: Where none is found.
    """
    return _compiler(os.environ.get("CC"), os.environ.get("PATH"))


@functools.lru_cache(maxsize=16)
def _compiler(chosen: str | None, path: str | None) -> tuple[str, ...]:
    if sys.platform == "win32":
        raise NoCompilerError("compiled kernels are not supported on Windows")
    if chosen and chosen.strip():
        return _words_of(chosen, path)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name, path=path):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return sys.executable, "-m", "ziglang", "cc"
    raise NoCompilerError(
        f"no C compiler was found: install gcc or clang, or {how_to_install('compiler')}"
    )


def _words_of(chosen: str, path: str | None) -> tuple[str, ...]:
    """The words of `$CC`."""
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        raise NoCompilerError(f"CC is {chosen!r}, which is no command: {error}") from error
    if not words or not shutil.which(words[0], path=path):
        is_there = bool(words) and os.path.exists(words[0])
        why = "cannot be executed" if is_there else "is not there"
        raise NoCompilerError(f"CC is {chosen!r}, which {why}")
    return tuple(words)


def fingerprint(command: tuple[str, ...]) -> str:
    """What tells a compiler from another one, without running it: its words and its file."""
    found = shutil.which(command[0])
    facts: list[object] = [*command]
    if found is not None:
        path = os.path.realpath(found)
        status = os.stat(path)
        facts += [path, status.st_size, status.st_mtime_ns]
    if "ziglang" in command:
        facts.append(importlib.metadata.version("ziglang"))
    return hashlib.sha256("\0".join(map(str, facts)).encode()).hexdigest()[:16]


@functools.cache
def machine_flags() -> tuple[str, ...]:
    """Flags for this processor: all its instructions, and its widest vectors."""
    machine = platform.machine().lower()
    native = "-mcpu=native" if machine in ("aarch64", "arm64", "ppc64le") else "-march=native"
    wide = ("-mprefer-vector-width=512",) if machine in ("x86_64", "amd64") else ()
    return native, *wide


def compiler_version(command: tuple[str, ...]) -> str:
    """What a compiler says of itself."""
    with tempfile.TemporaryDirectory(prefix="rondo-") as folder:
        _, said = _run(command, ["--version"], Path(folder))
    return said


def compile_library(
    source: str, command: tuple[str, ...], folder: Path, level: str = FULLY
) -> Path:
    """Compile a source; the library is a file in the folder, which nobody else uses.

    A compiler that cannot compile anything is asked once in a process.

    Raises:
        NoCompilerError: Where the compiler fails, with what it said.
        OSError: Where the folder cannot hold the library.
    """
    known = fingerprint(command)
    if known in _broken:
        raise NoCompilerError(_broken[known])
    try:
        return _compiled(source, command, folder, level)
    except NoCompilerError as error:
        if _is_broken(command, folder, error):
            _broken[known] = str(error)
        raise


def _is_broken(command: tuple[str, ...], folder: Path, error: NoCompilerError) -> bool:
    """Whether a compiler that failed with one source fails with every one."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.errno not in PASSING
    try:
        _compiled(PROBE, command, folder, BRIEFLY)
    except NoCompilerError:
        return True
    return False


def forget_broken() -> None:
    """Ask compilers again that failed before."""
    _broken.clear()
    _compiler.cache_clear()


def _compiled(source: str, command: tuple[str, ...], folder: Path, level: str) -> Path:
    text, library = folder / "kernel.c", folder / "kernel.so"
    text.write_text(source, encoding="utf-8")
    library.unlink(missing_ok=True)
    words = [level, *FLAGS, *machine_flags(), str(text), "-o", str(library), "-lm"]
    timeout_s = TIMEOUT_S * (1 + len(source) // TIMEOUT_BYTES)
    status, said = _run(command, words, folder, timeout_s)
    if not text.exists() or any(words in said for words in NO_ROOM):
        raise OSError(said)  # somebody deleted the folder, or it is full
    if status:
        raise NoCompilerError(f"{_called(command)} failed: {said or _ended_with(status)}")
    if not library.exists():
        raise NoCompilerError(f"{_called(command)} wrote no library{_and_said(said)}")
    if not is_whole(library):
        raise NoCompilerError(
            f"{_called(command)} wrote something else than a library{_and_said(said)}"
        )
    return library


def _called(command: tuple[str, ...]) -> str:
    """A compiler in the words of the user."""
    chosen = os.environ.get("CC")
    is_chosen = bool(chosen) and command == compiler()
    return f"CC is {chosen!r}, which" if is_chosen else f"the C compiler `{shlex.join(command)}`"


def _and_said(said: str) -> str:
    return f", and said: {said}" if said else ", and said nothing"


def _ended_with(status: int) -> str:
    if status > 0:
        return f"it said nothing, and its exit status is {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it said nothing, and was ended by {name}"


# ---- running it ----


def _run(
    command: tuple[str, ...], words: list[str], folder: Path, timeout_s: float | None = None
) -> tuple[int | None, str]:
    """Run a compiler; its exit status where that is known, and what it said."""
    timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
    spoken = folder / "said"
    spoken.touch(mode=0o600)  # fails where the folder is at fault, and not the compiler
    try:
        process = _start([*command, *words], folder, spoken)
    except OSError as error:
        raise NoCompilerError(f"{_called(command)} cannot be run: {error}") from error
    try:
        status = _wait(process, timeout_s)
    except BaseException as error:
        _end(process)
        if isinstance(error, TimeoutError):
            raise NoCompilerError(
                f"{_called(command)} did not end within {timeout_s:g} seconds"
            ) from error
        raise
    with suppress(OSError):
        said = spoken.read_text(encoding="utf-8", errors="replace").strip()
        return status, said[:MAX_SAID]
    return status, ""


def _start(words: list[str], folder: Path, spoken: Path) -> int:
    """Start a process that reads nothing and speaks into a file; its number."""
    program = shutil.which(words[0]) or words[0]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    return os.posix_spawn(
        program,
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(spoken), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setpgroup=0,
        setsigmask=[],
        setsigdef=[signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ],
    )


def _wait(process: int, timeout_s: float) -> int | None:
    """Wait for a process; its exit status, or None where somebody else collected it.

    Raises:
        TimeoutError: Where it takes too long.
        GivenUpError: Where nobody waits for it any more.
    """
    end, pause = time.monotonic() + timeout_s, LONGEST_PAUSE_S / 4
    given_up = _given_up.get()
    while True:
        try:
            done, status = os.waitpid(process, os.WNOHANG)
        except ChildProcessError:
            return None
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            raise TimeoutError
        if given_up is not None and given_up.is_set():
            raise GivenUpError
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _end(process: int) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(process, 0)


@contextmanager
def given_up_on_error() -> Iterator[None]:
    """Within it, compilations of this context and its copies end soon after an exception."""
    event = threading.Event()
    token = _given_up.set(event)
    try:
        yield
    except BaseException:
        event.set()
        raise
    finally:
        _given_up.reset(token)
