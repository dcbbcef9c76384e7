"""Torch's own kernels for the cells that it has, taken on a GPU; here on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, VARIANTS
from rondo.compiler import library
from test_conformance import make_case, run_layer

HAS = {
    "elman": lambda i, h: rondo.ElmanCell(i, h),
    "elman-relu": lambda i, h: rondo.ElmanCell(i, h, nonlinearity="relu", recurrent_bias=True),
    "elman-without-bias": lambda i, h: rondo.ElmanCell(i, h, bias=False),
    "lstm": lambda i, h: rondo.LSTMCell(i, h),
    "lstm-two-biases": lambda i, h: rondo.LSTMCell(i, h, recurrent_bias=True, forget_bias=1.0),
    "lstm-projection": lambda i, h: rondo.LSTMCell(i, h, proj_size=2),
    "gru": lambda i, h: rondo.GRUCell(i, h),
    "gru-without-bias": lambda i, h: rondo.GRUCell(i, h, bias=False),
}
"""Cells that torch has a function for."""


@pytest.fixture(autouse=True)
def _on_the_cpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "DEVICES", ("cpu", "cuda"))
    monkeypatch.setenv("RONDO_CHECK", "0")  # whose calls are not to be counted


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions of torch that were called."""
    found: list[str] = []

    def noting(kind: str, function: Any) -> Any:
        return lambda *arguments: found.append(kind) or function(*arguments)

    known = {kind: noting(kind, function) for kind, function in library.FUNCTIONS.items()}
    monkeypatch.setattr(library, "FUNCTIONS", known)
    return found


def case_of(name: str, mode: str) -> dict[str, Any]:
    case = make_case("elman", (4, 6, 3, 5), mode, torch.float64)
    torch.manual_seed(0)
    case["cell"] = HAS[name](3, 5).double()
    state = rondo.cells.initial_state(case["cell"], case["x"][:, 0])
    case["state"] = torch.utils._pytree.tree_map(
        lambda leaf: torch.randn_like(leaf).requires_grad_(), state
    )
    return case


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("mode", ["dense", "ragged", "resets"])
@pytest.mark.parametrize("name", HAS)
def test_gives_what_the_reference_engine_gives(
    name: str, mode: str, reverse: bool, calls: list[str]
) -> None:
    case = case_of(name, mode)
    layers = [
        rondo.Recurrent(case["cell"], engine=engine, reverse=reverse)
        for engine in ("auto", "reference")
    ]
    got, expected = (run_layer(layer, case, mode) for layer in layers)
    assert bool(calls) == (mode == "dense" or (mode == "ragged" and not reverse))
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_rows_that_all_have_all_steps_are_not_packed(
    reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, ...]] = []

    def noting(x: Tensor, *rest: Any) -> Any:
        given.append(tuple(x.shape))
        return torch._VF.gru(x, *rest)

    monkeypatch.setitem(library.FUNCTIONS, "gru", noting)
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 5), reverse=reverse), torch.randn(4, 6, 3)
    layer(x)
    layer(x, lengths=torch.tensor([6, 0, 6, 6]))
    assert given == [(6, 4, 3), (6, 3, 3)]


@pytest.mark.parametrize("name", sorted({*CELLS, *VARIANTS}))
def test_no_other_cell_is_taken_for_one_of_them(name: str, calls: list[str]) -> None:
    case = make_case(name, (2, 3, 3, 17), "dense", torch.float64)  # for which there are kernels
    rondo.Recurrent(case["cell"])(case["x"], case["state"])
    theirs = "elman", "elman-relu", "gru", "lstm", "lstm-two-biases", "lstm-projection"
    assert bool(calls) == (name in theirs)


class SameElman(nn.Module):
    """An Elman cell under another name, which reads as Rondo's does."""

    state_size = 5

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.randn(5, 3))
        self.weight_hh = nn.Parameter(torch.randn(5, 5))
        self.bias_ih = nn.Parameter(torch.randn(5))
        self.function = function

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        linear = nn.functional.linear
        h = self.function(linear(x, self.weight_ih, self.bias_ih) + linear(h, self.weight_hh))
        return h, h


def test_the_equation_counts_and_not_the_name(calls: list[str]) -> None:
    x = torch.randn(2, 4, 3)
    for function, kinds in ((torch.tanh, ["tanh"]), (torch.relu, ["relu"]), (torch.sigmoid, [])):
        layer = rondo.Recurrent(SameElman(function))
        y, h = layer(x)
        assert calls == kinds
        expected, last = rondo.Recurrent(layer.cell, engine="reference")(x)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(h, last)
        calls.clear()


def test_an_engine_that_is_named_is_taken(calls: list[str]) -> None:
    rondo.Recurrent(rondo.LSTMCell(3, 5), engine="cpu")(torch.randn(2, 4, 3))
    assert calls == []


def test_all_states_checkpoints_and_transforms_do_without(calls: list[str]) -> None:
    x = torch.randn(2, 4, 3)
    layer = rondo.Recurrent(rondo.LSTMCell(3, 5))
    layer(x, return_states=True)
    torch.func.vmap(lambda row: layer(row[None])[0])(x)
    layer.checkpoint_every = 2
    layer(x)
    assert calls == []


def test_without_gradients_nothing_is_kept_for_them(calls: list[str]) -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(2, 4, 3)
    expected = layer(x)[0].detach()
    with torch.no_grad():
        y, (h, c) = layer(x)
    torch.testing.assert_close(y, expected)
    assert not any(value.requires_grad for value in (y, h, c))
    assert calls == ["lstm", "lstm"]


def test_a_gradient_of_a_gradient() -> None:
    case = case_of("lstm", "dense")
    second = []
    for engine in ("auto", "reference"):
        y, _ = rondo.Recurrent(case["cell"], engine=engine)(case["x"], case["state"])
        (first,) = torch.autograd.grad(y.square().sum(), case["x"], create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), [*case["cell"].parameters()]))
    for a, b in zip(*second, strict=True):
        torch.testing.assert_close(a, b)


def test_the_drop_ins_take_them_too(calls: list[str]) -> None:
    torch.manual_seed(0)
    theirs = nn.GRU(3, 5, num_layers=2, bidirectional=True)
    ours = rondo.accelerate(nn.ModuleList([nn.GRU(3, 5, num_layers=2, bidirectional=True)]))[0]
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 2, 3)
    for a, b in zip(ours(x), theirs(x), strict=True):
        torch.testing.assert_close(a, b)
    assert calls == ["gru"] * 4


def test_rows_without_steps_keep_their_state(calls: list[str]) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    h = torch.randn(3, 5)
    y, last = layer(torch.randn(3, 4, 3), h, lengths=torch.tensor([4, 0, 2]))
    assert calls == ["gru"]
    assert torch.equal(last[1], h[1])
    assert not y[1].any()
    assert not y[2, 2:].any()
    empty, state = layer(torch.randn(3, 0, 3), h)
    assert empty.shape == (3, 0, 5)
    assert torch.equal(state, h)
