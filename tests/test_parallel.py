"""The parallel engine: the loop solved for all steps together gives what stepping gives."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell
from rondo.cells.named import NAMED_CELLS
from rondo.compiler import EngineWarning
from rondo.compiler.scan import solve_recurrence
from test_conformance import MODES, make_case, run_layer

pytestmark = pytest.mark.usefixtures("compared_by_the_test")

LINEAR = {"min-gru", "min-lstm", "lru"}
"""The named cells whose state is linear in the state."""


def close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()) if value.numel() else 0.0)
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )


def both(
    case: dict[str, Any], mode: str, engine: Any, reverse: bool = False
) -> tuple[rondo.Recurrent, dict[str, Tensor], dict[str, Tensor]]:
    """The parallel layer, its results, and those of stepping."""
    layer, stepping = (
        rondo.Recurrent(case["cell"], engine=name, reverse=reverse)
        for name in (engine, "reference")
    )
    return layer, run_layer(layer, case, mode), run_layer(stepping, case, mode)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_gives_what_stepping_gives(name: str, mode: str, reverse: bool) -> None:
    case = make_case(name, (4, 9, 3, 6), mode, torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", EngineWarning)  # no falling back
        layer, found, expected = both(case, mode, "parallel", reverse)
    close(found, expected, 1e-9)
    ways = {"scan", "newton"} if layer.plan.loop else {None}
    assert getattr(layer.solution, "how", None) in ways


@pytest.mark.parametrize("name", NAMED_CELLS)
def test_every_named_cell_to_1e_5_in_float32(name: str) -> None:
    torch.manual_seed(0)
    case = make_case("elman", (3, 12, 4, 5), "dense", torch.float32)
    case["cell"] = NAMED_CELLS[name](4, 5).eval()  # without random numbers
    case["state"] = rondo.cells.initial_state(case["cell"], case["x"][:, 0])
    for leaf in torch.utils._pytree.tree_leaves(case["state"]):
        leaf.requires_grad_()
    layer, found, expected = both(case, "dense", "parallel")
    close(found, expected, 1e-5)
    assert layer.solution is not None
    assert (layer.solution.how == "scan") == (name in LINEAR)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lstm", "gru", "one-product", "indrnn"])
def test_diagonal_jacobians_lead_to_the_same_solution(name: str, mode: str) -> None:
    case = make_case(name, (4, 9, 3, 6), mode, torch.float64)
    layer, found, expected = both(case, mode, rondo.Newton(jacobian="diagonal"))
    close(found, expected, 1e-9)
    assert layer.solution is not None
    assert layer.backward_solution is not None
    assert layer.solution.how == layer.backward_solution.how == "newton"
    assert layer.solution.iterations > 1


def test_with_the_whole_jacobian_the_first_iteration_finds_the_gradients() -> None:
    case = make_case("gru", (2, 40, 3, 6), "dense", torch.float64)
    layer, _, _ = both(case, "dense", rondo.Newton(jacobian="full"))
    assert layer.backward_solution is not None
    assert layer.backward_solution.iterations == 2  # after the first step of a guess of zeros


class Own(nn.Module):
    """h = f(h), with an input added."""

    state_size = 4

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.U, self.function = nn.Linear(3, 4), function

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.function(h, torch.sigmoid(self.U(x)))
        return h, h


@pytest.mark.parametrize(
    ("function", "way"),
    [
        (lambda h, a: a * h + a, "scan"),
        (lambda h, a: (h - a) / (1 + a) - 0.5 * h, "scan"),
        (lambda h, a: a - h, "scan"),
        (lambda h, a: 0.3 * h * h + a, "newton"),
        (lambda h, a: a / (2 + h.abs()), "newton"),
        (
            lambda h, a: a + 0.1 * torch.cat([h[:, 1:], h[:, :1]], 1),
            "newton",
        ),  # linear, but not in its own place
        (lambda h, a: a + 0.3 * h.detach(), "scan"),  # linear, whatever its derivative
        (lambda h, a: a + 0.3 * torch.floor(h), "newton"),
        (lambda h, a: 0.5 * torch.div(h, 0.7, rounding_mode="floor") - a, "newton"),
        (lambda h, a: torch.where(h > 0, a, 0.5 * h), "newton"),
    ],
)
def test_a_linear_loop_is_found_by_its_operations(function: Any, way: str) -> None:
    x = torch.randn(3, 8, 3, dtype=torch.float64)
    cell = Own(function).double()
    layer, stepping = (rondo.Recurrent(cell, engine=name) for name in ("parallel", "reference"))
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], stepping(x)[0], rtol=1e-10, atol=1e-10)
    assert layer.solution is not None
    assert layer.solution.how == way


def test_without_a_solution_the_loop_runs_step_by_step_and_says_so_once() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(3, 6), engine=rondo.Newton(max_iterations=1))
    x = torch.randn(2, 30, 3)
    with torch.no_grad():
        with pytest.warns(EngineWarning, match="no solution in 1 iterations"):
            y, _ = layer(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer(x)
        expected, _ = rondo.Recurrent(layer.cell, engine="reference")(x)
    assert torch.equal(y, expected)
    assert layer.solution is not None
    assert layer.solution.how == "steps"
    assert layer.solution.difference > 1e-3


def test_values_that_are_not_numbers_come_out_as_such() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 6), engine="parallel")
    x = torch.randn(2, 5, 3)
    x[0, 2] = torch.nan
    with torch.no_grad(), pytest.warns(EngineWarning):
        y, _ = layer(x)
    assert y[0, 2:].isnan().all()
    assert y[1].isfinite().all()


@pytest.mark.parametrize("name", ["min-gru", "gru"])
@pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (0, 0), (1, 1)])
def test_no_rows_and_no_steps(name: str, sizes: tuple[int, int]) -> None:
    layer = rondo.Recurrent(NAMED_CELLS[name](3, 4), engine="parallel")
    x = torch.randn(*sizes, 3, requires_grad=True)
    y, state = layer(x, lengths=torch.full(sizes[:1], sizes[1]))
    assert y.shape == (*sizes, 4)
    assert state.shape == (sizes[0], 4)
    (y.sum() + state.sum()).backward()


def test_what_it_cannot_run_is_refused() -> None:
    class Mixed(Own):
        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = h - h.mean(0)
            return h, h

    with pytest.raises(ValueError, match="engine='parallel' cannot run Mixed: the step mixes"):
        rondo.Recurrent(Mixed(None), engine="parallel")(torch.randn(2, 3, 3))
    half = rondo.Recurrent(rondo.GRUCell(3, 4).bfloat16(), engine="parallel")
    with pytest.raises(ValueError, match="the state h is bfloat16"), torch.no_grad():
        half(torch.randn(2, 3, 3, dtype=torch.bfloat16))
    mixed = Mixed(None)
    mixed.forward = lambda x, state: (state[0], (0.5 * state[0], 0.5 * state[1]))  # type: ignore[method-assign]
    states = torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="is float64"), torch.no_grad():
        rondo.Recurrent(mixed, engine="parallel")(torch.randn(2, 3, 3), states)
    wide = rondo.Recurrent(
        make_cell("normalised-weight", 3, 6, torch.float32),
        engine=rondo.Newton(jacobian="diagonal"),
    )
    with pytest.raises(ValueError, match="different sizes"), torch.no_grad():
        wide(torch.randn(2, 3, 3))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tolerance": 0.0}, "tolerance must be above 0, got 0.0"),
        ({"tolerance": float("nan")}, "tolerance must be above 0"),
        ({"max_iterations": 0}, "max_iterations must be at least 1"),
        ({"jacobian": "whole"}, "jacobian must be one of auto, full, diagonal"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rondo.Newton(**options)
    with pytest.raises(ValueError, match=r"or rondo.Newton\(...\), got 'newton'"):
        rondo.Recurrent(rondo.GRUCell(3, 4), engine="newton")


def test_streams_steps_copies_and_compiled_graphs() -> None:
    layer = rondo.Recurrent(rondo.MinGRUCell(3, 4), engine="parallel")
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        y, _ = layer(x)
        with pytest.raises(ValueError, match="there is no kernel"):
            _ = layer.source
        stream = layer.stream()
        rows = torch.stack([stream(x[:, t]) for t in range(6)], 1)
        torch.testing.assert_close(rows, y, rtol=1e-5, atol=1e-6)
        again, _ = copy.deepcopy(layer)(x)
        assert torch.equal(again, y)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x)[0], y, rtol=1e-5, atol=1e-6)
    assert "engine='parallel'" in repr(layer)
    assert layer.solution is not None  # of the layer's own call, not of a single step


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 8, 33])
def test_a_scan_gives_what_a_loop_gives(num_steps: int, length: int) -> None:
    matrices = torch.randn(num_steps, 2, length, length, dtype=torch.float64) / 2
    offsets = torch.randn(num_steps, 2, length, dtype=torch.float64)
    now, expected = torch.zeros(2, length, dtype=torch.float64), []
    for matrix, offset in zip(matrices, offsets, strict=True):
        now = (matrix @ now[..., None])[..., 0] + offset
        expected.append(now)
    torch.testing.assert_close(solve_recurrence(matrices, offsets), torch.stack(expected))
