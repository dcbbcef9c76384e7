"""The folder of compiled libraries: found, trusted, kept within bounds.

In go names of libraries and their files, out come loaded libraries. Each lies under its name in
three files: the library (`.so`), its checksum (`.sum`) and its source (`.c`). They are written
under another name and renamed; a library that does not match its checksum is made again. What
belongs to somebody else, or may be written by others, is not loaded; see `trust.py`. A folder is
opened once and then named by its open file, so that nobody can put another one in its place.

The folder is `$RONDO_CACHE`, else `rondo` in the user's cache folder. It holds at most
`$RONDO_CACHE_MB` megabytes: the libraries that were not loaded for longest go first. Where it
cannot be used, a temporary folder of the process serves.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import itertools
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rondo.compiler import forks
from rondo.compiler.lines import stack_level_of_user
from rondo.compiler.reference import EngineWarning
from rondo.compiler.trust import NotTrustedError, check_above, check_own

DEFAULT_MB = 512
"""Megabytes that the folder may hold."""

LOCK_WAIT_S = 30.0
"""Seconds to wait for another process that compiles the same library."""

ABANDONED_S = 3600.0
"""Seconds after which what a compilation left behind counts as abandoned."""

SHRINK_AFTER, SHRINK_AFTER_S = 32, 3600.0
"""After how many libraries of a process, and after which time, to see whether they are too many."""

FILES = (".so", ".sum", ".c")
"""The endings of the files of a library."""


def _flags(*names: str) -> int:
    """Flags to open something with, as far as the system has them."""
    return sum(getattr(os, name, 0) for name in names)


OPEN_FOLDER = _flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
OPEN_FILE = _flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
OPEN_LOCK = _flags("O_RDWR", "O_CREAT", "O_NOFOLLOW", "O_CLOEXEC")

_num_kept = itertools.count(1)
_told: set[str] = set()  # folders of which it was told why they are not used


class Entry(NamedTuple):
    """A library in the folder.

    Args:
        name: Its name, without an ending.
        size_bytes: What its files take.
        used: When it was last loaded, in seconds since 1970.
    """

    name: str
    size_bytes: int
    used: float


@dataclass(frozen=True)
class Folder:
    """An open folder of libraries.

    Args:
        path: Its path.
        number: The number of its open file.
    """

    path: Path
    number: int

    def load(self, name: str) -> ctypes.CDLL | None:
        """The library of a name; None where there is none or it is damaged.

        Raises:
            NotTrustedError: Where somebody else may have written it.
        """
        try:
            content, expected = self._read(f"{name}.so"), self._read(f"{name}.sum")
            if hashlib.sha256(content).hexdigest() != expected.decode(errors="replace"):
                return None
            library = load_file(self._way_to(f"{name}.so"))
            with suppress(OSError):  # the time of its last use
                os.utime(f"{name}.so", dir_fd=self.number, follow_symlinks=False)
        except OSError:
            return None
        return library

    def newest(self, start: str) -> str | None:
        """The name that begins so of the library that was used last, or None."""
        names = [entry for entry in self.entries() if entry.name.startswith(start)]
        return max(names, key=lambda entry: entry.used).name if names else None

    def keep(self, name: str, library: Path, source: str) -> None:
        """Put a library into the folder, which is on the same disk, and make room for it.

        Raises:
            OSError: Where that fails.
        """
        text, mark = library.with_name("source"), library.with_name("sum")
        text.write_text(source, encoding="utf-8")
        mark.write_text(hashlib.sha256(library.read_bytes()).hexdigest(), encoding="utf-8")
        for file, ending in zip((library, mark, text), FILES, strict=True):
            file.chmod(0o600 if file is not library else 0o700)
            os.replace(file, f"{name}{ending}", dst_dir_fd=self.number)
        if self._is_time_to_shrink():
            self.shrink(limit_bytes(), keep=name)

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder in it that is there for a while.

        It is not a `TemporaryDirectory`, which a process that was forked meanwhile would remove.
        """
        path = Path(tempfile.mkdtemp(dir=self.path, prefix="build-"))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Held while a library is made: by one process and thread, as long as it lives.

        After `LOCK_WAIT_S` seconds whoever waits goes on: to build twice does no harm.
        """
        import fcntl  # which Windows has not

        file = os.open(f"{name}.lock", OPEN_LOCK, 0o600, dir_fd=self.number)
        with forks.closed_in_children(file):
            is_held = _wait_for(file)
            try:
                yield
            finally:
                with suppress(OSError):
                    if is_held:
                        os.unlink(f"{name}.lock", dir_fd=self.number)
                        fcntl.flock(file, fcntl.LOCK_UN)
                os.close(file)

    # ---- all libraries ----

    def entries(self) -> list[Entry]:
        """All libraries, the one that was not used for longest first."""
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        for file in self._files():
            name, ending = os.path.splitext(file.name)
            with suppress(OSError):
                status = file.stat(follow_symlinks=False)
                sizes[name] = sizes.get(name, 0) + status.st_size
                if ending == ".so":
                    used[name] = status.st_mtime
        found = [Entry(name, sizes[name], when) for name, when in used.items()]
        return sorted(found, key=lambda entry: entry.used)

    def _is_time_to_shrink(self) -> bool:
        """Whether to look through the folder: not for each library, it may hold thousands."""
        now, number = time.time(), next(_num_kept)
        try:
            before = os.stat("shrunk", dir_fd=self.number, follow_symlinks=False).st_mtime
        except OSError:
            before = 0.0
        if number % SHRINK_AFTER and before <= now < before + SHRINK_AFTER_S:
            return False
        os.close(os.open("shrunk", OPEN_LOCK, 0o600, dir_fd=self.number))
        os.utime("shrunk", dir_fd=self.number, follow_symlinks=False)
        return True

    def shrink(self, limit: int, *, keep: str = "") -> list[Entry]:
        """Delete the libraries that were not used for longest until so many bytes are left."""
        found = self.entries()
        total = sum(entry.size_bytes for entry in found)
        gone = []
        for entry in found:
            if total <= limit:
                break
            if entry.name != keep:
                self._delete(entry.name)
                gone.append(entry)
                total -= entry.size_bytes
        self._delete_abandoned()
        return gone

    def _delete(self, name: str) -> None:
        for ending in FILES:
            with suppress(OSError):
                os.unlink(f"{name}{ending}", dir_fd=self.number)

    def _delete_abandoned(self) -> None:
        """Delete what processes left that were ended while they compiled."""
        before = time.time() - ABANDONED_S
        with suppress(OSError), os.scandir(self.number) as files:
            for file in list(files):
                is_left = file.name.startswith("build-") or file.name.endswith(".lock")
                if is_left and file.stat(follow_symlinks=False).st_mtime < before:
                    if file.is_dir(follow_symlinks=False):
                        shutil.rmtree(self.path / file.name, ignore_errors=True)
                    else:
                        os.unlink(file.name, dir_fd=self.number)

    def _files(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.number) as files:
                return [file for file in files if file.name.endswith(FILES)]
        except OSError:
            return []

    # ---- files ----

    def _read(self, name: str) -> bytes:
        """What a file holds, of which nobody else can have written anything."""
        if stat.S_ISLNK(os.lstat(name, dir_fd=self.number).st_mode):
            raise NotTrustedError(f"{self.path / name} is a symbolic link")
        with os.fdopen(os.open(name, OPEN_FILE, dir_fd=self.number), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{name} is no file")
            check_own(status, str(self.path / name))
            return file.read()

    def _way_to(self, name: str) -> str:
        """A path of a file that leads through the open folder, where there is such a path."""
        way = f"/proc/self/fd/{self.number}/{name}"
        return way if os.path.exists(way) else str(self.path / name)


def load_file(path: str) -> ctypes.CDLL:
    """Load a library; it is closed when nobody refers to it any more.

    Raises:
        OSError: Where it is none, or cannot be run from where it lies.
    """
    import _ctypes

    with forks.LOADING:
        library = ctypes.CDLL(path)
    closing = weakref.finalize(library, _ctypes.dlclose, library._handle)
    closing.atexit = False  # threads may still be in it then
    return library


def limit_bytes() -> int:
    """How many bytes the folder may hold."""
    given = os.environ.get("RONDO_CACHE_MB", "")
    try:
        return int(float(given or DEFAULT_MB) * 1e6)
    except ValueError:
        _tell("RONDO_CACHE_MB", f"RONDO_CACHE_MB is {given!r}, which is no number of megabytes")
        return int(DEFAULT_MB * 1e6)


def chosen_folder() -> Path:
    """Where the folder lies, whether or not it is there."""
    chosen = os.environ.get("RONDO_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rondo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rondo"


def folders() -> Iterator[Folder]:
    """The folders to look in and to write to, one after the other; each is open for its turn."""
    try:
        path = chosen_folder()
    except RuntimeError:  # the user has no home
        path = None
    if path is not None:
        try:
            with opened(path) as folder:
                yield folder
        except NotTrustedError as reason:
            tell_not_trusted(path, reason)
        except OSError:
            pass  # it cannot be made, or was deleted meanwhile
    try:
        with opened(_temporary_folder()) as folder:
            yield folder
    except NotTrustedError as reason:
        tell_not_trusted(Path(tempfile.gettempdir()), reason)
    except OSError:
        pass


def tell_not_trusted(path: Path, reason: NotTrustedError) -> None:
    """Warn, once for each folder, that it is not used."""
    _tell(
        str(path),
        f"compiled kernels are not taken from {path}, since {reason}; they are compiled anew in "
        "a temporary folder: mend it, or set RONDO_CACHE to a folder of your own",
    )


def forget_told() -> None:
    """Tell again of folders of which it was told."""
    _told.clear()


def _tell(about: str, text: str) -> None:
    if about not in _told:
        _told.add(about)
        warnings.warn(text, EngineWarning, stacklevel=stack_level_of_user())


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """A folder, which is made where it is not there.

    Raises:
        NotTrustedError: Where somebody else may have written into it.
        OSError: Where it cannot be opened, or nothing can be run from it.
    """
    path = Path(os.path.abspath(path))
    check_above(path)
    real = Path(os.path.realpath(path))
    _make(real)
    number = os.open(real, OPEN_FOLDER)
    try:
        check_own(os.fstat(number), str(path))
        if os.fstatvfs(number).f_flag & getattr(os, "ST_NOEXEC", 0):
            raise OSError(f"nothing can be run from {path}: its disk is mounted noexec")
        yield Folder(path, number)
    finally:
        os.close(number)


def _make(path: Path) -> None:
    """Make a folder and those above it, for the user alone."""
    if not path.is_dir():
        _make(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)


@functools.cache
def _new_temporary_folder(process: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix="rondo-"))

    def remove() -> None:
        if os.getpid() == process:  # not in a forked child, which has its parent's
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


def _temporary_folder() -> Path:
    """A folder of this process alone, with a name that nobody can foresee; gone at its end."""
    path = _new_temporary_folder(os.getpid())
    if not path.is_dir():  # somebody tidied up
        _new_temporary_folder.cache_clear()
        path = _new_temporary_folder(os.getpid())
    return path


def _wait_for(file: int) -> bool:
    """Wait for a lock; whether it is held now."""
    import fcntl

    end, pause = time.monotonic() + LOCK_WAIT_S, 0.002
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
        except OSError:
            return False  # there are no locks on this disk
        time.sleep(pause)
        pause = min(1.5 * pause, 0.05)
