"""How many programs run a kernel on a GPU, how large their tiles are, and what they keep on chip.

In go a kernel and what the GPU has, out comes a :class:`Grid`. The first choice is that no program
has two tiles of a product and that what all its tiles need of the matrices fits into its shared
memory: then it is read once, before all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from rondo.compiler.gpu.phases import Phase, Rows
from rondo.compiler.gpu.products import MOST_GROUPS, Sums, bytes_of_factors, kept_bytes
from rondo.compiler.gpu.tiles import num_tiles, sums_of
from rondo.compiler.kernel import Kernel

ROWS = (64, 32, 16)
"""The rows that a tile of a product may have."""

COLUMNS = (64, 32, 16, 8)
"""The columns that it may have: more use the weights better, fewer give more programs something to
do."""

KEPT_COLUMNS = (8, 16, 32, 64)
"""The same where matrices are kept: with fewer columns a program has less to keep."""

FEW_WARPS, MANY_WARPS = 4, MOST_GROUPS
"""The warps of a program; many if it keeps matrices, or has long rows as a whole."""

LONG_ROW = 1024
"""Elements of a row that few warps can hold."""


@dataclass(frozen=True)
class Grid:
    """The programs that run a kernel.

    Args:
        rows, columns: Of a tile of a product.
        keep: Whether matrices are kept on chip.
        num_programs: As many as have something to do, and as can run at once.
        num_warps: The warps of a program.
    """

    rows: int
    columns: int
    keep: bool
    num_programs: int
    num_warps: int = FEW_WARPS

    @property
    def num_stages(self) -> int:
        """How many rounds of a loop are under way at once, and one more.

        A program that keeps matrices has one round: then all its left factors are fetched at once.
        """
        return 2 if self.keep else 3


def grid_of(
    kernel: Kernel,
    phases: Sequence[Phase],
    num_rows: int,
    num_processors: int,
    shared_memory: int,
) -> Grid:
    """Choose how a kernel is run for so many rows.

    Args:
        kernel: What is run.
        phases: Its phases.
        num_rows: The most rows of a step.
        num_processors: How many programs run at once.
        shared_memory: The bytes of it that a program may have; 0 if nothing is to be kept.
    """
    items = [
        (item, sums)
        for phase in phases
        for item, sums in zip(phase.work, sums_of(kernel, phase), strict=True)
    ]

    def most_tiles(rows: int, columns: int, with_products: bool = False) -> int:
        counts = (
            num_tiles(kernel, item, num_rows, rows, columns)
            for item, sums in items
            if sums or not with_products
        )
        return max(counts, default=0)

    all_rows = [rows for rows in ROWS if rows < 2 * num_rows or rows == ROWS[-1]]
    for rows, columns in product(all_rows, KEPT_COLUMNS):
        if (
            0 < most_tiles(rows, columns, with_products=True) <= num_processors
            and _bytes_needed(kernel, [sums for _, sums in items], rows, columns) <= shared_memory
        ):
            num_programs = min(num_processors, most_tiles(rows, columns))
            return Grid(rows, columns, True, num_programs, MANY_WARPS)
    rows = all_rows[0]
    enough = (c for c in COLUMNS if 2 * most_tiles(rows, c) >= num_processors)
    columns = next(enough, COLUMNS[-1])
    has_long_rows = any(isinstance(i, Rows) and i.most_elements > LONG_ROW for i, _ in items)
    num_warps = MANY_WARPS if has_long_rows else FEW_WARPS
    num_programs = min(num_processors, most_tiles(rows, columns))
    return Grid(rows, columns, False, num_programs, num_warps)


def _bytes_needed(kernel: Kernel, items: Sequence[Sequence[Sums]], rows: int, columns: int) -> int:
    """The shared memory of a program that keeps what it needs of all matrices.

    Beside that it holds the left factors of a tile, and the sums of its groups of warps.
    """
    kept = sum(kept_bytes(kernel, every_sums, columns) for every_sums in items)
    factors = max(bytes_of_factors(kernel, every_sums, rows) for every_sums in items)
    return kept + factors + 4 * MOST_GROUPS * rows * columns
