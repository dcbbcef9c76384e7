"""Generated kernels built with the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
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


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "undefined"])
def test_every_cell_runs_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the sanitizers of gcc are needed")
    name = {"address": "libasan.so", "undefined": "libubsan.so"}[sanitizer]
    library = subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "CC": f"gcc -g -fsanitize={sanitizer} -fno-sanitize-recover=all",
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "RONDO_CACHE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "src")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "every cell ran" in done.stdout
