"""The cuda engine, against the reference engine; without a GPU in Triton's interpreter."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, VARIANTS, slow_beyond
from gpu_cases import (
    DEVICE,
    Applied,
    assert_same,
    in_interpreter,
    on_both,
    run_where_kernels_run,
)
from rondo.compiler import EngineWarning, cuda
from rondo.compiler.cuda import TritonLoop
from rondo.compiler.gpu import phases
from rondo.compiler.gpu.launch import Launcher
from test_conformance import ALL_CELLS, MODES, check_budget, make_case, run_layer

pytest.importorskip("triton")
pytestmark = run_where_kernels_run


SOME = ["elman", "lstm", "gru-reset-before", "layer-norm-lstm", "slstm", "min-lstm"]
"""The cells of the quick tests: with and without several states, products in a row and norms."""


@pytest.mark.parametrize("name", CELLS)
def test_gives_what_the_reference_engine_gives(name: str) -> None:
    assert_same(*on_both(name, "ragged-resets", reverse=True), 5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_all_modes_give_what_the_reference_engine_gives(
    name: str, mode: str, reverse: bool
) -> None:
    assert_same(*on_both(name, mode, reverse), 5e-6)


@pytest.mark.parametrize("name", slow_beyond(VARIANTS, SOME))
def test_a_variant_gives_what_the_reference_engine_gives(name: str) -> None:
    assert_same(*on_both(name, "ragged-resets"), 5e-6)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 19, 33), (70, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru-reset-before", "layer-norm-lstm"])
def test_sizes_beyond_one_tile(name: str, sizes: tuple[int, ...]) -> None:
    assert_same(*on_both(name, "ragged-resets", sizes=sizes), 2e-5)


@pytest.mark.parametrize(
    "name", slow_beyond(["layer-norm-elman", "layer-norm-lstm", "slstm"], ["layer-norm-elman"])
)
def test_rows_that_are_too_long_to_be_done_as_a_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "MOST_IN_ROW", 4)
    assert_same(*on_both(name, "ragged-resets"), 2e-5)


class Grouped(rondo.Cell):
    """Sums over a part of a row: each group of elements is divided by one and its squares."""

    def __init__(self) -> None:
        super().__init__(3, 12)
        self.weight = nn.Parameter(torch.randn(12, 3))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        groups = (h + x @ self.weight.t()).unflatten(-1, (3, 4))
        h = (groups / (1.0 + groups.square().sum(-1, keepdim=True))).flatten(-2)
        return h, h


def test_sums_over_parts_of_a_row() -> None:
    layers = [rondo.Recurrent(Grouped(), engine=engine) for engine in ("cuda", "reference")]
    layers[1].load_state_dict(layers[0].state_dict())
    x, results = torch.randn(5, 4, 3, requires_grad=True), []
    for layer in layers:
        y, _ = layer(x, lengths=torch.tensor([4, 2, 0, 3, 4]))
        results.append([y, *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", slow_beyond(ALL_CELLS, ["elman", "layer-norm-lstm"]))
def test_float32_stays_within_the_error_budget(name: str) -> None:
    case = make_case(name, (4, 9, 5, 13), "dense", torch.float32)
    check_budget(run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "dense"), case)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "name", slow_beyond(["elman", "gru", "lstm", "layer-norm-lstm", "slstm"], ["elman", "gru"])
)
def test_half_precision_stays_within_the_error_budget(name: str, dtype: torch.dtype) -> None:
    case = make_case(name, (3, 6, 5, 13), "dense", dtype)
    check_budget(run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "dense"), case)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_under_autocast_it_computes_in_half_precision(dtype: torch.dtype) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 8), engine="cuda")
    x = torch.randn(2, 5, 3)
    with torch.autocast(DEVICE, dtype):
        y, h = layer(x)
    assert y.dtype == h.dtype == dtype
    expected, _ = rondo.Recurrent(layer.cell, engine="reference")(x)
    torch.testing.assert_close(y.float(), expected, rtol=0, atol=0.02)
    y.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


# ---- what is refused, or cannot be built ----


def test_float64_is_refused() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 3).double(), engine="cuda")
    with pytest.raises(ValueError, match=r"'cuda' cannot run .*Cell: the state h is float64"):
        layer(torch.zeros(1, 2, 2, dtype=torch.float64))


def test_a_power_that_is_not_known_is_refused() -> None:
    layer = rondo.Recurrent(Applied(lambda x, h: x.abs() ** 2.3 + h), engine="cuda")
    with pytest.raises(ValueError, match=r"a power of 2\.3 is none that kernels for GPUs do"):
        layer(torch.zeros(1, 2, 8))


@in_interpreter
def test_the_cpu_is_refused_without_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "is_interpreted", lambda: False)
    with pytest.raises(ValueError, match="it runs on a GPU, and the tensors are on cpu"):
        rondo.Recurrent(rondo.GRUCell(2, 3), engine="cuda")(torch.zeros(1, 2, 2))


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Triton is not installed"):
        rondo.Recurrent(rondo.GRUCell(2, 3), engine="cuda")(torch.zeros(1, 2, 2))


class Failing:
    """In the place of a kernel: one that cannot be launched."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, grid: object) -> Any:
        raise self.error


def failing_layer(cell: nn.Module, error: Exception, insists: bool) -> tuple[nn.Module, TritonLoop]:
    """A layer whose forward kernel Triton cannot build, as where there is no C compiler."""
    layer = rondo.Recurrent(cell, engine="cuda").requires_grad_(False)
    layer(torch.zeros(1, 1, 2))
    (program,) = layer._programs.by_kind.values()
    engine = program.run_forward
    assert isinstance(engine, TritonLoop)
    engine.insists = insists
    engine.launcher.module.only_0 = Failing(error)
    return layer, engine


def test_a_kernel_that_triton_cannot_build_is_replaced() -> None:
    cell, x = rondo.GRUCell(2, 3), torch.randn(2, 4, 2)
    error = RuntimeError("Failed to find C compiler.")
    layer, engine = failing_layer(cell, error, insists=False)
    with pytest.warns(EngineWarning, match=r"cannot build it: RuntimeError: Failed to find C"):
        y, _ = layer(x)
    assert torch.equal(y, rondo.Recurrent(cell, engine="reference")(x)[0])
    assert engine.reason is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(layer(x)[0], y)  # it says so once


def test_a_kernel_that_triton_cannot_build_is_an_error_where_it_was_asked_for() -> None:
    layer, _ = failing_layer(rondo.GRUCell(2, 3), OSError("no room"), insists=True)
    with pytest.raises(RuntimeError, match="cannot build the kernel: OSError: no room"):
        layer(torch.randn(2, 4, 2))


def test_what_does_not_fit_on_chip_is_read_in_each_step() -> None:
    from triton.runtime.errors import OutOfResources

    cell, x = rondo.GRUCell(2, 3), torch.randn(2, 4, 2)
    layer, engine = failing_layer(cell, OutOfResources(3, 2, "shared memory"), insists=True)
    kept = engine.launcher.module.only_0

    def run_apart(arguments: dict[str, Any], *rest: Any) -> None:
        engine.launcher.module.only_0 = kept if arguments["KEEP"] else works
        Launcher.run_apart(engine.launcher, arguments, *rest)

    works = cuda.module_of(engine.source).only_0
    engine.launcher.run_apart = run_apart
    with pytest.warns(EngineWarning, match="do not fit on chip: OutOfResources"):
        y, _ = layer(x)
    torch.testing.assert_close(y, rondo.Recurrent(cell, engine="reference")(x)[0])
