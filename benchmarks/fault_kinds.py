"""What hits a command, how it is taken back, and how a command may end that was hit by it."""

from __future__ import annotations

import math
import os
import random
import re
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fault_processes import Command, Disk, in_session, virtual_bytes

COMPILER = "campaign-cc"
"""What `CC` is in the campaign: a link to the compiler of the machine, in a folder of the row."""

COMPILER_NAMES = ("cc1", "as", "collect2", "ld")
"""The processes of a compiler that one can catch."""

SCRIPTS = {
    "fails": "echo it fails >&2; exit 1",
    "writes nothing": "exit 0",
    "writes something else": 'while [ "$1" != -o ]; do shift; done; echo text >"$2"',
}
"""Compilers that are put in the place of the real one."""

LARGEST_ROOM_BYTES = 48 * 2**20
"""The most memory that is left to a command."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: Its kind, as in the table.
        how: Which of that kind.
        room: How much room is left, on the disk or of addresses: a power of the most there can be.
    """

    name: str
    how: str = ""
    room: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} ({self.how})" if self.how else self.name


@dataclass(frozen=True)
class Target:
    """What a fault hits.

    Args:
        command: The command, stopped.
        programs: The folder of its compiler.
        disk: The disk on which it works.
        num_bytes: How many bytes it writes in all.
    """

    command: Command
    programs: Path
    disk: Disk
    num_bytes: int

    @property
    def compiler(self) -> Path:
        return self.programs / COMPILER


def with_room(name: str, draws: random.Random) -> Fault:
    room = draws.random()
    return Fault(name, f"room {room:.3f}", room)


def room_bytes(fault: Fault, most_bytes: int) -> int:
    return int(math.exp(fault.room * math.log(max(most_bytes, 2))))


DRAWS: dict[str, Callable[[random.Random], Fault]] = {
    "SIGKILL": lambda draws: Fault("SIGKILL"),
    "SIGINT": lambda draws: Fault("SIGINT"),
    "disk full": lambda draws: with_room("disk full", draws),
    "memory limit": lambda draws: with_room("memory limit", draws),
    "compiler": lambda draws: Fault(
        "compiler", draws.choice(["is removed", "is killed and removed", *SCRIPTS])
    ),
}
"""The kinds of faults, each drawn."""


def hit(fault: Fault, target: Target) -> None:
    """Has a fault come about; the command is stopped meanwhile."""
    command = target.command
    if fault.name in ("SIGKILL", "SIGINT"):
        command.send(signal.Signals[fault.name])
    elif fault.name == "disk full" and target.disk.is_small:
        target.disk.fill(room_bytes(fault, target.num_bytes))
    elif fault.name == "disk full":
        limit(command, resource.RLIMIT_FSIZE, room_bytes(fault, target.num_bytes))
    elif fault.name == "memory limit":
        room = room_bytes(fault, LARGEST_ROOM_BYTES)
        limit(command, resource.RLIMIT_AS, virtual_bytes(command.pid) + room)
    else:
        spoil_compiler(fault, target)


def limit(command: Command, what: int, most: int) -> None:
    _, hard = resource.prlimit(command.pid, what)
    resource.prlimit(command.pid, what, (most, hard))


def spoil_compiler(fault: Fault, target: Target) -> None:
    target.compiler.unlink()
    if fault.how in SCRIPTS:
        target.compiler.write_text(f"#!/bin/sh\n{SCRIPTS[fault.how]}\n")
        target.compiler.chmod(0o755)
    if "killed" in fault.how:
        for process in in_session(target.command.pid):
            pid, _, name = process.partition(" ")
            if name in COMPILER_NAMES:
                os.kill(int(pid), signal.SIGKILL)


def take_back(target: Target) -> None:
    """Makes all as it was before any fault."""
    target.disk.clear()
    put_compiler(target.compiler)


def put_compiler(path: Path) -> None:
    path.unlink(missing_ok=True)
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    path.symlink_to(os.path.realpath(found))


# ---- how a command may end ----

MAY_END_WITH: dict[str, tuple[int, ...]] = {
    "SIGKILL": (-signal.SIGKILL,),
    "SIGINT": (130, 0, -signal.SIGINT),  # the last two: all was done, or Python itself was ending
    "disk full": (2, 0),
    "memory limit": (2, 0),
    "compiler": (0,),
}
"""The exit codes of a command that was hit; 0 where it did not need what was taken."""

SAYS: dict[str, tuple[str, ...]] = {
    "SIGINT": ("interrupted",),
    "disk full": ("No space left on device", "MiB are free on the disk", "File too large"),
    "memory limit": ("memory",),
}
"""What the last line must hold if the exit code is not 0."""

WARNED = ("EngineWarning", "slower reference engine")
"""What a line holds that warns of a compiler; Lightning leaves out the name of the warning."""

NEVER = ("Traceback", "Exception ignored", "Fatal Python error", "terminate called", "Segmentation")
"""What no user should read."""


NOT_OURS = re.compile(
    r"^Exception ignored in audit hook:\nMemoryError\n"  # of the hook that watches a command
    r"|^[WE]\d{4} \S+ \d+ torch/.*\n"  # a line of torch's log
    r"|^  warnings\.warn\(.*\n",  # the line of code that Python shows below a warning
    re.MULTILINE,
)
"""What Python and torch say beside what a command says."""


def wrong_ending(fault: Fault, code: int, text: str, endings: tuple[int, ...]) -> str | None:
    """What is wrong with how a command ended and what it told; None where all is right."""
    text = NOT_OURS.sub("", text)
    lines = text.strip().splitlines()
    last = lines[-1] if lines else ""
    for words in NEVER:
        if words in text:
            return f"it told of {words!r}"
    if code not in endings:
        return f"its exit code is {code}"
    if code == 2 and not last.startswith("rondo: "):
        return f"its last line is {last!r}"
    said = SAYS["SIGINT"] if code == 130 else SAYS.get(fault.name, ("",))
    if code > 0 and not any(words in last for words in said):
        return f"its last line does not say what happened: {last!r}"
    warned = [line for line in lines if any(words in line for words in WARNED)]
    if fault.name == "compiler" and len(warned) > 1:
        return f"it warned {len(warned)} times"
    if fault.name == "compiler" and warned and COMPILER not in warned[0]:
        return f"its warning does not name the compiler: {warned[0]}"
    return None
