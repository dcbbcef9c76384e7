"""Processes that run some at a time, and end when they are asked to.

In go commands with what to do when they end, out comes the signal that interrupted them, if one
did. Each process is the first of a session of its own, so Ctrl-C in a terminal reaches only this
one, which passes it on: first as a request to end and save, the second time to end at once.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

POLL_S = 0.05
"""How often processes are looked after, in seconds."""

ASK, HURRY = signal.SIGTERM, signal.SIGINT
"""What asks a training to save and end, and what has it end at once after that."""


@dataclass(frozen=True)
class Job:
    """A process that is to run.

    Args:
        command: Its words.
        log: The file to which all that it says is added.
        begins: Is called when it begins.
        is_enough: Is asked meanwhile; where it says so, the process is asked to end.
        ends: Is called with the exit code, and whether `is_enough` has ended it.
    """

    command: Sequence[str]
    log: Path
    begins: Callable[[], None]
    is_enough: Callable[[], bool]
    ends: Callable[[int, bool], None]


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    was_enough: bool = False


class Interrupts:
    """How often, and by which signal first, this process was asked to end."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.count = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Counts Ctrl-C and SIGTERM while the block runs; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        self.count += 1


def run_jobs(jobs: Sequence[Job], num_at_once: int, say: Callable[[str], None]) -> int | None:
    """Runs processes; returns the number of the signal that interrupted them, if one did.

    Args:
        jobs: The processes, in the order in which they begin.
        num_at_once: How many run at a time.
        say: Is given each line for the user.
    """
    interrupts, waiting, running = Interrupts(), list(reversed(jobs)), list[_Running]()
    passed_on = 0
    with interrupts.listening():
        try:
            while running or (waiting and not interrupts.count):
                while waiting and len(running) < num_at_once and not interrupts.count:
                    running.append(_begin(waiting.pop()))
                time.sleep(POLL_S)
                if passed_on < interrupts.count:
                    passed_on = interrupts.count
                    _pass_on(running, passed_on, say)
                running = _still_running(running)
        finally:
            _end(running)
    return interrupts.first


def _begin(job: Job) -> _Running:
    job.begins()
    with job.log.open("ab") as log:
        process = subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Running(job, process)


def _still_running(running: list[_Running]) -> list[_Running]:
    """Looks after processes; returns those that have not ended."""
    left = []
    for one in running:
        code = one.process.poll()
        if code is not None:
            one.job.ends(code, one.was_enough)
            continue
        if not one.was_enough and one.job.is_enough():
            one.was_enough = True
            one.process.send_signal(ASK)
        left.append(one)
    return left


def _pass_on(running: list[_Running], count: int, say: Callable[[str], None]) -> None:
    """Asks processes to end; the second time at once, and then without asking."""
    if count == 1:
        say("ending after the batches that are computed; press Ctrl-C again to end at once")
    for one in running:
        if count > 2:
            one.process.kill()
        else:
            one.process.send_signal(ASK if count == 1 else HURRY)


def _end(running: list[_Running]) -> None:
    """Ends what is left where this process itself fails."""
    for one in running:
        one.process.terminate()
    for one in running:
        one.process.wait()
