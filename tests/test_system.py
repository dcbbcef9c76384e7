"""Files that are whole or not there, digests, locks, threads and JSON."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import STUCK_S
from rondo.system import digests, files, lock
from rondo.system.digests import DamagedError, digest_file, read_checked, write_with_digest
from rondo.system.files import parts_in, remove_parts, write_bytes, write_text
from rondo.system.json_text import json_text
from rondo.system.lock import FolderLock, HeldError
from rondo.system.memory import is_lack_of_memory
from rondo.system.threads import check_num_threads, most_threads


def silent(line: str) -> None:
    pass


# --- files


def test_a_file_is_written_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "äöü")
    assert path.read_bytes() == "äöü".encode()
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_bytes(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_an_error_at_any_moment_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os if place == "fsync" else files.Path, place, fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_and_their_folder_reach_the_disk_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, names = [], []
    fsync, replace = os.fsync, Path.replace

    def note(number: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{number}"))
        fsync(number)

    def note_name(self: Path, target: Path) -> Path:
        names.append((str(self), [*synced]))
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", note)
    monkeypatch.setattr(files.Path, "replace", note_name)
    write_text(tmp_path / "file", "text")
    ((part, before),) = names
    assert before == [part]
    assert synced == [part, str(tmp_path)]


def test_links_permissions_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    write_text(path, "old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_text(link, "new")
    assert link.is_symlink()
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    write_text(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


def test_names_of_any_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    write_text(path, "text")
    assert path.read_text() == "text"


def test_what_a_killed_process_leaves_is_found_and_cleared_away(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from rondo.system import files\n"
        "files.os.fsync = lambda number: os.kill(os.getpid(), 9)\n"
        "files.write_text(Path(sys.argv[1]) / 'file', 'new')\n"
    )
    write_text(tmp_path / "file", "old")
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=STUCK_S).returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(parts_in(tmp_path))) == 1
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


# --- digests


def test_a_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    write_with_digest(path, b"weights")
    assert read_checked(path) == b"weights"
    done = subprocess.run(
        ["sha256sum", "--check", "weights.sha256"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stdout == b"weights: OK\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"W" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(b""),
        lambda path: digest_file(path).write_text("nonsense\n"),
    ],
    ids=["truncated", "flipped", "empty", "digest"],
)
def test_damage_is_seen(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "weights"
    write_with_digest(path, b"weights")
    spoil(path)
    with pytest.raises(
        DamagedError, match=r"its SHA-256 is .* and weights\.sha256 names .*damaged"
    ):
        read_checked(path)


def test_a_file_without_a_digest_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"of an older version")
    assert read_checked(tmp_path / "weights") == b"of an older version"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_kill_between_the_files_leaves_a_pair_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Killed(BaseException):
        pass

    path, written = tmp_path / "weights", []
    write_with_digest(path, b"old")

    def write_or_die(target: Path, contents: bytes) -> None:
        if len(written) == number:
            raise Killed
        written.append(target)
        write_bytes(target, contents)

    with monkeypatch.context() as patch:
        patch.setattr(digests, "write_bytes", write_or_die)
        patch.setattr(digests, "write_text", lambda at, text: write_or_die(at, text.encode()))
        with pytest.raises(Killed):
            write_with_digest(path, b"new")
    assert read_checked(path) == (b"old" if number < 2 else b"new")
    write_with_digest(path, b"newer")
    assert read_checked(path) == b"newer"
    assert len(digest_file(path).read_text().splitlines()) == 1


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    write_with_digest(path, b"old")
    contents = iter([b"old", b"new"])
    write_with_digest(path, b"new")
    monkeypatch.setattr(Path, "read_bytes", lambda self: next(contents))
    assert read_checked(path) == b"new"


# --- the lock

HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from rondo.system.lock import FolderLock\n"
    "with FolderLock(Path(sys.argv[1])).held(print):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_is_held_by_one_process_and_ends_with_it(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    def held() -> None:
        with FolderLock(tmp_path).held(silent):
            pass

    with pytest.raises(HeldError, match=f"^process {holder.pid} on {os.uname().nodename}$"):
        held()
    holder.kill()
    holder.wait()
    held()


def test_a_lock_may_be_taken_again_by_its_holder_alone(tmp_path: Path) -> None:
    mine = FolderLock(tmp_path)
    refused = pytest.raises(HeldError, match="this process")
    with mine.held(silent), mine.held(silent), refused, FolderLock(tmp_path).held(silent):
        pass
    with FolderLock(tmp_path).held(silent):
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), FolderLock(tmp_path).held(silent):
        raise RuntimeError("broken")
    with FolderLock(tmp_path).held(silent):
        pass


def test_a_folder_that_cannot_be_locked_is_used_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    told: list[str] = []
    with FolderLock(tmp_path).held(told.append):
        pass
    (line,) = told
    assert line.startswith(f"{tmp_path} cannot be locked (No locks available): see to it that no")


def test_a_lock_without_a_readable_holder_is_a_lock(tmp_path: Path) -> None:
    with FolderLock(tmp_path).held(silent):
        (tmp_path / lock.NAME).write_text("{")
        with pytest.raises(HeldError, match="another process"), FolderLock(tmp_path).held(silent):
            pass


# --- threads


@pytest.mark.parametrize(
    "number", [1000, 0, -1, "1000", "0", "-1", "two", "1.5", "", "٢", "9" * 5000]
)
def test_a_number_of_threads_is_refused_with_its_limit(number: object) -> None:
    limit = f"the number of threads must be from 1 to {os.cpu_count()}, the processors of this"
    with pytest.raises(ValueError, match=limit):
        check_num_threads(number)


def test_as_many_threads_as_processors_may_be_asked_for() -> None:
    assert check_num_threads(str(most_threads())) == check_num_threads(most_threads())


# --- JSON


def test_numbers_that_are_not_finite_become_null() -> None:
    values = {"loss": float("nan"), "all": [1, float("-inf"), (2.5, float("inf"))], "name": "NaN"}
    read = json.loads(json_text(values), parse_constant=pytest.fail)
    assert read == {"loss": None, "all": [1, None, [2.5, None]], "name": "NaN"}


# --- memory


def error_from(first: Exception, text: str) -> Exception:
    """An error that came of another one."""
    try:
        raise RuntimeError(text) from first
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        ImportError("libfoo.so: failed to map segment from shared object"),
        error_from(MemoryError(), "the network cannot be read"),
    ],
    ids=["Python", "system", "C++", "library", "cause"],
)
def test_a_lack_of_memory_is_known(error: Exception) -> None:
    assert is_lack_of_memory(error)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("memory cell"), None]
)
def test_other_errors_are_no_lack_of_memory(error: Exception | None) -> None:
    assert not is_lack_of_memory(error)
