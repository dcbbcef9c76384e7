"""The processes of `rondo bench busy`: one for each side, and the busy ones beside them.

A side is asked over a connection: for a case, which it prepares and answers with the output, or for
some seconds, in which it calls and answers with the time of each call.
"""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn

from rondo.bench.cgroups import Group, limited_to
from rondo.bench.options import OURS, PEERS, Sizes

THEIRS = PEERS["nn"]


@dataclass(frozen=True)
class Case:
    """What a side is asked to run."""

    kind: str
    run: str
    sizes: Sizes


def ask(connection: Connection, side: str, question: Case | float) -> Any:
    """Returns what a side answers.

    Raises:
        RuntimeError: If its process has ended.
    """
    try:
        connection.send(question)
        return connection.recv()
    except (EOFError, OSError) as error:
        raise RuntimeError(f"the process of {side} has ended; it says why above") from error


COMPUTE = """\
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
"""What a busy process does, for as long as there is the one that started it."""


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Within it, so many other processes compute."""
    command = [sys.executable, "-c", COMPUTE]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def sides(num_threads: int | None, limit: float | None = None) -> Iterator[dict[str, Connection]]:
    """A process for each side, reached by a connection; where there is a limit, in a group of it.

    Args:
        num_threads: What each asks for; None is as many as torch takes.
        limit: How many cores each may use.
    """
    connections: dict[str, Connection] = {}
    with ExitStack() as stack:
        for number, side in enumerate((OURS, THEIRS)):
            group = None
            if limit is not None:
                group = stack.enter_context(limited_to(limit, f"side-{number}"))
            threads = num_threads or torch.get_num_threads()
            connections[side] = stack.enter_context(_process(side, threads, group))
        yield connections


@contextmanager
def _process(side: str, num_threads: int, group: Group | None) -> Iterator[Connection]:
    """The process of a side, until nobody asks any more."""
    spawning = multiprocessing.get_context("spawn")
    connection, other = spawning.Pipe()
    process = spawning.Process(target=serve, args=(other, side, num_threads), daemon=True)
    process.start()
    other.close()
    try:
        if group is not None and process.pid is not None:
            group.add(process.pid)  # before it asks how many cores it has
        yield connection
    finally:
        connection.close()
        process.join()


def serve(connection: Connection, side: str, num_threads: int) -> None:
    """What the process of a side does, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other end of the connection
    torch.set_num_threads(num_threads)
    with suppress(EOFError, OSError):
        _serve(connection, side)


def _serve(connection: Connection, side: str) -> None:
    calls: dict[Case, tuple[Callable[[], object], list[Any]]] = {}
    call: Callable[[], object] = nn.Identity()
    while True:
        asked = connection.recv()
        if isinstance(asked, Case):
            if asked not in calls:
                calls[asked] = prepared(side, asked)
            call, output = calls[asked]
            connection.send(output)
        else:
            connection.send(times_of(call, asked))


def prepared(side: str, case: Case) -> tuple[Callable[[], object], list[Any]]:
    """What is timed, after two calls of it, and the output."""
    import rondo

    steps, batch_size, _, size = case.sizes
    torch.manual_seed(0)
    theirs = getattr(nn, case.kind)(size, size)
    x, gradient = torch.randn(steps, batch_size, size), torch.ones(steps, batch_size, size)
    layer: nn.Module = getattr(rondo if side == OURS else nn, case.kind)(size, size)
    layer.load_state_dict(theirs.state_dict())

    @torch.no_grad()
    def forward() -> Tensor:
        output: Tensor = layer(x)[0]
        return output

    def training() -> None:
        layer.zero_grad()  # adding to gradients is work of torch's own threads on both sides
        layer(x)[0].backward(gradient)

    call: Callable[[], object] = forward if case.run == "forward" else training
    call(), call()
    return call, forward().tolist()


def times_of(call: Callable[[], object], seconds: float) -> list[float]:
    """The time of each call, in some seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times
