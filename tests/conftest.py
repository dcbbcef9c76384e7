from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import torch

if torch.cuda.is_available():  # cuBLAS needs it to be deterministic, as below
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
else:  # the kernels for GPUs are run by Triton's interpreter
    os.environ.setdefault("TRITON_INTERPRET", "1")

os.environ["RONDO_SPOIL"] = "1"  # kernels find NaN where nothing was written yet

import pytest
from hypothesis import HealthCheck, settings

from commands import Run
from rondo import cli
from rondo.data.seeds import seed_layers

settings.register_profile(  # neither chance nor the load of the machine decides about a test
    "rondo", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rondo")
torch.set_warn_always(True)  # what torch says once, it would say in whichever test comes first


def pytest_configure() -> None:
    """Several test processes at once share the cores, and so do the programs that they start.

    A shell without job control starts what runs in the background deaf to Ctrl-C. The programs that
    tests interrupt would inherit that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        threads = max(1, torch.get_num_threads() // processes)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a file draws when it is imported does not depend on the files before it."""
    if isinstance(collector, pytest.Module):
        seed_layers(0)


@pytest.fixture(autouse=True)
def _alike_in_any_order() -> Iterator[None]:
    """Every test begins with the same random numbers and threads, and leaves none of its own."""
    threads = torch.get_num_threads()
    seed_layers(0)
    torch.use_deterministic_algorithms(True)  # also fills uninitialised memory with NaN
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _threads_beyond_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels share their work with as many threads as a test asks for, also beyond the cores."""
    monkeypatch.setattr("rondo.compiler.cpu.most_threads_at_once", lambda: 64)


@pytest.fixture
def made_on_gpu() -> Iterator[None]:
    """Cells and tensors are made on the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    yield
    torch.set_default_device(None)


@pytest.fixture
def compared_by_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check on first use, which would make the comparison of the test once more."""
    monkeypatch.setenv("RONDO_CHECK", "0")


@pytest.fixture
def rondo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command in an empty folder; returns its exit code and its two outputs."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
