"""Loops that are run as several, one after the other: which, and that they give the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import rondo
from rondo.compiler import SeveralLoops
from rondo.compiler.distribution import distribute


def stack(*, shortcuts: bool = False) -> nn.Module:
    wide = 3 if shortcuts else 0
    return rondo.StackedCell(
        rondo.LSTMCell(3, 6),
        rondo.GRUCell(6 + wide, 5),
        rondo.ElmanCell(5 + wide, 4),
        shortcuts=shortcuts,
    )


class Crossed(nn.Module):
    """Two layers of which the upper reads what the lower was one step before."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(3 + 4, 4), nn.Linear(4 + 5, 5)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, g = state
        new = torch.tanh(self.lower(torch.cat([x, h], -1)))
        g = torch.tanh(self.upper(torch.cat([h, g], -1)))
        return g, (new, g)

    def initial_state_for(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_zeros(len(x), 4), x.new_zeros(len(x), 5)


class Fed(nn.Module):
    """Two layers of which the lower reads what the upper gave: one cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.Linear(3 + 4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.upper(torch.tanh(self.lower(torch.cat([x, h], -1)))))
        return h, h

    def initial_state_for(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 4)


def results(layer: rondo.Recurrent, x: Tensor, **keywords: Any) -> list[Tensor]:
    """The output, the last state and all gradients."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    output, last = layer(x, **keywords)
    leaves = list(tree_leaves(last))
    loss = output.cos().sum() + sum(leaf.sin().sum() for leaf in leaves)
    loss.backward()
    gradients = [p.grad for p in layer.parameters()]
    return [output, *leaves, x.grad, *gradients]  # type: ignore[list-item]


@pytest.mark.parametrize("mode", ["dense", "ragged", "resets", "reverse", "checkpoints"])
@pytest.mark.parametrize("shortcuts", [False, True])
def test_a_stack_gives_what_the_plain_loop_gives(mode: str, shortcuts: bool) -> None:
    torch.manual_seed(0)
    cell = stack(shortcuts=shortcuts).double()
    x = torch.randn(5, 11, 3, dtype=torch.float64)
    keywords: dict[str, Any] = {}
    if mode == "ragged":
        keywords["lengths"] = torch.tensor([4, 11, 1, 7, 7])
    if mode == "resets":
        keywords["resets"] = torch.rand(5, 11) < 0.3
    made = {"reverse": mode == "reverse", "checkpoint_every": 4 if mode == "checkpoints" else None}
    plain = rondo.Recurrent(cell, engine="plain", **made)
    layer = rondo.Recurrent(cell, engine="cpu", **made)
    for got, expected in zip(
        results(layer, x, **keywords), results(plain, x, **keywords), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    program = layer._program()
    assert isinstance(program.run_forward, SeveralLoops)
    assert isinstance(program.run_backward, SeveralLoops)
    assert [len(engine.loops) for engine in (program.run_forward, program.run_backward)] == [3, 3]


def test_products_with_what_lower_cells_give_are_in_no_loop() -> None:
    layer = rondo.Recurrent(stack(), engine="reference")
    layer(torch.zeros(1, 2, 3))
    for plan in (layer._program().forward, layer._program().backward):
        parts = distribute(plan)
        assert len(parts) == 3
        for part in parts:
            products = [n for n in part.plan.loop if n.op_name in ("mm", "addmm")]
            assert len(products) == 1, part.plan


@pytest.mark.parametrize("cell", [rondo.LSTMCell(3, 4), Fed()])
def test_one_cycle_is_left_whole(cell: nn.Module) -> None:
    layer = rondo.Recurrent(cell, engine="reference")
    layer(torch.zeros(1, 2, 3))
    assert distribute(layer._program().forward) == ()
    assert distribute(layer._program().backward) == ()


def test_a_cell_that_reads_an_older_state_of_another_is_right() -> None:
    torch.manual_seed(0)
    cell, x = Crossed().double(), torch.randn(2, 7, 3, dtype=torch.float64)
    found = [results(rondo.Recurrent(cell, engine=engine), x) for engine in ("cpu", "plain")]
    for got, expected in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_streams_and_all_states_of_a_stack() -> None:
    torch.manual_seed(0)
    layer = rondo.Recurrent(stack(), engine="cpu")
    x = torch.randn(2, 6, 3)
    with torch.no_grad():
        whole, last, states = layer(x, return_states=True)
        assert isinstance(layer._program().run, SeveralLoops)
        stream = layer.stream()
        steps = torch.stack([stream(x[:, t]) for t in range(6)], 1)
    torch.testing.assert_close(steps, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(states[1][:, -1], last[1])


def test_no_rows_and_no_steps() -> None:
    layer = rondo.Recurrent(stack(), engine="cpu")
    assert layer(torch.zeros(0, 4, 3))[0].shape == (0, 4, 4)
    assert layer(torch.zeros(2, 0, 3))[0].shape == (2, 0, 4)


def test_the_kernels_of_all_loops_are_shown() -> None:
    layer = rondo.Recurrent(stack(), engine="cpu")
    layer(torch.zeros(1, 2, 3))
    assert layer.source.count("void rondo_run(") == 3
    assert str(layer.plan).count("the kernel runs it") > 20
