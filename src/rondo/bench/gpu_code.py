"""Kernels for GPUs compiled to machine code, for which Triton needs no GPU.

In go a plan and what a GPU has, out come the programs that would run and what they need.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rondo.compiler.cuda import is_interpreted, module_of
from rondo.compiler.gpu.grid import Grid, grid_of
from rondo.compiler.gpu.operators import TRITON_TARGET
from rondo.compiler.gpu.render import ALONE, pointers_of, render_triton
from rondo.compiler.gpu.waits import phases_with_waits
from rondo.compiler.lower import lower
from rondo.compiler.plan import Plan

TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.bool: "*u8",
}


@dataclass(frozen=True)
class Gpu:
    """What kernels are compiled for.

    Args:
        capability: Its compute capability, times ten.
        num_processors: Its multiprocessors.
        shared_memory: The bytes of shared memory that a program may have.
    """

    capability: int
    num_processors: int
    shared_memory: int


H100 = Gpu(90, 132, 227 * 1024)
"""An H100 (SXM), of 132 multiprocessors."""


@dataclass(frozen=True)
class Code:
    """A compiled kernel.

    Args:
        grid: The programs that run it.
        num_waits: How often programs wait for each other in a step.
        shared_memory: The bytes of it that a program needs.
        registers: Those of a thread.
        spilled: Bytes of registers that are written to memory for want of room.
        texts: What the compiler made on its way, by kind: "ttgir", "ptx" and so on.
    """

    grid: Grid
    num_waits: int
    shared_memory: int
    registers: int
    spilled: int
    texts: dict[str, Any]


def compiled(
    plan: Plan,
    num_rows: int,
    *,
    gpu: Gpu = H100,
    keep: bool = True,
    name: str = "all_steps",
    **options: Any,
) -> Code:
    """Compile a kernel of a plan.

    Args:
        plan: The plan.
        num_rows: The rows of a step.
        gpu: What to compile for.
        keep: Whether matrices may be kept on chip.
        name: Which kernel: that of all steps, or "only_0" and so on, which runs one phase.
        options: Options of the kernel in the place of dense, unreset, first to last and TF32.

    Raises:
        RuntimeError: If Triton's interpreter is switched on.
    """
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    if is_interpreted():
        raise RuntimeError(
            "Triton's interpreter is on and compiles nothing; set TRITON_INTERPRET=0"
        )
    kernel = lower(plan, TRITON_TARGET)
    phases = phases_with_waits(kernel)
    grid = grid_of(kernel, phases, num_rows, gpu.num_processors, gpu.shared_memory if keep else 0)
    function = getattr(module_of(render_triton(kernel)), name)
    types = dict.fromkeys(("num_steps", "num_rows", *ALONE), "i32") | {"counter": "*i32"}
    types |= {"batch_sizes": "*i32", "first_rows": "*i64", "resets": "*u8"}
    types |= {key: TYPES[buffer.dtype] for key, buffer in pointers_of(kernel)}
    types |= {f"matrix_{i}": TYPES[kernel.stored] for i in range(len(kernel.matrices))}
    numbers = {key: number for number, key in enumerate(function.arg_names)}
    constants = {"REVERSE": False, "RESETS": 0, "PRECISION": "tf32", **options}
    constants |= {"KEEP": grid.keep, "ROWS": grid.rows, "COLUMNS": grid.columns}
    types = {key: kind for key, kind in types.items() if key in numbers}
    constants = {key: value for key, value in constants.items() if key in numbers}
    source = ASTSource(
        function,
        {key: types.get(key, "constexpr") for key in function.arg_names},
        {(numbers[key],): value for key, value in constants.items()},
        {(numbers[key],): [["tt.divisibility", 16]] for key in types if types[key][0] == "*"},
    )
    launch = {"num_warps": grid.num_warps, "num_stages": grid.num_stages}
    result = compile(source, target=GPUTarget("cuda", gpu.capability, 32), options=launch)
    registers, spilled = _register_use(result.asm["ptx"], knobs.nvidia.ptxas.path)
    waits = sum(phase.waits for phase in phases)
    return Code(grid, waits, result.metadata.shared, registers, spilled, dict(result.asm))


def _register_use(ptx: str, assembler: str) -> tuple[int, int]:
    """The registers of a thread, and the bytes of them that are spilled, by NVIDIA's assembler."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        target = re.findall(r"\.target (\w+)", ptx)[0]
        command = [assembler, "-v", f"-arch={target}", str(path), "-o", f"{path}.cubin"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers = re.search(r"Used (\d+) registers", said)
    spilled = re.search(r"(\d+) bytes spill stores", said)
    if registers is None or spilled is None:
        raise RuntimeError(f"the assembler did not say what the kernel uses, but: {said}")
    return int(registers[1]), int(spilled[1])
