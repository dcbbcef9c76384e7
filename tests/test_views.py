"""Views inside a step change nothing: kernels read through them what was written before."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rondo
from cases import slow_beyond
from rondo.compiler.kernel import (
    Buffer,
    Kernel,
    Level,
    Load,
    Loop,
    Matrix,
    Product,
    Reduce,
    Store,
    Sum,
)
from rondo.compiler.views import Index, variable
from test_conformance import run_layer, run_plain
from view_cases import PLACES, SIZE, VIEWS, View, Viewed

MODES = ["dense", "ragged", "resets", "ragged-resets"]
SOME_PLACES = [(name, PLACES[3 * n % len(PLACES)]) for n, name in enumerate(VIEWS) if n % 3 == 0]
ALL_PLACES = [(name, place) for name in VIEWS for place in PLACES]


def case_of(cell: nn.Module, mode: str, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """A cell with what it runs on, as `run_layer` and `run_plain` take it."""
    x, *state = (torch.randn(3, *more, SIZE, dtype=dtype) for more in ((4,), (), ()))
    resets = torch.rand(3, 4) < (0.3 if "resets" in mode else 0)
    return {
        "cell": cell.to(dtype),
        "x": x.requires_grad_(),
        "state": tuple(value.requires_grad_() for value in state),
        "lengths": torch.tensor([4, 0, 2] if "ragged" in mode else [4, 4, 4]),
        "resets": resets,
    }


def check(view: View, of: list[str], mode: str, reverse: bool = False) -> None:
    """The cpu engine gives the output, the last state and every gradient of the plain loop."""
    case = case_of(Viewed(view, of), mode)
    layer = rondo.Recurrent(case["cell"], engine="cpu", reverse=reverse)
    got = run_layer(layer, case, mode)
    for key, value in run_plain(case, reverse).items():
        torch.testing.assert_close(got[key], value, rtol=1e-9, atol=1e-10, msg=key)


@pytest.mark.parametrize("name", VIEWS)
def test_every_value_of_a_step_may_be_seen_through_a_view(name: str) -> None:
    check(VIEWS[name], PLACES, "dense")
    check(VIEWS[name], PLACES, "ragged-resets", reverse=True)


@pytest.mark.parametrize(("name", "place"), SOME_PLACES)
def test_one_value_of_a_step_may_be_seen_through_a_view(name: str, place: str) -> None:
    check(VIEWS[name], [place], "ragged-resets", reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), ALL_PLACES)
def test_any_value_of_a_step_may_be_seen_through_any_view(name: str, place: str) -> None:
    for mode in MODES:
        check(VIEWS[name], [place], mode)


def one_after_the_other(names: list[str]) -> View:
    return lambda a: reduce(lambda value, name: VIEWS[name](value), names, a)


CHAINS = {
    "names": st.lists(st.sampled_from(sorted(VIEWS)), min_size=2, max_size=4),
    "of": st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True),
    "mode": st.sampled_from(MODES),
}


@given(**CHAINS)
@settings(max_examples=5, deadline=None, derandomize=True)
def test_views_of_views(names: list[str], of: list[str], mode: str) -> None:
    check(one_after_the_other(names), of, mode)


@pytest.mark.slow
@given(**CHAINS)
@settings(max_examples=200, deadline=None)
def test_two_hundred_views_of_views(names: list[str], of: list[str], mode: str) -> None:
    check(one_after_the_other(names), of, mode)


VIEWS_ON_GPU = ["itself", "grouped", "transposed", "selected", "one for all"]


@pytest.mark.usefixtures("made_on_gpu", "compared_by_the_test")
@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
@pytest.mark.parametrize("name", slow_beyond(VIEWS_ON_GPU, ["grouped", "selected"]))
def test_kernels_for_gpus_read_through_views(name: str) -> None:
    pytest.importorskip("triton")
    case = case_of(Viewed(VIEWS[name], PLACES), "ragged-resets", torch.float32)
    got = run_layer(rondo.Recurrent(case["cell"], engine="cuda"), case, "ragged-resets")
    for key, value in run_plain(case, False).items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(got[key], value, rtol=0, atol=2e-5 * scale, msg=key)


class LikeASum(rondo.Cell):
    """Some rows of a matrix, whose gradient lies among zeros made like a sum over all steps."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.weight = nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return x.tanh() @ self.weight[:3], 0.5 * h + x


def test_what_is_made_like_a_sum_over_the_steps_comes_after_it() -> None:
    cell, x = LikeASum().double(), torch.randn(2, 4, 3, dtype=torch.float64)
    rondo.Recurrent(cell, engine="cpu")(x)[0].sum().backward()
    expected = torch.zeros(5, 3, dtype=torch.float64)
    expected[:3] = x.tanh().sum((0, 1))[:, None].expand(3, 3)
    torch.testing.assert_close(cell.weight.grad, expected)


# ---- kernels check themselves ----

EACH, FLOAT = variable(0), torch.float32
BUFFERS = [
    *(("h", "state"), ("x", "input"), ("a", "local"), ("b", "row"), ("y", "output")),
    *(("c", "chunk"), ("total", "total")),
]


def kernel_of_levels(*levels: Level, **more: Any) -> Kernel:
    """A kernel of rows of 4 numbers."""
    buffers = {
        name: Buffer(name, place, (4, 4) if place == "total" else (4,), FLOAT)
        for name, place in BUFFERS
    }
    empty = dict.fromkeys(
        ("opening", "closing", "sums", "commits", "before", "after", "totals"), ()
    )
    matrices = (Matrix("W", 4, 4),)
    options = {**empty, "outputs": {}, **more}
    return Kernel(FLOAT, FLOAT, buffers, matrices, levels=levels, **options)


def copied(target: str, source: str, to: Index = EACH, index: Index = EACH) -> Loop:
    """A loop that stores one buffer's numbers into another."""
    return Loop((4,), 0, (Load("v0", source, index, FLOAT), Store(target, to, "v0")))


def summed(target: str, source: str) -> Loop:
    load = Load("v0", source, EACH, FLOAT)
    return Loop((4,), 1, (load, Reduce(target, Index(), "v0", "sum")))


def with_load(loop: Loop, buffer: str, index: Index = EACH) -> Loop:
    """The loop, which also loads something else first."""
    return Loop(loop.sizes, loop.num_reduced, (Load("v9", buffer, index, FLOAT), *loop.body))


def loops(*several: Loop) -> Level:
    return Level(several, ())


BACKWARDS = Index((-1,), 3)
GOOD = {
    "stored, then read": kernel_of_levels(loops(copied("a", "x"), copied("y", "a"))),
    "a product of what was stored": kernel_of_levels(
        Level((copied("a", "x"),), (Product("y", 0, "a", 0, 0),)), outputs={"y": "y"}
    ),
    "a state is replaced as it is read": kernel_of_levels(loops(copied("h", "h"))),
    "in parts": kernel_of_levels(
        loops(
            Loop((2,), 0, (Load("v0", "x", EACH, FLOAT), Store("a", EACH, "v0"))),
            Loop((2,), 0, (Load("v0", "x", EACH, FLOAT), Store("a", EACH.moved(2), "v0"))),
            copied("y", "a", index=BACKWARDS),
        )
    ),
    "what is summed lies in a chunk": kernel_of_levels(
        loops(copied("c", "x")), sums=(Sum("total", "c", 0, "x", 0),)
    ),
}
BAD = {
    "not stored": kernel_of_levels(loops(copied("y", "a"))),
    "stored later": kernel_of_levels(loops(copied("y", "a"), copied("a", "x"))),
    "stored at the end of the turn": kernel_of_levels(loops(with_load(copied("a", "x"), "a"))),
    "stored elsewhere": kernel_of_levels(loops(summed("a", "x"), copied("y", "a"))),
    "a product of what is stored later": kernel_of_levels(
        Level((), (Product("y", 0, "a", 0, 0),)), loops(copied("a", "x"))
    ),
    "beyond the end": kernel_of_levels(Level((), (Product("a", 0, "x", 1, 0),))),
    "a row of another level": kernel_of_levels(loops(copied("b", "x")), loops(copied("y", "b"))),
    "a step's value after the steps": kernel_of_levels(
        loops(copied("a", "x")), closing=(loops(copied("y", "a")),)
    ),
    "a state that was replaced": kernel_of_levels(loops(copied("h", "x"), copied("y", "h"))),
    "a state that is being replaced": kernel_of_levels(loops(copied("h", "h", BACKWARDS))),
    "an output that is not written": kernel_of_levels(outputs={"y": "y"}),
    "a next state that is not written": kernel_of_levels(commits=(("h", "a"),)),
    "a sum of a step's value": kernel_of_levels(
        loops(copied("a", "x")), sums=(Sum("total", None, 0, "a", 0),)
    ),
    "replaced after it was read": kernel_of_levels(
        loops(copied("a", "x"), copied("y", "a"), copied("a", "x"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_kernel_that_reads_what_it_has_written_passes_its_check(name: str) -> None:
    assert GOOD[name].check() is GOOD[name]


@pytest.mark.parametrize("name", BAD)
def test_a_kernel_that_reads_what_is_not_there_fails_its_check(name: str) -> None:
    with pytest.raises(
        AssertionError, match=r"is read where|is read before|was read|has no element"
    ):
        BAD[name].check()
