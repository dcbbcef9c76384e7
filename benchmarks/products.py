"""Times the products of Rondo's kernels beside torch.mm and oneDNN's linear.

Left is what a thread of a kernel works on at a time: a chunk of rows (rows x depth) times a matrix
(depth x width) that lies packed, as before and after a loop; and rows times rows, summed over, as
for the gradient of a weight. All sides take turns in one run.

    python benchmarks/products.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from rondo.bench.measure import machine_lines, take_turns
from rondo.compiler.render_c import render_product
from rondo.compiler.runtime import load

ROWS = 192
SIZES = [(128, 384), (128, 512), (256, 768), (512, 2048), (650, 1950)]
LANES = 16
"""Columns of a packed matrix come in whole vectors: at most so many numbers of float32."""


class Products(ctypes.Structure):
    """The functions that the library of products gives; see `products` in panels.c."""

    _fields_ = (
        ("of_rows", ctypes.c_void_p),
        ("of_rows_anywhere", ctypes.c_void_p),
        ("over_rows", ctypes.c_void_p),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine_lines())
    library = load(render_product(torch.float32))
    products = Products.in_dll(library, "rondo_products")
    print("\nBillions of operations a second, one thread, float32; median of the rounds.\n")
    print("| product | rondo | torch.mm | oneDNN's linear |")
    print("|---|---|---|---|")
    for depth, width in SIZES:
        for name, contenders in (
            (f"{ROWS}x{depth} times {depth}x{width}", of_rows(products, depth, width)),
            (f"{width}x{ROWS} times {ROWS}x{depth}", over_rows(products, width, depth)),
        ):
            times = take_turns(contenders, options.rounds, turn_s=0.005)
            flops = 2 * ROWS * depth * width
            rates = [f"{flops / times[label].median / 1e9:.0f}" for label in contenders]
            print(f"| {name} | {' | '.join(rates)} |", flush=True)


def of_rows(products: Products, depth: int, width: int) -> dict[str, Callable[[], object]]:
    """Rows times a matrix."""
    padded = -(-width // LANES) * LANES
    left, matrix = torch.randn(ROWS, depth), torch.randn(depth, padded)
    result, weight = torch.empty(ROWS, padded), matrix[:, :width].t().contiguous()
    function = ctypes.CFUNCTYPE(
        None,
        *(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64),
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64),
    )(products.of_rows)

    def rondo() -> None:
        rows, packed, at = left.data_ptr(), matrix.data_ptr(), result.data_ptr()
        function(ROWS, depth, width, rows, depth, packed, at, padded, 0, 1)

    return {
        "rondo": rondo,
        "torch.mm": lambda: torch.mm(left, weight.t()),
        "linear": lambda: one_dnn(left, weight),
    }


def over_rows(products: Products, height: int, width: int) -> dict[str, Callable[[], object]]:
    """Rows times rows, summed over."""
    padded = -(-width // LANES) * LANES
    left, right = torch.randn(ROWS, height), torch.randn(ROWS, padded)
    total, panel = torch.zeros(height, padded), torch.empty(ROWS, 64)
    function = ctypes.CFUNCTYPE(
        None,
        *(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p),
        *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64),
    )(products.over_rows)
    lefts, rights = pointers(left), pointers(right)

    def rondo() -> None:
        at, room = total.data_ptr(), panel.data_ptr()
        function(ROWS, height, width, lefts, rights, at, padded, room, 0)

    narrow = right[:, :width]
    transposed, weight = left.t().contiguous(), narrow.t().contiguous()
    return {
        "rondo": rondo,
        "torch.mm": lambda: torch.mm(left.t(), narrow),
        "linear": lambda: one_dnn(transposed, weight),
    }


def pointers(rows: Tensor) -> ctypes.Array[ctypes.c_void_p]:
    """The addresses of the rows of a matrix."""
    first, step = rows.data_ptr(), rows.stride(0) * rows.itemsize
    return (ctypes.c_void_p * len(rows))(*(first + number * step for number in range(len(rows))))


def one_dnn(left: Tensor, weight: Tensor) -> Tensor:
    """Left times the transposed weight by oneDNN."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(left, weight, None, "none", [], "")
    return result


if __name__ == "__main__":
    main()
