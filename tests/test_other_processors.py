"""Kernels on processors that this machine does not have: ARM's, with NEON, in an emulator.

The C of each kernel is compiled for the processor and runs there (`emulated.py`); torch and all
else run here. Needs a compiler for the processor and the emulator, and is skipped without.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import rondo
from cases import CELLS, make_cell
from emulated import Processor
from plain_loop import Sequences, check_equal, check_in_budget, run_layer, run_plain
from rondo.compiler import in_place

COMPILER = "aarch64-linux-gnu-gcc"
NEON = Processor((COMPILER, "-march=armv8-a"), ("qemu-aarch64", "-cpu", "cortex-a53"))
PAIRS = Processor((COMPILER, "-march=armv8.2-a+bf16"), ("qemu-aarch64", "-cpu", "max"), paired=True)
BATCH_SIZE, NUM_STEPS, INPUT_SIZE, HIDDEN_SIZE = 5, 6, 3, 9
MODES = ("dense", "ragged", "resets", "reverse")

pytestmark = pytest.mark.slow


def sequences(mode: str, dtype: torch.dtype) -> Sequences:
    x = torch.randn(BATCH_SIZE, NUM_STEPS, INPUT_SIZE, dtype=dtype).requires_grad_()
    lengths = torch.tensor([6, 0, 3, 4, 1]) if mode == "ragged" else None
    resets = torch.rand(BATCH_SIZE, NUM_STEPS) < 0.3 if mode == "resets" else None
    return Sequences(x, lengths=lengths, resets=resets)


def check_near(cell: nn.Module, given: Sequences, runs: list[int], *, least: float) -> None:
    """Fails where a layer is further from float64 than the budget, or was not emulated."""
    wide = replace(given, x=given.x.detach().double().requires_grad_())
    exact = run_plain(copy.deepcopy(cell).double(), wide)
    plain = run_plain(copy.deepcopy(cell), given)
    got = run_layer(rondo.Recurrent(cell, engine="cpu"), given)
    check_in_budget(got, plain, exact, least=least)
    assert len(runs) >= 2, "forward and backward"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_float64_is_the_plain_loop(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = NEON.emulate(monkeypatch, tmp_path)
    cell = make_cell(name, INPUT_SIZE, HIDDEN_SIZE, torch.float64)
    layer = rondo.Recurrent(copy.deepcopy(cell), engine="cpu", reverse=mode == "reverse")
    given = sequences(mode, torch.float64)
    check_equal(run_layer(layer, given), run_plain(cell, given, reverse=layer.reverse))
    assert len(runs) >= 2, "forward and backward"


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_within_the_error_budget(
    name: str, few: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With packed weights, and with weights that are read where they lie."""
    monkeypatch.setattr(in_place, "FEW_ROWS_OF_A_RUN", (few * 99, few * 99))
    runs = NEON.emulate(monkeypatch, tmp_path)
    cell = make_cell(name, INPUT_SIZE, HIDDEN_SIZE, torch.float32)
    check_near(cell, sequences("dense", torch.float32), runs, least=2**-20)


class Functions(rondo.Cell):
    """The functions that kernels have code of their own for."""

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = x.abs() + 0.5
        h = 0.5 * h + torch.sin(x) * torch.exp(-size) + torch.log(size) * torch.erf(h)
        h = h + size.pow(0.3) * torch.cos(h) + torch.tanh(x) * torch.sigmoid(h)
        return h, h


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = NEON.emulate(monkeypatch, tmp_path)
    x = (3 * torch.randn(2, 4, HIDDEN_SIZE, dtype=dtype)).requires_grad_()
    cell = Functions(HIDDEN_SIZE, HIDDEN_SIZE).to(dtype)
    check_near(cell, Sequences(x), runs, least=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("processor", [NEON, PAIRS], ids=["neon", "bf16"])
@pytest.mark.parametrize("name", ["gru", "lstm", "peephole-norm-lstm"])
def test_bfloat16_is_as_close_to_float64_as_torch_is(
    name: str, processor: Processor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In pairs, by the instruction of the processor where it has one."""
    runs = processor.emulate(monkeypatch, tmp_path)
    cell = make_cell(name, INPUT_SIZE, HIDDEN_SIZE, torch.bfloat16)
    given, least = sequences("dense", torch.bfloat16), torch.finfo(torch.bfloat16).eps
    check_near(cell, given, runs, least=least)
