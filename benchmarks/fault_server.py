"""Starts commands of Rondo quickly: a process that has imported all that they need, and forks.

It is told by messages on a socket what to run, and answers with what becomes of it: that it began,
was stopped, or ended. Each command has a session of its own, so that what it leaves behind is
found, and runs and ends as in a process of its own, but for its imports. It can be told to stop
itself before the nth change to the files of a folder.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

CHANGES = ("os.rename", "os.remove", "os.mkdir")
"""The events of Python that change a folder, but for opening a file to write it."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

IMPORTED = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "rondo.cli.options",
    "rondo.tasks.photo.report.finish",
    "rondo.report.run_report",
    "rondo.training.fit",
    "rondo.looks.flow_picture",
    "rondo.tasks.photo.report.card",
    "rondo.tasks.photo.report.build",
    "rondo.tasks.photo.finish",
    "rondo.tasks.networks",
    "rondo.training.session",
    "rondo.web.serve",
    "torch._dynamo",
    "torch.utils.tensorboard",
)
"""What the commands need, beside what these import."""

COUNTED = "changes of files: "
"""What a command begins the last line with that is to say how many there were."""


def next_request(server: socket.socket) -> dict[str, Any]:
    """Returns, in a new process, what is to be run there."""
    import json

    while True:
        contents, files, _, _ = socket.recv_fds(server, 2**16, 1)
        if not contents:
            os._exit(0)
        request: dict[str, Any] = json.loads(contents)
        process = os.fork()
        if process == 0:
            server.close()
            begin(request, files[0])
            return request
        os.close(files[0])
        server.send(json.dumps({"began": process}).encode())
        while True:
            _, status = os.waitpid(process, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            server.send(b'{"stopped": true}')
        server.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())


def begin(request: dict[str, Any], error_file: int) -> None:
    """Makes this process that of a command."""
    os.setsid()
    empty = os.open(os.devnull, os.O_RDWR)
    for number, file in enumerate((empty, empty, error_file)):
        os.dup2(file, number)
    os.close(error_file)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # the environment names it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    watch(request["watched"], request["stop_at"])


def watch(folder: str, stop_at: int | None) -> None:
    """Counts the changes to the files of a folder, and stops before the nth; None: tells how many.

    The command is stopped by itself, so that a moment can be found again.
    """
    count = 0

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if is_change(event, arguments) and any(map(is_inside, arguments)):
            count += 1
            if count == stop_at:
                os.kill(os.getpid(), signal.SIGSTOP)

    def is_inside(argument: object) -> bool:
        return isinstance(argument, (str, os.PathLike)) and str(argument).startswith(folder)

    if stop_at is None:
        atexit.register(lambda: print(f"{COUNTED}{count}", file=sys.stderr, flush=True))
    sys.addaudithook(see)


def is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    return event in CHANGES or (event == "open" and bool(arguments[2] & WRITES))


def import_all() -> Callable[[], NoReturn]:
    """Imports what any of the commands needs; returns what runs the one that was typed."""
    for name in IMPORTED:
        importlib.import_module(name)
    run: Callable[[], NoReturn] = importlib.import_module("rondo.cli").program
    return run


if __name__ == "__main__":
    run = import_all()
    gc.collect()
    gc.freeze()  # else each command would copy the memory of all that was imported
    asked = next_request(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = ["rondo", *asked["words"]]
    run()
