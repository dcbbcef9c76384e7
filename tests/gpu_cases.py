"""What the tests of kernels for GPUs share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler.gpu.operators import TRITON_TARGET
from rondo.compiler.kernel import Kernel
from rondo.compiler.lower import lower
from test_conformance import make_case, run_layer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
"""Where kernels are run; on the CPU by Triton's interpreter."""

in_interpreter = pytest.mark.skipif(DEVICE == "cuda", reason="there is a GPU")

run_where_kernels_run = [
    pytest.mark.usefixtures("made_on_gpu", "compared_by_the_test"),
    pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning"),
]
"""Marks of all of them. The warnings are what numpy, in which the interpreter computes, says of
numbers that are masked or not finite."""


class Applied(rondo.Cell):
    """An operation of the input and the state, which stays as it is."""

    def __init__(self, function: Any) -> None:
        super().__init__(1, 8)
        self.function = function

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.function(x + 0 * h, h), h


def on_gpu(test: Any) -> Any:
    """A test that only a GPU can run, by name: `pytest -m gpu`."""
    return pytest.mark.gpu(pytest.mark.skipif(DEVICE == "cpu", reason="there is no GPU")(test))


def kernel_of(cell: nn.Module) -> Kernel:
    """The kernel of the forward pass of a cell."""
    return lower(rondo.Recurrent(cell, engine="reference").plan, TRITON_TARGET)


def on_both(
    name: str, mode: str, reverse: bool = False, sizes: tuple[int, ...] = (4, 5, 3, 6)
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The results of a cell by the cuda engine, and by the reference engine."""
    case = make_case(name, sizes, mode, torch.float32)
    layers = [
        rondo.Recurrent(case["cell"], engine=engine, reverse=reverse)
        for engine in ("cuda", "reference")
    ]
    got, expected = (run_layer(layer, case, mode) for layer in layers)
    return got, expected


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for key, value in expected.items():
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        torch.testing.assert_close(
            got[key], value, rtol=0, atol=tolerance * scale, msg=lambda m, k=key: f"{k}: {m}"
        )
