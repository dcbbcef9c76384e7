"""Weights that a step reads where they were given, rather than a packed copy of them.

In goes the run of a step, which the kernel has packed; afterwards its products read the weights
themselves. A step reads every weight once: where they are many and rows are few, it is bound by
memory, and a packed copy, of which it must be known that it is not old, would double what is read.
"""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.c_loops import C_TYPES
from rondo.compiler.kernel import Matrix
from rondo.compiler.run import Run
from rondo.compiler.runtime import load

MANY_BYTES = 512 << 10
"""Weights of which a packed copy has no room beside them in the cache of a processor core."""

FEW_ROWS = 16
"""Rows for which memory and not arithmetic is the limit."""


def pays_in_place(run: Run) -> bool:
    """Whether a step should read its weights where they were given, and can."""
    kernel = run.loop.kernel
    given = {value.name for value in run.loop.plan.step.parameters}
    return (
        run.num_all_rows <= FEW_ROWS
        and sum(tensor.nbytes for tensor in run.matrices) > MANY_BYTES
        and not kernel.sums
        and all(matrix.tensor in given for matrix in kernel.matrices)
        and all(map(_is_readable, run.matrices, kernel.matrices))
    )


def _is_readable(tensor: Tensor, matrix: Matrix) -> bool:
    """Whether the weights of each column follow each other."""
    return matrix.batch is None and tensor.stride(-1 if matrix.transposed else -2) == 1


def read_in_place(run: Run) -> None:
    """Have a run that was begun read its matrices where they are."""
    numbers: list[int] = []
    for tensor, matrix in zip(run.matrices, run.loop.kernel.matrices, strict=True):
        stride = tensor.stride(-2 if matrix.transposed else -1)
        numbers += (tensor.data_ptr(), stride, matrix.depth, matrix.width)
    library = _library(run.loop.kernel.dtype)
    matrices = (ctypes.c_int64 * len(numbers))(*numbers)
    library.rondo_put_places(ctypes.byref(run.call), ctypes.c_int64(len(run.matrices)), matrices)


@functools.cache
def _library(dtype: torch.dtype) -> Any:
    """The library of these products for a type."""
    folder = files("rondo.compiler").joinpath("c")
    names = ("panels.c", "share.c", "call.c", "in_place.c")
    source = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return load(
        f"#include <stdint.h>\n#include <string.h>\ntypedef {C_TYPES[dtype]} real;\n{source}"
    )
