"""How programs on a GPU share a step, where they wait, and what they keep on chip."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell, slow_beyond
from gpu_cases import (
    assert_same,
    in_interpreter,
    kernel_of,
    on_both,
    on_gpu,
    run_where_kernels_run,
)
from rondo.bench.gpu_code import H100
from rondo.compiler.cuda import TritonLoop
from rondo.compiler.gpu import launch
from rondo.compiler.gpu.grid import Grid, grid_of
from rondo.compiler.gpu.launch import INTERPRETED_MEMORY, INTERPRETED_PROGRAMS, Launcher
from rondo.compiler.gpu.phases import Phase, Rows, Tiles
from rondo.compiler.gpu.waits import phases_with_waits
from test_conformance import ALL_CELLS, make_case, run_layer

pytest.importorskip("triton")
pytestmark = run_where_kernels_run


@in_interpreter
@pytest.mark.parametrize(
    ("name", "mode"), [*((name, "ragged-resets") for name in CELLS), ("gru", "dense")]
)
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


def launched(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> dict[str, Tensor]:
    """The results of a layer where something of how its kernels are launched is changed."""
    case = make_case("layer-norm-gru", (5, 4, 3, 20), "ragged-resets", torch.float32)
    with monkeypatch.context() as patch:
        for name, value in changed.items():
            patch.setattr(launch if hasattr(launch, name) else Launcher, name, value)
        return run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "ragged-resets")


@in_interpreter
@pytest.mark.parametrize(
    "grids",
    [
        [Grid(16, 8, False, num_programs) for num_programs in (1, 2, 7)],
        [Grid(16, 16, True, num_programs, num_warps=8) for num_programs in (4, 7)],
    ],
    ids=["read in each step", "kept"],
)
def test_the_number_of_programs_changes_no_bit(
    grids: list[Grid], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever program computes a tile, it computes it alike."""
    expected, *others = (launched(monkeypatch, grid_of=lambda *_, g=grid: g) for grid in grids)
    for other in others:
        for key, value in expected.items():
            assert torch.equal(other[key], value), key


@in_interpreter
def test_the_size_of_tiles_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's products are numpy's, whose order of sums may follow their sizes."""
    expected = launched(monkeypatch, INTERPRETED_PROGRAMS=1)
    for num_programs in (2, 7):  # tiles of 32 and of 16 columns, instead of 64
        assert_same(launched(monkeypatch, INTERPRETED_PROGRAMS=num_programs), expected, 1e-6)


@in_interpreter
def test_one_kernel_for_all_steps_gives_what_one_for_each_phase_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = launched(monkeypatch, INTERPRETED_PROGRAMS=1)
    together = launched(monkeypatch, INTERPRETED_PROGRAMS=1, run_apart=Launcher.run_together)
    for key, value in expected.items():
        assert torch.equal(together[key], value), key


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
    case = make_case(name, (40, 2, 3, 20), "ragged-resets", torch.float32)
    return run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "ragged-resets")


OF_EVERY_KIND = ["lstm", "normalised-weight", "min-gru", "dt-rnn"]
"""Cells whose phases follow each other in different ways."""


@pytest.mark.parametrize("name", slow_beyond(ALL_CELLS, OF_EVERY_KIND))
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
