"""How threads share the steps of a loop: by rows of the batch, or by columns of the weights.

In go the sizes of a step, out comes which of the two takes less time. By rows, each thread runs the
whole sequence for its rows and waits for nobody, but reads all weights at every step. By columns,
the threads do each step together: every one reads its part of the weights, which may then lie in
its own cache, and they wait for each other a few times in each step. That wins where the rows are
few or the weights many, and where the steps are few: sums over rows are then made once, not by each
thread for its rows.

The numbers below are of common processors. A wrong choice costs time and changes no result.
"""

from __future__ import annotations

import functools
from math import prod
from pathlib import Path

from rondo.compiler.kernel import Kernel

PRODUCTS_PER_CYCLE = 16
"""Multiplications and additions of a thread in a cycle."""

NEAR_BYTES_PER_CYCLE, FAR_BYTES_PER_CYCLE = 16, 8
"""What a thread reads in a cycle from its own cache, and from memory that it shares with others."""

WAIT_CYCLES = 2_500
"""What it takes to share a part of a step: a microsecond."""

USUAL_CACHE_BYTES = 512 << 10
"""The second-level cache of a processor core, where the system does not tell its size."""


def shares_steps(kernel: Kernel, num_rows: int, num_steps: int, num_threads: int) -> bool:
    """Whether threads should do each step together.

    Args:
        kernel: The kernel.
        num_rows: The rows of a step.
        num_steps: How many steps there are.
        num_threads: The threads that may be at work.
    """
    if num_threads < 2:
        return False
    size = _num_weights(kernel)
    num_waits = sum(bool(level.loops) + bool(level.products) for level in kernel.levels)
    num_bytes = size * kernel.dtype.itemsize
    by_columns = _cycles(num_rows * size / num_threads, num_bytes / num_threads)
    by_rows = cycles_by_rows(kernel, -(-num_rows // num_threads))
    sums_alone = 2 * _bytes_of_sums(kernel) / FAR_BYTES_PER_CYCLE / num_steps
    return by_columns + num_waits * WAIT_CYCLES < by_rows + sums_alone


def _bytes_of_sums(kernel: Kernel) -> int:
    """What the sums over rows take: a thread that has rows of its own writes them once more."""
    return sum(prod(buffer.sizes) for buffer in kernel.at("total")) * kernel.dtype.itemsize


def cycles_by_rows(kernel: Kernel, num_rows: int) -> float:
    """Cycles of the products of a step that a thread does alone."""
    size = _num_weights(kernel)
    return _cycles(num_rows * size, size * kernel.dtype.itemsize)


def _num_weights(kernel: Kernel) -> int:
    """The weights that a step reads."""
    products = [product for level in kernel.levels for product in level.products]
    matrices = [kernel.matrices[product.matrix] for product in products]
    return sum(matrix.depth * matrix.width for matrix in matrices)


def _cycles(num_products: float, num_bytes: float) -> float:
    """Cycles of a thread that multiplies so often and reads so many bytes of weights."""
    is_near = num_bytes <= cache_bytes()
    speed = NEAR_BYTES_PER_CYCLE if is_near else FAR_BYTES_PER_CYCLE
    return max(num_products / PRODUCTS_PER_CYCLE, num_bytes / speed)


@functools.cache
def cache_bytes() -> int:
    """The size of the second-level cache of a processor core."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii")
        return int(text.strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        return USUAL_CACHE_BYTES
