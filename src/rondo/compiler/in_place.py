"""Weights that a kernel reads where they were given, rather than a packed copy of them.

In go a compiled loop, its matrices and the number of rows that it runs over; out comes whether its
products should read the weights themselves, and what does so. A packed copy pays where it is read
more often than it is made: packing reads and writes every weight once. In a stream, of which the
packed copy stays from step to step, it must be known that it is not old, so it pays less.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rondo.compiler.c_loops import C_TYPES
from rondo.compiler.call import Call
from rondo.compiler.kernel import Matrix
from rondo.compiler.runtime import load

if TYPE_CHECKING:
    from rondo.compiler.cpu import CompiledLoop

MANY_BYTES = 512 << 10
"""Weights of which a packed copy has no room beside them in the cache of a processor core."""

FEW_ROWS_OF_A_STEP = 8, 16
"""Rows for which weights cost more to read than to multiply, of few weights and of many. A packed
copy is there already, but the weights are read to know whether it is old."""

FEW_ROWS_OF_A_RUN = 8, 32
"""Rows of all steps for which packing takes longer than it wins, of few weights and of many."""


FEW_ROWS_OF_A_SUM = 8
"""Rows of which a sum is bound by where it is written."""


def pays_for_steps(loop: CompiledLoop, matrices: Sequence[Tensor], num_rows: int) -> bool:
    """Whether single steps, one after the other, should read their weights where they lie."""
    is_large = sum(tensor.nbytes for tensor in matrices) > MANY_BYTES
    return num_rows <= FEW_ROWS_OF_A_STEP[is_large] and can_read(loop, matrices)


def pays_for_run(loop: CompiledLoop, matrices: Sequence[Tensor], num_rows: int) -> bool:
    """Whether a run over so many rows of all steps should read its weights where they lie."""
    is_large = sum(tensor.nbytes for tensor in matrices) > MANY_BYTES
    return num_rows <= FEW_ROWS_OF_A_RUN[is_large] and can_read(loop, matrices)


def can_read(loop: CompiledLoop, matrices: Sequence[Tensor]) -> bool:
    """Whether a kernel can read its matrices where they are."""
    kernel = loop.kernel
    given = {value.name for value in loop.plan.step.parameters}
    return (
        kernel.stored == kernel.dtype
        and all(matrix.tensor in given for matrix in kernel.matrices)
        and all(map(_is_readable, matrices, kernel.matrices))
    )


def _is_readable(tensor: Tensor, matrix: Matrix) -> bool:
    """Whether the weights of each column, or those of each row, follow each other."""
    is_own = matrix.batch is None and tensor.dtype in C_TYPES and not tensor.is_neg()
    return is_own and 1 in tensor.stride()[-2:]


def read_in_place(call: Call, loop: CompiledLoop, num_rows: int) -> None:
    """Have a call of a kernel read its matrices where they are."""
    call.in_place = 1
    packed = ctypes.addressof(loop.products[1])
    made, _ = _products(loop.kernel.dtype, packed, few=num_rows <= FEW_ROWS_OF_A_SUM)
    call.products = ctypes.addressof(made)


@functools.cache
def _products(dtype: torch.dtype, packed: int, *, few: bool) -> tuple[Any, Any]:
    """The products with matrices that lie where they were given, and whose library they are of.

    `packed` is the address of the products with packed matrices, of which those over rows remain,
    unless rows are few.
    """
    library = _library(dtype)
    in_place = ctypes.addressof(ctypes.c_char.in_dll(library, "rondo_products_in_place"))
    functions = ctypes.c_void_p * 3
    own, other = functions.from_address(in_place), functions.from_address(packed)
    return functions(own[0], own[1], (own if few else other)[2]), library


def _library(dtype: torch.dtype) -> Any:
    """The library of these products for a type."""
    return load(source_of(dtype))


def source_of(dtype: torch.dtype) -> str:
    """The C of these products for a type."""
    folder = files("rondo.compiler").joinpath("c")
    names = ("panels.c", "in_place.c")
    source = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return f"#include <stdint.h>\n#include <string.h>\ntypedef {C_TYPES[dtype]} real;\n{source}"
