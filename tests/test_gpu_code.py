"""The sources of kernels for GPUs, and what Triton makes of them without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import rondo
from cases import check_golden, make_cell
from gpu_cases import (
    in_interpreter,
    run_where_kernels_run,
)
from operation_cases import GROUPS
from rondo.bench.gpu_code import compiled
from rondo.cells.named import NAMED_CELLS
from rondo.compiler.cuda import TritonLoop

pytest.importorskip("triton")
pytestmark = run_where_kernels_run


@pytest.mark.parametrize("name", ["gru", "layer-norm-elman"])
@pytest.mark.parametrize("which", ["forward", "backward"])
def test_the_source_is_as_it_was(name: str, which: str) -> None:
    """To change it on purpose: remove the file, run this test twice and look at what changed."""
    layer = rondo.Recurrent(make_cell(name, 3, 8, torch.float32), engine="cuda")
    layer(torch.zeros(1, 2, 3, requires_grad=True))
    (program,) = layer._programs.by_kind.values()
    engine = program.run_forward if which == "forward" else program.run_backward
    assert isinstance(engine, TritonLoop)
    check_golden(f"{name}-{which}.py.txt", engine.source)


def test_a_layer_shows_its_kernel_and_who_runs_what() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 5), engine="cuda")
    assert "def all_steps(" in layer.source
    assert "the kernel runs it" in str(layer.plan)


COMPILE = """
import torch, rondo
from rondo.bench.gpu_code import H100, compiled
from rondo.cells.named import NAMED_CELLS

for name, dtype in (
    ("lstm", torch.bfloat16), ("layer-norm-gru", torch.float32), ("layer-norm-gru", torch.float16)
):
    layer = rondo.Recurrent(NAMED_CELLS[name](256, 256).to(dtype), engine="reference")
    layer(torch.zeros(2, 3, 256, dtype=dtype, requires_grad=True))
    (program,) = layer._programs.by_kind.values()
    exact = compiled(program.forward, 16, keep=False, PRECISION="ieee", RESETS=1)
    kept = [compiled(program.forward, 16, RESETS=1),
            compiled(program.backward, 16, RESETS=2, REVERSE=True)]
    alone = [compiled(plan, 1, keep=False, name="only_0", PRECISION="ieee")
             for plan in (program.forward, program.backward)]
    assert all(len(code.texts["cubin"]) > 1000 for code in alone)
    for code in (exact, *kept):
        assert len(code.texts["cubin"]) > 1000
        assert code.shared_memory <= H100.shared_memory
        assert "ld.global.gpu.acquire" in code.texts["ptx"]  # what makes the barrier one
    for code in kept:
        before_steps, steps = code.texts["ttgir"].split("scf.for", 1)
        assert code.grid.keep and "tt.dot " in steps
        assert "tt.load %kept" in before_steps and "tt.load %kept" not in steps
    print(name, dtype, "compiled")
"""


EVERY_CELL = """
import torch, rondo
from rondo.bench.gpu_code import compiled
from rondo.cells.named import NAMED_CELLS

for name, make in NAMED_CELLS.items():
    for dtype in (torch.float32, torch.bfloat16):
        layer = rondo.Recurrent(make(96, 96).to(dtype), engine="reference")
        layer(torch.zeros(2, 3, 96, dtype=dtype, requires_grad=True))
        (program,) = layer._programs.by_kind.values()
        compiled(program.forward, 16, RESETS=1)
        compiled(program.backward, 16, RESETS=2)
    print(name)
"""


EVERY_OPERATION = """
import rondo
from operation_cases import GROUPS, Applies
from rondo.bench.gpu_code import compiled

for name, functions in GROUPS.items():
    layer = rondo.Recurrent(Applies(functions), engine="reference")
    compiled(layer.plan, 16, RESETS=1)
    compiled(layer.backward_plan, 16, RESETS=2)
    print(name)
"""


def run_apart_from_tests(program: str) -> list[str]:
    """The lines that a program prints which runs without Triton's interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "TRITON_INTERPRET": "0",
            "RONDO_CHECK": "0",  # of kernels that no GPU runs
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_kernels_compile_for_an_h100() -> None:
    """Triton needs no GPU to compile for one: this finds what the interpreter lets pass.

    Kept matrices must be read before the first step, and fit into the memory that there is.
    """
    assert len(run_apart_from_tests(COMPILE)) == 3


@pytest.mark.slow
def test_kernels_of_every_cell_compile_for_an_h100() -> None:
    assert run_apart_from_tests(EVERY_CELL) == list(NAMED_CELLS)


@pytest.mark.slow
def test_what_kernels_take_apart_compiles_for_an_h100() -> None:
    assert run_apart_from_tests(EVERY_OPERATION) == list(GROUPS)


LAUNCH = """
import torch, rondo
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from rondo.compiler import cuda
from rondo.compiler.gpu import launch

class Absent:
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", 90, 32)

class Built:
    def __init__(self, kernel): self.kernel = kernel
    def __getitem__(self, grid):
        def build(**arguments):
            made = self.kernel.warmup(grid=grid, **arguments).metadata
            print(self.kernel.__name__, made.launch_cooperative_grid, made.num_warps)
        return build

def built_of(source, module_of=cuda.module_of):
    module = module_of(source)
    kernels = [key for key in vars(module) if key == "all_steps" or key.startswith("only_")]
    for key in kernels:
        setattr(module, key, Built(getattr(module, key)))
    return module

driver.set_active(Absent())
__import__("os").environ["RONDO_CHECK"] = "0"  # which would look at results
cuda.module_of, cuda._check_there = built_of, lambda device: False
launch._resources = lambda device: (132, 227 * 1024)
for dtype in (torch.float32, torch.bfloat16):
    layer = rondo.Recurrent(rondo.LayerNormLSTMCell(24, 24).to(dtype), engine="cuda")
    for num_steps in (5, 1):
        x = torch.randn(16, num_steps, 24, dtype=dtype, requires_grad=True)
        y, _ = layer(x, lengths=torch.full((16,), num_steps), resets=torch.rand(x.shape[:2]) < 0.2)
        y.float().sum().backward()
"""


def test_kernels_are_built_by_the_calls_that_launch_them() -> None:
    """All that comes before a launch, with a GPU that is not there; nothing is run."""
    apart = ["only_0 False 4", "only_1 False 4"]
    assert run_apart_from_tests(LAUNCH) == [
        *("all_steps True 4", "all_steps True 4", *apart, *apart),  # exact: nothing is kept
        *("all_steps True 8", "all_steps True 8", *apart, *apart),
    ]


@in_interpreter
def test_the_interpreter_compiles_nothing() -> None:
    plan = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference").plan
    with pytest.raises(RuntimeError, match="set TRITON_INTERPRET=0"):
        compiled(plan, 1)
