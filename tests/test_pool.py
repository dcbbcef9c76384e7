"""The threads that kernels share: on any number of threads, in children, without OpenMP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


NO_THREADS = """#include <errno.h>
#include <pthread.h>
static int refuse(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *d) {
    return (void)t, (void)a, (void)f, (void)d, EAGAIN;
}
#define pthread_create refuse
"""


def build(
    folder: Path,
    *flags: str,
    before: str = "",
    after: str = "",
    stress: str = "pool_stress.c",
) -> Path:
    """A program that stresses the pool, built with flags and lines around the pool."""
    if COMPILER is None:
        pytest.skip("a C compiler is needed")
    c = files("rondo.compiler").joinpath("c")
    texts = [c.joinpath(name).read_text() for name in ("share.c", "pool.c")]
    texts = [before, *texts, after, Path(__file__).with_name(stress).read_text()]
    source = folder / "stress.c"
    source.write_text("#include <stdint.h>\n" + "\n".join(texts))
    program = folder / "stress"
    command = [COMPILER, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", *flags]
    subprocess.run([*command, str(source), "-o", str(program)], check=True)
    return program


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@needs_fork
@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_every_piece_is_done_once(num_threads: int, tmp_path: Path) -> None:
    assert "done once" in run(str(build(tmp_path)), str(num_threads))


@needs_fork
def test_callers_do_all_pieces_where_no_thread_can_be_made(tmp_path: Path) -> None:
    program = build(tmp_path, before=NO_THREADS, after="#undef pthread_create")
    assert "done once" in run(str(program), "8")


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, 2, 8])
@pytest.mark.parametrize("sanitizer", ["address", "undefined", "thread"])
def test_the_pool_is_clean(sanitizer: str, num_threads: int, tmp_path: Path) -> None:
    program = build(tmp_path, "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    forks = "0" if sanitizer == "thread" else "3"  # that one forbids threads after a fork
    command = [*without_address_randomisation(), str(program), str(num_threads), forks]
    assert "done once" in run(*command)


def without_address_randomisation() -> list[str]:
    """What the thread sanitizer needs on kernels that spread memory widely."""
    setarch = shutil.which("setarch")
    return [setarch, os.uname().machine, "-R"] if setarch else []


CHILDREN = """
import os, signal, sys
import torch, rondo

def train(layer, x):
    y, _ = layer(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), layer.weight_hh_l0)
    return y.detach(), gradient

def child_of(action):
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # who hangs is killed
        action()
        os._exit(0)
    return os.waitpid(child, 0)[1]

torch.set_num_threads(2)
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
layer, x = rondo.GRU(32, 64, batch_first=True), torch.randn(64, 60, 32)
expected = train(layer, x)

def same(threads=None):
    if threads:
        torch.set_num_threads(threads)
    for one, other in zip(train(layer, x), expected):
        torch.testing.assert_close(one, other)

def grandchild():
    same()
    assert child_of(same) == 0

assert child_of(same) == 0
assert child_of(grandchild) == 0
same()

few = x[:8].contiguous()

def run_few():
    with torch.no_grad():
        torch.testing.assert_close(layer(few)[0], expected[0][:8])

def kernels_on_threads():
    torch.set_num_threads(2)  # torch needs none of them for so small a batch
    before = len(os.listdir("/proc/self/task"))
    run_few()
    assert len(os.listdir("/proc/self/task")) == before + 1, "nobody helps"

run_few()
if os.path.exists("/proc/self/task"):
    assert child_of(kernels_on_threads) == 0
print("all children ended")
"""


@needs_fork
@pytest.mark.parametrize("openmp", ["1", "0"])
def test_children_run_kernels_after_their_parent_ran_them_on_threads(openmp: str) -> None:
    assert "all children ended" in run(sys.executable, "-c", CHILDREN, RONDO_OPENMP=openmp)


THREADS = """
import torch, rondo
from concurrent.futures import ThreadPoolExecutor

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
layer = rondo.LSTM(24, 48)
inputs = [torch.randn(30, batch_size, 24) for batch_size in (1, 2, 3, 5, 16, 33)]

def run(x):
    x = x.clone().requires_grad_()
    y, _ = layer(x)
    return (y, *torch.autograd.grad(y.sum(), (x, layer.weight_ih_l0, layer.weight_hh_l0)))

torch.set_num_threads(1)
expected = [run(x) for x in inputs]
for threads in (2, 3, 8):
    torch.set_num_threads(threads)
    with ThreadPoolExecutor(4) as pool:
        for found in (map(run, inputs), pool.map(run, inputs * 4)):
            for number, tensors in enumerate(found):
                for one, other in zip(tensors, expected[number % len(inputs)]):
                    torch.testing.assert_close(one, other)
print("all are equal")
"""


@pytest.mark.parametrize("openmp", ["1", "0"])
def test_callers_in_threads_get_the_same_numbers(openmp: str) -> None:
    assert "all are equal" in run(sys.executable, "-c", THREADS, RONDO_OPENMP=openmp)
