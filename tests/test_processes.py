"""Processes: forks, workers and signals while layers are compiled and run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import rondo
from commands import STUCK_S
from rondo.compiler import c_compiler, engines

X = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _an_empty_cache_and_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of a process whose kernels ran on several threads is another matter."""
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def in_child(function: Callable[[], bool]) -> bool:
    """What a function gives in a forked child; it must not take long."""
    child = os.fork()
    if child == 0:
        right = False
        try:
            signal.alarm(60)
            right = function()
        finally:
            os._exit(0 if right else 1)
    return os.waitpid(child, 0)[1] == 0


class Slow(nn.Module):
    """A cell whose step takes as long as it is told, and counts its steps."""

    state_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.is_in, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.hint = "as it was"

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.hint = "changed by the step"
        self.is_in.set()
        self.go_on.wait()
        h = torch.tanh(self.inner(x) + h)
        self.hint = "as it was"
        return h, h


def right_output(cell: Slow) -> Tensor:
    h, ys = torch.zeros(2, 4), []
    for x_t in X.unbind(1):
        h = torch.tanh(cell.inner(x_t) + h)
        ys.append(h)
    return torch.stack(ys, 1)


def test_a_fork_while_another_thread_traces() -> None:
    layer = rondo.Recurrent(Slow())
    cell, before = layer.cell, torch.get_rng_state()
    expected = right_output(cell)
    cell.go_on.clear()
    tracing = threading.Thread(target=lambda: layer(X)[0].sum().backward())
    tracing.start()
    cell.is_in.wait()
    assert cell.hint == "changed by the step"

    def child() -> bool:
        is_as_it_was = cell.hint == "as it was" and torch.equal(torch.get_rng_state(), before)
        cell.go_on = threading.Event()
        cell.go_on.set()
        y, _ = layer(X)
        y.sum().backward()
        return is_as_it_was and torch.allclose(y, expected, atol=1e-6)

    right = in_child(child)
    cell.go_on.set()
    tracing.join()
    assert right
    torch.testing.assert_close(layer(X)[0], expected)


def test_a_fork_while_another_thread_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, script = tmp_path / "begun", tmp_path / "cc"
    script.write_text(f"#!/bin/sh\ntouch '{begun}'\nsleep 1\nexec cc \"$@\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    expected = rondo.Recurrent(layer.cell, engine="plain")(X)[0]
    thread = threading.Thread(target=lambda: layer(X)[0].sum().backward())
    thread.start()
    while not begun.exists():
        time.sleep(0.01)
    assert in_child(lambda: torch.allclose(layer(X)[0], expected, atol=1e-6))
    thread.join()
    torch.testing.assert_close(layer(X)[0], expected)


def test_a_child_that_ends_leaves_its_parents_temporary_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys, torch, rondo\n"
        "from rondo.compiler import cache_folder\n"
        "layer = lambda size: rondo.Recurrent(rondo.GRUCell(3, size))(torch.zeros(2, 5, 3))\n"
        "layer(4); folder = cache_folder._temporary_folder()\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait(); assert folder.is_dir(); print(folder)\n"
    )
    (tmp_path / "file").touch()
    environment = {**os.environ, "RONDO_CACHE": str(tmp_path / "file"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert not Path(done.stdout.strip()).exists()


# ---- workers ----


def run_in_worker(layer: nn.Module, queue: Any) -> None:
    torch.set_num_threads(1)
    x = X.clone().requires_grad_()
    y, _ = layer(x)
    y.sum().backward()
    queue.put((y.detach().numpy().tolist(), x.grad.numpy().tolist()))  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_layer_that_ran_goes_to_a_process(method: str) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    x = X.clone().requires_grad_()
    y, _ = layer(x)
    y.sum().backward()
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=run_in_worker, args=(layer, queue))
    process.start()
    output, gradient = queue.get(timeout=STUCK_S)
    process.join()
    torch.testing.assert_close(torch.tensor(output), y.detach())
    torch.testing.assert_close(torch.tensor(gradient), x.grad)


class Encoded(Dataset[Tensor]):
    """Examples that a layer makes in the workers of a loader."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.layer(X + index)[0][0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader_run_layers(method: str) -> None:
    layer = rondo.GRU(3, 4, batch_first=True)
    with torch.no_grad():
        expected = torch.stack([layer(X + index)[0][0] for index in range(4)])
    loader = DataLoader(Encoded(layer), batch_size=4, num_workers=2, multiprocessing_context=method)
    (found,) = loader
    torch.testing.assert_close(found, expected)


# ---- signals ----


def compiler_that_takes(seconds: int, folder: Path) -> Path:
    """A script that makes a file when it begins, and compiles after that time."""
    script = folder / "slow cc"
    script.write_text(f"#!/bin/sh\ntouch '{folder}/begun'\nsleep {seconds}\nexec cc \"$@\"\n")
    script.chmod(0o755)
    return script


INTERRUPTED = """
import signal, sys, time, torch, rondo
layer, x = rondo.Recurrent(rondo.GRUCell(3, 4)), torch.randn(2, 5, 3)
try:
    layer(x)[0].sum().backward()
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", flush=True)
import os
os.environ["CC"] = "cc"
y, _ = layer(x)
y.sum().backward()
assert torch.allclose(y, rondo.Recurrent(layer.cell, engine="plain")(x)[0], atol=1e-6)
print("right")
"""


def test_ctrl_c_ends_a_compilation_at_once_and_the_next_call_is_right(tmp_path: Path) -> None:
    script = compiler_that_takes(50, tmp_path)
    environment = {**os.environ, "CC": f"'{script}'"}
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.02)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - begin < 40
        assert process.stdout.readline() == "right\n"
    assert process.returncode == 0
    assert not list((tmp_path / "cache").glob("build-*"))


class TooLongError(Exception):
    """What a handler of the user's raises."""


def test_what_a_handler_raises_during_a_compilation_goes_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", f"'{compiler_that_takes(50, tmp_path)}'")

    def too_long(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, too_long)
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(TooLongError):
            layer(X)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    monkeypatch.delenv("CC")
    torch.testing.assert_close(layer(X), rondo.Recurrent(layer.cell, engine="plain")(X))
    program = next(iter(layer._programs.by_kind.values()))
    assert not isinstance(program.run_forward, engines.Reference)


def test_what_a_handler_raises_while_a_step_is_recorded_goes_to_the_caller() -> None:
    def too_long(*_: object) -> None:
        raise TooLongError

    class Raising(nn.Module):
        state_size = 4
        is_slow = True

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            if self.is_slow:
                signal.raise_signal(signal.SIGALRM)
            h = torch.tanh(h + x.sum(1, keepdim=True))
            return h, h

    before = signal.signal(signal.SIGALRM, too_long)
    layer = rondo.Recurrent(Raising())
    try:
        with pytest.raises(TooLongError):
            layer(X)
    finally:
        signal.signal(signal.SIGALRM, before)
    layer.cell.is_slow = False
    torch.testing.assert_close(layer(X), rondo.Recurrent(layer.cell, engine="plain")(X))


def test_a_signal_while_a_kernel_runs_is_handled_after_it() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 64))
    x = torch.randn(8, 2000, 3)
    calls: list[int] = []
    with torch.no_grad():
        expected, _ = layer(x)
        before = signal.signal(signal.SIGALRM, lambda number, _: calls.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            for _ in range(5):
                assert torch.equal(layer(x)[0], expected)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert calls


def test_the_ends_of_children_may_be_ignored_while_a_layer_is_compiled() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        layer = rondo.Recurrent(rondo.GRUCell(3, 4), engine="cpu")
        torch.testing.assert_close(layer(X), rondo.Recurrent(layer.cell, engine="plain")(X))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_compilers_are_found_again_after_the_cache_was_cleared() -> None:
    c_compiler._broken["some compiler"] = "it failed"
    rondo.clear_cache()
    assert not c_compiler._broken
