"""The kernels for GPUs, run by Triton's interpreter where there is none, and compiled for one."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, VARIANTS, check_golden, make_cell, relative_error
from rondo.bench.gpu_code import H100, compiled
from rondo.compiler import EngineWarning, cuda
from rondo.compiler.cuda import TritonLoop
from rondo.compiler.gpu import launch
from rondo.compiler.gpu.grid import Grid, grid_of
from rondo.compiler.gpu.launch import INTERPRETED_MEMORY, INTERPRETED_PROGRAMS, Launcher
from rondo.compiler.gpu.operators import TRITON_SPELLING, TRITON_TARGET
from rondo.compiler.gpu.phases import Phase, Rows, Tiles
from rondo.compiler.gpu.waits import phases_with_waits
from rondo.compiler.kernel import Kernel
from rondo.compiler.lower import lower
from test_conformance import ALL_CELLS, MODES, make_case, run_layer, run_plain

pytest.importorskip("triton")
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
"""What numpy, in which the interpreter computes, says of numbers that are masked or not finite."""

aten = torch.ops.aten

in_interpreter = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def _where_kernels_run() -> Iterator[None]:
    """Cells and tensors are made on the GPU, if there is one."""
    if not torch.cuda.is_available():
        yield
        return
    torch.set_default_device("cuda")
    yield
    torch.set_default_device(None)


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


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_gives_what_the_reference_engine_gives(name: str, mode: str, reverse: bool) -> None:
    assert_same(*on_both(name, mode, reverse), 5e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_gives_what_the_reference_engine_gives(name: str) -> None:
    assert_same(*on_both(name, "ragged-resets"), 5e-6)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 19, 33), (70, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru-reset-before", "layer-norm-lstm"])
def test_sizes_beyond_one_tile(name: str, sizes: tuple[int, ...]) -> None:
    assert_same(*on_both(name, "ragged-resets", sizes=sizes), 2e-5)


@pytest.mark.parametrize("name", ALL_CELLS)
def test_float32_stays_within_the_error_budget(name: str) -> None:
    """At most twice the error that plain PyTorch makes at float32, both against float64."""
    case = make_case(name, (4, 9, 5, 13), "dense", torch.float32)
    check_budget(case, name, torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "layer-norm-lstm", "slstm"])
def test_half_precision_stays_within_the_error_budget(name: str, dtype: torch.dtype) -> None:
    check_budget(make_case(name, (3, 6, 5, 13), "dense", dtype), name, dtype)


def check_budget(case: dict[str, Any], name: str, dtype: torch.dtype) -> None:
    exact = {
        "cell": make_cell(name, 5, 13, dtype).double(),
        "x": case["x"].detach().double().requires_grad_(),
        "state": pytree.tree_map(lambda s: s.detach().double().requires_grad_(), case["state"]),
        "lengths": case["lengths"],
        "resets": case["resets"],
    }
    reference, plain = run_plain(exact, False), run_plain(case, False)
    got = run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "dense")
    for key, value in reference.items():
        budget = 2 * max(relative_error(plain[key], value), torch.finfo(dtype).eps)
        assert relative_error(got[key], value) <= budget, key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_under_autocast_it_computes_in_half_precision(dtype: torch.dtype) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 8), engine="cuda")
    x = torch.randn(2, 5, 3)
    with torch.autocast("cpu", dtype):
        y, h = layer(x)
    assert y.dtype == h.dtype == dtype
    expected, _ = rondo.Recurrent(layer.cell, engine="reference")(x)
    torch.testing.assert_close(y.float(), expected, rtol=0, atol=0.02)
    y.sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


# ---- how programs share the work ----


def kernel_of(cell: nn.Module) -> Kernel:
    return lower(rondo.Recurrent(cell, engine="reference").plan, TRITON_TARGET)


@in_interpreter
@pytest.mark.parametrize("mode", ["dense", "ragged-resets"])
@pytest.mark.parametrize("name", CELLS)
def test_matrices_may_be_read_in_each_step(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "INTERPRETED_MEMORY", 0)
    assert_same(*on_both(name, mode), 5e-6)


@in_interpreter
def test_several_programs_keep_their_columns() -> None:
    """Each of three programs has 64 columns, and backward three parts of a matrix for them."""
    kernel = kernel_of(rondo.LSTMCell(3, 150))
    grid = grid_of(kernel, phases_with_waits(kernel), 20, INTERPRETED_PROGRAMS, INTERPRETED_MEMORY)
    assert grid == Grid(32, 64, True, 3, num_warps=8)
    assert_same(*on_both("lstm", "ragged-resets", sizes=(20, 3, 3, 150)), 2e-5)


def launched(monkeypatch: pytest.MonkeyPatch, num_programs: int, together: bool) -> list[Tensor]:
    """The results of a layer whose kernels are run by so many programs, or by one kernel."""
    case = make_case("layer-norm-gru", (5, 4, 3, 20), "ragged-resets", torch.float32)
    if together:
        monkeypatch.setattr(Launcher, "run_apart", Launcher.run_together)
    monkeypatch.setattr(launch, "INTERPRETED_PROGRAMS", num_programs)
    results = run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "ragged-resets")
    monkeypatch.undo()
    return list(results.values())


@in_interpreter
def test_the_number_of_programs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = launched(monkeypatch, 1, together=False)
    for num_programs in (2, 7):
        for a, b in zip(launched(monkeypatch, num_programs, False), expected, strict=True):
            assert torch.equal(a, b)


@in_interpreter
def test_one_kernel_for_all_steps_gives_what_one_for_each_phase_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = launched(monkeypatch, 1, together=False)
    for a, b in zip(launched(monkeypatch, 1, together=True), expected, strict=True):
        assert torch.equal(a, b)


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ALL_CELLS)
def test_programs_that_run_at_once_wait_for_each_other(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One kernel for all steps gives, every time, what one for each phase gives."""
    case = make_case(name, (40, 60, 32, 300), "ragged-resets", dtype)

    def results() -> list[Tensor]:
        layer = rondo.Recurrent(case["cell"], engine="cuda")
        return list(run_layer(layer, case, "ragged-resets").values())

    together = [results() for _ in range(3)]
    monkeypatch.setattr(Launcher, "run_together", Launcher.run_apart)
    for a, *others in zip(results(), *together, strict=True):
        assert all(torch.equal(a, other) for other in others)


def run_ahead(
    launcher: Launcher,
    arguments: dict[str, Any],
    num_steps: int,
    reverse: bool,
    num_programs: int,
) -> None:
    """Where programs do not wait, the last one does all that it may before the others begin."""
    groups: list[list[tuple[int, int]]] = [[]]
    for turn in range(num_steps):
        for number, phase in enumerate(launcher.phases):
            groups[-1].append((number, turn))
            if phase.waits:
                groups.append([])
    for group in groups:
        for program in reversed(range(num_programs)):
            for number, turn in group:
                step = num_steps - 1 - turn if reverse else turn
                programs = range(program, program + 1)
                launcher.run_phase(number, programs, num_programs, arguments, turn, step)


def results_of(name: str) -> dict[str, Tensor]:
    """The results of a cell on several programs."""
    case = make_case(name, (40, 3, 3, 20), "ragged-resets", torch.float32)
    return run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "ragged-resets")


@pytest.mark.parametrize("name", ALL_CELLS)
def test_a_program_may_run_ahead_where_none_waits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = results_of(name)
    monkeypatch.setattr(Launcher, "run_apart", run_ahead)
    for key, value in results_of(name).items():
        assert torch.equal(value, expected[key]), key


def test_a_program_that_does_not_wait_where_it_must_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the test above can see."""
    expected = results_of("lstm")
    found = launch.phases_with_waits
    monkeypatch.setattr(Launcher, "run_apart", run_ahead)
    monkeypatch.setattr(
        launch,
        "phases_with_waits",
        lambda kernel: [Phase(phase.work, False) for phase in found(kernel)],
    )
    assert not torch.equal(results_of("lstm")["output"], expected["output"])


def written_phases(cell: nn.Module, which: str) -> str:
    """The phases of a step: p a product, t a loop by tiles, r loops by rows, | where all wait."""
    layer = rondo.Recurrent(cell, engine="cuda")
    layer(torch.zeros(1, 2, 3, requires_grad=True))
    (program,) = layer._programs.by_kind.values()
    engine = program.run_forward if which == "forward" else program.run_backward
    assert isinstance(engine, TritonLoop)
    return "".join(
        "".join(
            "t" if isinstance(w, Tiles) else "r" if isinstance(w, Rows) else "p" for w in p.work
        )
        + ("|" if p.waits else ",")
        for p in engine.launcher.phases
    )


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("elman", "t|", "t|t,"),
        ("lstm", "t|", "t|t,"),
        ("gru", "t|", "t|t,"),
        ("gru-reset-before", "t|t|", "t|p,t|t,"),
        ("layer-norm-lstm", "p|r|", "r|t|"),
        ("min-gru", "t,", "t,"),
    ],
)
def test_programs_wait_seldom(name: str, forward: str, backward: str) -> None:
    cell = make_cell(name, 3, 8, torch.float32)
    assert written_phases(cell, "forward") == forward
    assert written_phases(cell, "backward") == backward


def test_a_phase_reads_nothing_that_it_writes() -> None:
    for name in ALL_CELLS:
        for phase in phases_with_waits(kernel_of(make_cell(name, 3, 8, torch.float32))):
            written: set[str] = set()
            for item in phase.work:
                assert not written & item.reads, name
                written |= item.writes


@pytest.mark.parametrize(
    ("num_rows", "hidden_size", "expected"),
    [
        (16, 768, Grid(16, 8, False, 96)),
        (256, 1024, Grid(64, 32, False, 128)),
        (1024, 2048, Grid(64, 64, False, 132)),
        (1, 8, Grid(16, 8, False, 1)),
    ],
)
def test_tiles_are_wide_where_that_leaves_work_for_all(
    num_rows: int, hidden_size: int, expected: Grid
) -> None:
    kernel = kernel_of(rondo.LSTMCell(3, hidden_size))
    assert grid_of(kernel, phases_with_waits(kernel), num_rows, H100.num_processors, 0) == expected


@pytest.mark.parametrize(
    ("num_rows", "hidden_size", "expected"),
    [
        (16, 768, Grid(16, 8, True, 96, num_warps=8)),
        (17, 768, Grid(32, 8, True, 96, num_warps=8)),
        (
            64,
            768,
            Grid(32, 16, True, 96, num_warps=8),
        ),  # whose left factors would not fit with 64 rows
        (16, 1024, Grid(16, 8, True, 128, num_warps=8)),
        (16, 2048, Grid(16, 16, False, 128)),  # 256 kB for each of 128 programs
        (1, 8, Grid(16, 8, True, 1, num_warps=8)),
    ],
)
def test_matrices_are_kept_on_chip_where_they_fit(
    num_rows: int, hidden_size: int, expected: Grid
) -> None:
    kernel = kernel_of(rondo.LSTMCell(3, hidden_size).bfloat16())
    assert (
        grid_of(
            kernel, phases_with_waits(kernel), num_rows, H100.num_processors, H100.shared_memory
        )
        == expected
    )


def test_long_rows_have_more_warps() -> None:
    kernel = kernel_of(rondo.LayerNormLSTMCell(3, 512))
    assert grid_of(kernel, phases_with_waits(kernel), 16, H100.num_processors, 0).num_warps == 8


def test_a_loop_without_products_keeps_nothing() -> None:
    kernel = kernel_of(rondo.MinGRUCell(3, 512))
    assert not grid_of(
        kernel, phases_with_waits(kernel), 16, H100.num_processors, H100.shared_memory
    ).keep


# ---- elementwise operations ----


def of_one(function: Any) -> Any:
    return lambda x, y: function(x)


OPERATIONS: dict[Any, Any] = {
    aten.add: lambda x, y: torch.add(x, y, alpha=0.5),
    aten.sub: lambda x, y: torch.sub(x, y, alpha=2),
    aten.rsub: lambda x, y: 2 - x,
    aten.mul: torch.mul,
    aten.div: torch.div,
    **{
        getattr(aten, name): of_one(getattr(torch, name))
        for name in (
            *("neg", "reciprocal", "abs", "sqrt", "rsqrt", "exp", "exp2", "log", "log2", "sin"),
            *("cos", "erf", "floor", "ceil", "tanh", "sigmoid", "expm1", "log1p", "sign", "sgn"),
            *("relu", "square"),
        )
    },
    aten.silu: of_one(nn.functional.silu),
    aten.gelu: lambda x, y: nn.functional.gelu(x) + nn.functional.gelu(y, approximate="tanh"),
    aten.softplus: lambda x, y: nn.functional.softplus(x) + nn.functional.softplus(y, 2.0, 3.0),
    aten.leaky_relu: of_one(nn.functional.leaky_relu),
    aten.elu: lambda x, y: nn.functional.elu(x, 0.7) + nn.functional.selu(y),
    aten.pow: lambda x, y: x**2 + x**3 + y**0.5 + x**-1 + x**-2 + y**-0.5 + y**2.5 + x**4,
    aten.maximum: torch.maximum,
    aten.minimum: torch.minimum,
    aten.clamp: lambda x, y: x.clamp(-0.5, 0.7) + y.clamp(max=0.2) + y.clamp(min=-1),
    aten.hardtanh: of_one(nn.functional.hardtanh),
    aten.clamp_min: lambda x, y: x.clamp_min(0.1),
    aten.clamp_max: lambda x, y: x.clamp_max(0.1),
    aten.where: lambda x, y: torch.where(x > y, x, 2.0 * y),
    aten.masked_fill: lambda x, y: x.masked_fill(y > 0, 3.0),
    aten.lerp: lambda x, y: torch.lerp(x, y, 0.3),
    aten.addcmul: lambda x, y: torch.addcmul(x, x, y, value=0.5),
    aten.addcdiv: lambda x, y: torch.addcdiv(x, x, y, value=0.5),
    aten.eq: lambda x, y: (x == x.floor()) * y,
    aten.ne: lambda x, y: (x != x.floor()) * y,
    **{
        getattr(aten, name): lambda x, y, name=name: getattr(torch, name)(x, y) * y
        for name in ("lt", "le", "gt", "ge")
    },
    **{
        getattr(aten, name): lambda x, y, name=name: getattr(torch, name)(x > 0, y > 0) * y
        for name in (
            *("logical_and", "logical_or", "logical_xor"),
            *("bitwise_and", "bitwise_or", "bitwise_xor"),
        )
    },
    aten.logical_not: lambda x, y: torch.logical_not(x > 0) * y,
    aten.bitwise_not: lambda x, y: torch.bitwise_not(x > 0) * y,
    aten.isnan: lambda x, y: torch.where(torch.isnan(x), y, x),
    aten._to_copy: lambda x, y: (x > 0).to(x.dtype) + y.to(torch.bool).to(x.dtype),
}
"""An expression for each operation that kernels know."""


class Applied(rondo.Cell):
    """An operation of the input and the state, which stays as it is."""

    def __init__(self, function: Any) -> None:
        super().__init__(1, 8)
        self.function = function

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.function(x + 0 * h, h), h


def test_each_operation_has_an_expression() -> None:
    assert set(OPERATIONS) == set(TRITON_SPELLING)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_each_operation(operation: Any) -> None:
    cell = Applied(OPERATIONS[operation])
    x = torch.randn(4, 3, 8)
    x[0, 0, :6] = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-6])
    x[0, 1, :6] = torch.tensor([50.0, -50.0, 100.0, -100.0, 1e-20, 3.0])
    x = torch.cat([x, x.abs()])
    h = torch.randn(8, 8).abs()
    if operation is aten.gelu:
        x = torch.where(x.isinf(), 1.0, x)  # of which torch makes NaN
    if operation in (aten.sin, aten.cos):
        x = torch.where(x.abs() < 1e4, x, 1.0)
    got, expected = (
        rondo.Recurrent(cell, engine=engine)(x, h)[0] for engine in ("cuda", "reference")
    )
    torch.testing.assert_close(got, expected, rtol=4e-6, atol=1e-7, equal_nan=True)


# ---- what is refused ----


def test_float64_is_refused() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(2, 3).double(), engine="cuda")
    with pytest.raises(ValueError, match=r"cuda engine cannot run this cell: h is torch\.float64"):
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
    y, _ = layer(x)
    torch.testing.assert_close(y, rondo.Recurrent(cell, engine="reference")(x)[0])


# ---- sources ----


@pytest.mark.parametrize("name", ["gru", "layer-norm-elman"])
@pytest.mark.parametrize("which", ["forward", "backward"])
def test_the_source_is_as_it_was(name: str, which: str) -> None:
    """To change it on purpose: remove the file, run this test twice and look at what changed."""
    layer = rondo.Recurrent(make_cell(name, 3, 8, torch.float32), engine="cuda")
    layer(torch.zeros(1, 2, 3, requires_grad=True))
    (program,) = layer._programs.by_kind.values()
    engine = program.run_forward if which == "forward" else program.run_backward
    assert isinstance(engine, TritonLoop)
    check_golden(f"{name}-{which}.py.txt", engine.source)


def test_a_layer_shows_its_kernel_and_who_runs_what() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 5), engine="cuda")
    assert "def all_steps(" in layer.source
    assert "the kernel runs it" in str(layer.plan)


COMPILE = """
import torch, rondo
from rondo.bench.gpu_code import H100, compiled
from rondo.cells.named import NAMED_CELLS

for name in ("lstm", "layer-norm-gru"):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        layer = rondo.Recurrent(NAMED_CELLS[name](256, 256).to(dtype), engine="reference")
        layer(torch.zeros(2, 3, 256, dtype=dtype, requires_grad=True))
        (program,) = layer._programs.by_kind.values()
        exact = compiled(program.forward, 16, keep=False, PRECISION="ieee", RESETS=1)
        kept = [compiled(program.forward, 16, RESETS=1),
                compiled(program.backward, 16, RESETS=2, REVERSE=True)]
        alone = [compiled(plan, 1, keep=False, name="only_0", PRECISION="ieee")
                 for plan in (program.forward, program.backward)]
        assert all(len(code.texts["cubin"]) > 1000 for code in alone)
        for code in (exact, *kept):
            assert len(code.texts["cubin"]) > 1000
            assert code.shared_memory <= H100.shared_memory
            assert "ld.global.gpu.acquire" in code.texts["ptx"]  # what makes the barrier one
        for code in kept:
            before_steps, steps = code.texts["ttgir"].split("scf.for", 1)
            assert code.grid.keep and "tt.dot " in steps
            assert "tt.load %kept" in before_steps and "tt.load %kept" not in steps
        print(name, dtype, "compiled")
"""


def test_kernels_compile_for_an_h100() -> None:
    """Triton needs no GPU to compile for one: this finds what the interpreter lets pass.

    Kept matrices must be read before the first step, and fit into the memory that there is.
    """
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("compiled") == 6


LAUNCH = """
import torch, rondo
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from rondo.compiler import cuda
from rondo.compiler.gpu import launch

class Absent:
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0
    def get_current_target(self): return GPUTarget("cuda", 90, 32)

class Built:
    def __init__(self, kernel): self.kernel = kernel
    def __getitem__(self, grid):
        def build(**arguments):
            made = self.kernel.warmup(grid=grid, **arguments).metadata
            print(self.kernel.__name__, made.launch_cooperative_grid, made.num_warps)
        return build

def built_of(source, module_of=cuda.module_of):
    module = module_of(source)
    kernels = [key for key in vars(module) if key == "all_steps" or key.startswith("only_")]
    for key in kernels:
        setattr(module, key, Built(getattr(module, key)))
    return module

driver.set_active(Absent())
cuda.module_of, cuda._check_there = built_of, lambda device: False
launch._resources = lambda device: (132, 227 * 1024)
for dtype in (torch.float32, torch.bfloat16):
    layer = rondo.Recurrent(rondo.LayerNormLSTMCell(24, 24).to(dtype), engine="cuda")
    for num_steps in (5, 1):
        x = torch.randn(16, num_steps, 24, dtype=dtype, requires_grad=True)
        y, _ = layer(x, lengths=torch.full((16,), num_steps), resets=torch.rand(x.shape[:2]) < 0.2)
        y.float().sum().backward()
"""


def test_kernels_are_built_by_the_calls_that_launch_them() -> None:
    """All that comes before a launch, with a GPU that is not there; nothing is run."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    apart = ["only_0 False 4", "only_1 False 4"]
    assert done.stdout.splitlines() == [
        *("all_steps True 4", "all_steps True 4", *apart, *apart),  # exact: nothing is kept
        *("all_steps True 8", "all_steps True 8", *apart, *apart),
    ]


@in_interpreter
def test_the_interpreter_compiles_nothing() -> None:
    plan = rondo.Recurrent(rondo.GRUCell(2, 3), engine="reference").plan
    with pytest.raises(RuntimeError, match="set TRITON_INTERPRET=0"):
        compiled(plan, 1)
