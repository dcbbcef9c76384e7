"""Commands that are started, stopped at a moment and waited for, and the small disk they are on."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_server import COUNTED

STUCK_S = 100.0
"""Seconds after which a command counts as one that hangs."""

ORPHANS_S = 15.0
"""Seconds that what a killed command has started, such as a compiler, may still take."""

DISK_BYTES = 320 * 2**20
"""The size of the disk: a run wants to see 256 MiB free."""

SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A process that forks must have one thread."""


@dataclass
class Command:
    """A command that runs.

    Args:
        pid: The number of its process, and of its session.
        reports: What the server tells of it.
        errors: The end of the pipe to which it tells what it does.
        said: What it has told so far.
    """

    pid: int
    reports: socket.socket
    errors: int
    said: list[str] = field(default_factory=list)
    code: int | None = None

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def num_changes(self) -> int:
        """How many files it changed, if it was to tell."""
        return int(self.text.rpartition(COUNTED)[2])

    def stop_after(self, seconds: float) -> bool:
        """Stops it some time from now; whether it had not ended before."""
        if self.is_stopped(seconds) is None and self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGSTOP)
            return bool(self.is_stopped(STUCK_S))
        return self.code is None

    def is_stopped(self, timeout_s: float) -> bool | None:
        """Waits for it to stop; False where it has ended, None where it goes on."""
        if self.code is not None:
            return False
        report = self._report(timeout_s)
        if report is None:
            return None
        if "code" in report:
            self.code = report["code"]
            return False
        return True

    def go_on(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, timeout_s: float = STUCK_S) -> int | None:
        """Waits for its end; returns the exit code, or None where it hangs and is killed."""
        end = time.monotonic() + timeout_s
        while self.code is None and time.monotonic() < end:
            if self.is_stopped(end - time.monotonic()):
                self.go_on()  # somebody else has stopped it
        found = self.code
        if found is None:
            self.send(signal.SIGKILL)
            self.is_stopped(STUCK_S)
        self.reader.join(ORPHANS_S)
        return found

    def wait_for_line(self, words: str) -> str:
        """Waits until a line with such words is told; empty where it ends before."""
        while self.reader.is_alive():
            for line in list(self.said):
                if words in line:
                    return line
            time.sleep(0.005)
        return next((line for line in self.said if words in line), "")

    def left_behind(self) -> list[str]:
        """The processes of its session that are still there when it has ended."""
        end = time.monotonic() + ORPHANS_S
        while (found := in_session(self.pid)) and time.monotonic() < end:
            time.sleep(0.02)
        for process in found:
            os.kill(int(process.split()[0]), signal.SIGKILL)
        return found

    def _read(self) -> None:
        with os.fdopen(self.errors, errors="replace") as lines:
            for line in lines:
                self.said.append(line)

    def _report(self, timeout_s: float) -> dict[str, int] | None:
        self.reports.settimeout(max(timeout_s, 1e-3))
        try:
            found: dict[str, int] = json.loads(self.reports.recv(1000))
        except TimeoutError:
            return None
        return found


class Disk:
    """The disk of a lane: a small one of its own, where one can be mounted.

    Args:
        path: The folder at which it is mounted.
    """

    def __init__(self, path: Path, can_mount: bool) -> None:
        self.path, self.filler = path, path / "filler"
        path.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(path)]
        self.is_small = can_mount and not subprocess.run(words, check=False).returncode

    def fill(self, room_bytes: int) -> None:
        """Leaves so many bytes free, or fewer where a compiler is writing."""
        with self.filler.open("wb") as file:
            while (taken := self._free_bytes() - room_bytes) > 0:
                try:
                    os.posix_fallocate(file.fileno(), 0, taken)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                else:
                    return

    def _free_bytes(self) -> int:
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def clear(self) -> None:
        self.filler.unlink(missing_ok=True)


class Lane:
    """A disk and a process that starts commands on it, one at a time.

    Args:
        folder: An empty folder.
        can_mount: Whether disks can be mounted without anybody else seeing them.
    """

    def __init__(self, folder: Path, can_mount: bool) -> None:
        folder.mkdir()
        self.disk = Disk(folder / "disk", can_mount)
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = Path(__file__).with_name("fault_server.py")
        with other:
            self.server = subprocess.Popen(
                [sys.executable, str(program), str(other.fileno())],
                pass_fds=[other.fileno()],
                env={**os.environ, **SINGLE},
                start_new_session=True,
            )

    def start(
        self,
        words: list[str],
        folder: Path,
        environment: dict[str, str],
        stop_at: int | None = 0,
    ) -> Command:
        """Starts a command.

        Args:
            words: Those after `rondo`.
            folder: Where it is given.
            environment: What it finds there beside that of this process.
            stop_at: Before which change of a file of the folder it stops; 0: none; None: it tells
                how many there were.
        """
        asked = {
            "words": words,
            "folder": str(folder),
            "environment": environment,
            "watched": str(folder),
            "stop_at": stop_at,
        }
        reading, writing = os.pipe()
        self.socket.settimeout(STUCK_S)
        socket.send_fds(self.socket, [json.dumps(asked).encode()], [writing])
        os.close(writing)
        return Command(json.loads(self.socket.recv(1000))["began"], self.socket, reading)

    def close(self) -> None:
        self.socket.close()
        self.server.kill()
        self.server.wait()
        if self.disk.is_small:
            subprocess.run(["umount", "--lazy", str(self.disk.path)], check=False)


@contextmanager
def lane(folder: Path, can_mount: bool) -> Iterator[Lane]:
    found = Lane(folder, can_mount)
    try:
        yield found
    finally:
        found.close()


def in_session(number: int) -> list[str]:
    """The number and name of each process of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = path.read_text().partition(" (")
        except OSError:
            continue
        name, _, facts = rest.rpartition(") ")
        state, _, _, session = facts.split()[:4]
        if int(session) == number and state not in "ZX":
            found.append(f"{pid} {name}")
    return found


def virtual_bytes(pid: int) -> int:
    """The addresses that a process has taken, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
