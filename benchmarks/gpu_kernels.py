"""Kernels for an H100, compiled without one: what runs them, and what they need of the chip."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "0"  # the interpreter compiles nothing

import torch

import rondo
from kept_runs import note, write_page
from rondo.bench.gpu_code import H100, Code, compiled
from rondo.cells.named import NAMED_CELLS
from rondo.system.columns import markdown_table

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

CELLS = (
    *("tanh", "lstm", "gru", "gru-reset-before", "lstm-peepholes", "slstm"),
    *("layer-norm-lstm", "layer-norm-gru", "min-gru", "lru", "ind-rnn"),
)

NOTES = f"""\
The kernel of all steps, compiled by Triton for compute capability {H100.capability}, for
{H100.num_processors} multiprocessors with {H100.shared_memory // 1024} KiB of shared memory each.
No GPU is needed for it, and nothing was run: the table says nothing of speed. "Weights on chip" are
read once, before the first step. "Waits" are those of all programs for each other in a step.
Memory is shared memory of a program. Products in float32 are computed in TF32.
"""


def plans_of(name: str, size: int, dtype: torch.dtype) -> dict[str, rondo.compiler.Plan]:
    """The plans of the forward and the backward pass of a cell."""
    layer = rondo.Recurrent(NAMED_CELLS[name](size, size).to(dtype), engine="reference")
    layer(torch.zeros(1, 2, size, dtype=dtype, requires_grad=True))
    (program,) = layer._programs.by_kind.values()
    return {"forward": program.forward, "backward": program.backward}


def row_of(name: str, which: str, code: Code) -> list[str]:
    grid = code.grid
    return [
        name,
        which,
        str(code.num_waits),
        str(grid.num_programs),
        f"{grid.rows} x {grid.columns}",
        "yes" if grid.keep else "no",
        f"{code.shared_memory / 1024:.0f}",
        str(code.registers),
        str(code.spilled),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sizes", type=int, nargs="+", default=[768, 1024, 2048])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"], choices=DTYPES)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=sorted(NAMED_CELLS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if find_spec("triton") is None:
        parser.error("Triton is not installed; `pip install triton`")
    head = ["cell", "pass", "waits", "programs", "tile", "weights on chip", "memory, KiB",
            "registers", "spilled, bytes"]  # fmt: skip
    sections = []
    for size in arguments.sizes:
        for dtype in arguments.dtypes:
            rows = []
            for name in arguments.cells:
                note(f"{name}, {size}, {dtype}")
                for which, plan in plans_of(name, size, DTYPES[dtype]).items():
                    rows.append(row_of(name, which, compiled(plan, arguments.batch)))
            title = f"## B = {arguments.batch}, H = {size}, {dtype}"
            sections.append(f"{title}\n\n{markdown_table(head, rows)}")
    write_page(arguments.output / "gpu_kernels.md", "Kernels for an H100", NOTES, sections, None)


if __name__ == "__main__":
    main()
