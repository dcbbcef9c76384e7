"""Generated kernels and the pool built with sanitizers, over the conformance suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from test_pool import without_address_randomisation

STREAMS = """
import torch, rondo
from cases import CELLS, make_cell

torch.set_num_threads(2)
for dtype in (torch.float32, torch.float64, torch.bfloat16):
    for name in CELLS:
        cell = make_cell(name, 3, 19, dtype)
        x = torch.randn(5, 7, 3).to(dtype).requires_grad_()
        for keywords in (
            {},
            {"lengths": torch.tensor([7, 0, 3, 4, 1])},
            {"resets": torch.rand(5, 7) < 0.4},
        ):
            y, state = rondo.Recurrent(cell, engine="cpu")(x, **keywords)
            leaves = torch.utils._pytree.tree_leaves(state)
            (y.sum() + sum(leaf.sum() for leaf in leaves)).backward()
        stream = rondo.Recurrent(cell).stream()
        for x_t in x.detach().unbind(1):
            stream(x_t)
            next(cell.parameters()).data.neg_()
    for batch_size in (1, 7):  # weights that are read in place
        stream = rondo.Recurrent(make_cell("gru", 3, 301, dtype)).stream()
        stream(torch.randn(batch_size, 3).to(dtype))
        stream(torch.randn(batch_size, 3).to(dtype))
print("every cell ran")
"""

ON_THREADS = """
import sys
import torch, rondo
from rondo.compiler import cpu
from cases import CELLS
from test_conformance import MODES, make_case, run_layer, run_plain

cpu.MIN_WORK_PER_THREAD = 1  # as many threads as there may be, however little they have to do
cpu.CHUNK_ROWS = 8           # several chunks for each of them
num_threads = int(sys.argv[1])
torch.set_num_threads(num_threads)
cpu.most_threads_at_once = lambda: num_threads
for name in CELLS:
    layer = None
    for mode in MODES:
        for batch_size in (1, 3, 11):  # teams that work on a row, parts of the rows, totals of one
            case = make_case(name, (batch_size, 9, 3, 16), mode, torch.float64)
            layer = layer or rondo.Recurrent(case["cell"], engine="cpu")
            case["cell"] = layer.cell
            got, expected = run_layer(layer, case, mode), run_plain(case, False)
            for key, value in expected.items():
                torch.testing.assert_close(got[key], value, rtol=1e-10, atol=1e-12, msg=key)
print("every cell ran")
"""

LIBRARIES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}


def check_clean(sanitizer: str, code: str, folder: Path, *arguments: str) -> None:
    """Run a program whose kernels are built with a sanitizer; any report fails."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the sanitizers of gcc are needed")
    library = subprocess.run(
        [compiler, f"-print-file-name={LIBRARIES[sanitizer]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip(f"gcc has no {library}")
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "CC": f"gcc -g -fsanitize={sanitizer} -fno-sanitize-recover=all",
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        # torch and Python are not built with it: what they wait for is not seen
        "TSAN_OPTIONS": "halt_on_error=1:ignore_noninstrumented_modules=1",
        "RONDO_CACHE": str(folder),
        "RONDO_OPENMP": "0",
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "src")]),
    }
    prefix = without_address_randomisation() if sanitizer == "thread" else []
    done = subprocess.run(
        [*prefix, sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "every cell ran" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "undefined"])
def test_every_cell_runs_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    check_clean(sanitizer, STREAMS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("num_threads", [1, 2, 8])
@pytest.mark.parametrize("sanitizer", ["address", "undefined", "thread"])
def test_the_conformance_suite_is_clean(sanitizer: str, num_threads: int, tmp_path: Path) -> None:
    check_clean(sanitizer, ON_THREADS, tmp_path, str(num_threads))


RACE = '''
import ctypes, threading
from rondo.compiler.runtime import load

library = load("""
static int num_there;
volatile int shared;
void add(void) {
    __atomic_fetch_add(&num_there, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&num_there, __ATOMIC_RELAXED) < 2) {}
    for (int i = 0; i < 1000; ++i) ++shared;
}
""")
threads = [threading.Thread(target=library.add) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("every cell ran")
'''


@pytest.mark.slow
def test_the_thread_sanitizer_sees_a_race_in_what_is_built(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="data race"):
        check_clean("thread", RACE, tmp_path)
