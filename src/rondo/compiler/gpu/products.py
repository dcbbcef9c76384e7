"""Products in Triton's language: rows of a tile times some columns of a matrix.

There are two ways. Where `KEEP` is not set, the matrix is read in each step, some of its rows at a
time. Where it is, every program has at most one tile of each product, and has read the columns that
this needs before the first step: they stay on chip for all steps. The warps of a program then share
the rows of the matrix among them, and their sums are added up at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from rondo.compiler.gpu.addresses import load, moved, power_of_two
from rondo.compiler.kernel import Kernel, Matrix, Product

MOST_DEPTH = 64
"""The most rows of a matrix that are read at once."""

MOST_KEPT_DEPTH, MOST_GROUPS = 256, 8
"""The most rows of a matrix in one part of what is kept, and the most groups of warps they are for;
a group has at least 16 of them, which is what one instruction multiplies."""

STORED = {torch.float32: "tl.float32", torch.bfloat16: "tl.bfloat16", torch.float16: "tl.float16"}


@dataclass(frozen=True)
class Sums:
    """The sums of a tile that are products of the same rows with the same matrix.

    Args:
        product: The product.
        columns: The first column of each sum, by the name of the sum.
        first_kept: The number of its first part in what the phase keeps.
    """

    product: Product
    columns: Mapping[str, int]
    first_kept: int = 0


def sum_lines(kernel: Kernel, sums: Sums) -> list[str]:
    """Compute the sums."""
    return [
        "if KEEP:",
        *(f"    {line}" for line in _lines_with_kept(kernel, sums)),
        "else:",
        *(f"    {line}" for line in _lines_reading(kernel, sums)),
    ]


def keep_lines(kernel: Kernel, sums: Sums) -> list[str]:
    """Read the columns of a matrix that the sums of a tile need."""
    matrix = kernel.matrices[sums.product.matrix]
    size, groups = _part_sizes(matrix)
    stored = STORED[kernel.stored]
    lines, number = [], sums.first_kept
    for begin in _parts(matrix):
        lines.append(f"k = depth_of_right({begin}, {size}, {groups})")
        for first in sums.columns.values():
            place = _element(sums.product.matrix, matrix, _moved_in("j[None]", first))
            mask = f"(k < {matrix.depth}) & known[None]"
            loaded = f"tl.load({place}, mask={mask}, other=0.0)"
            lines.append(f"kept_{number} = factor({loaded}, {stored})")
            number += 1
    return lines


def num_kept(kernel: Kernel, sums: Sums) -> int:
    """The number of parts that are kept for the sums of a tile."""
    return len(_parts(kernel.matrices[sums.product.matrix])) * len(sums.columns)


def kept_bytes(kernel: Kernel, every_sums: Iterable[Sums], columns: int) -> int:
    """The memory that a program needs to keep what sums of so many columns need."""
    numbers = 0
    for sums in every_sums:
        size, _ = _part_sizes(kernel.matrices[sums.product.matrix])
        numbers += num_kept(kernel, sums) * size * columns
    return numbers * kernel.stored.itemsize


def bytes_of_factors(kernel: Kernel, every_sums: Iterable[Sums], rows: int) -> int:
    """The memory that the left factors of a tile of so many rows need beside what is kept."""
    found = 0
    for sums in every_sums:
        matrix = kernel.matrices[sums.product.matrix]
        size, _ = _part_sizes(matrix)
        left = kernel.buffers[sums.product.left]
        found += rows * len(_parts(matrix)) * size * left.dtype.itemsize
    return found


def _lines_with_kept(kernel: Kernel, sums: Sums) -> list[str]:
    matrix = kernel.matrices[sums.product.matrix]
    size, groups = _part_sizes(matrix)
    lines = [f"{name} = tl.zeros(({groups}, ROWS, COLUMNS), tl.float32)" for name in sums.columns]
    number = sums.first_kept
    for begin in _parts(matrix):
        lines.append(f"k = depth_of_left({begin}, {size}, {groups})")
        lines.append(f"left = {_left(kernel, sums.product, '[None]')}")
        for name in sums.columns:
            lines.append(
                f"{name} = tl.dot(left, kept[{number}], {name}, input_precision=PRECISION)"
            )
            number += 1
    return [*lines, *(f"{name} = tl.sum({name}, 0)" for name in sums.columns)]


def _lines_reading(kernel: Kernel, sums: Sums) -> list[str]:
    matrix = kernel.matrices[sums.product.matrix]
    step = max(16, min(MOST_DEPTH, power_of_two(matrix.depth)))
    lines = [f"{name} = tl.zeros((ROWS, COLUMNS), tl.float32)" for name in sums.columns]
    lines += [
        f"for depth in range(0, {matrix.depth}, {step}):",
        f"    k = depth + tl.arange(0, {step})[None, :]",
        f"    left = {_left(kernel, sums.product, '')}",
        f"    k = depth + tl.arange(0, {step})[:, None]",
    ]
    for name, first in sums.columns.items():
        place = _element(sums.product.matrix, matrix, _moved_in("j", first))
        lines += [
            f"    right = tl.load({place}, mask=(k < {matrix.depth}) & known, other=0.0)",
            f"    right = factor(right, {STORED[kernel.stored]})",
            f"    {name} = tl.dot(left, right, {name}, input_precision=PRECISION)",
        ]
    return lines


def _left(kernel: Kernel, product: Product, spread: str) -> str:
    """The left factors of a tile in columns `k`; `spread` gives rows the dimensions of `k`."""
    mask = f"(row < rows){spread} & (k < {kernel.matrices[product.matrix].depth})"
    loaded = load(
        kernel.buffers[product.left],
        moved("k", product.left_offset),
        mask,
        f"row{spread}",
        f"is_reset{spread}",
    )
    return f"factor({loaded}, {STORED[kernel.stored]})"


def _element(number: int, matrix: Matrix, column: str) -> str:
    """Where the elements of a matrix in rows `k` and such columns lie."""
    height, width = (1, matrix.depth) if matrix.transposed else (matrix.width, 1)
    start = (matrix.batch or 0) * matrix.depth * matrix.width
    row = "k" if height == 1 else f"k * {height}"
    across = column if width == 1 else f"{column} * {width}"
    return f"matrix_{number} + {moved(row, start)} + {across}"


def _moved_in(index: str, offset: int) -> str:
    """The same as `moved`, as one factor."""
    return f"({index} + {offset})" if offset else index


def _part_sizes(matrix: Matrix) -> tuple[int, int]:
    """The rows of a matrix in a part of what is kept, and the groups of warps they are for."""
    size = max(16, min(MOST_KEPT_DEPTH, power_of_two(matrix.depth)))
    return size, min(MOST_GROUPS, size // 16)


def _parts(matrix: Matrix) -> range:
    """The first row of each part."""
    return range(0, matrix.depth, _part_sizes(matrix)[0])
