"""The recurrence as a torch operator and under torch's transforms."""

from __future__ import annotations

import pytest
import torch
from torch.utils import _pytree as pytree

import rondo
from cases import CELLS, make_cell
from rondo.cells import initial_state
from rondo.compiler.operators import PROGRAMS


def operator_arguments(
    layer: rondo.Recurrent, *, resets: bool, checkpoint_every: int | None
) -> tuple[object, ...]:
    cell = layer.cell
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    state = pytree.tree_leaves(initial_state(cell, x[:3]))
    layer(torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True))
    program = next(reversed(layer._programs.by_kind.values()))
    PROGRAMS.setdefault(program.key, program)
    tensors = [*cell.parameters(), *cell.buffers(), *program.captured]
    state = [torch.randn_like(leaf).requires_grad_() for leaf in state]
    batch_sizes = torch.tensor([3, 3, 1])
    given_resets = torch.rand(7) < 0.3 if resets else None
    return tensors, x, state, batch_sizes, given_resets, False, program.key, checkpoint_every


@pytest.mark.parametrize("checkpoint_every", [None, 2])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("name", ["elman", "lstm", "peephole-norm-lstm"])
def test_opcheck(name: str, resets: bool, checkpoint_every: int | None) -> None:
    layer = rondo.Recurrent(make_cell(name, 3, 4, torch.float64))  # kept: it holds the program
    arguments = operator_arguments(layer, resets=resets, checkpoint_every=checkpoint_every)
    torch.library.opcheck(torch.ops.rondo.recurrence.default, arguments)


@pytest.mark.parametrize("name", CELLS)
def test_per_sample_gradients(name: str) -> None:
    layer = rondo.Recurrent(make_cell(name, 2, 3, torch.float64))
    weights = {key: p.detach() for key, p in layer.named_parameters()}
    x = torch.randn(4, 5, 2, dtype=torch.float64)

    def loss(weights: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        y, _ = torch.func.functional_call(layer, weights, (row[None],))
        return y.square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for row in range(4):
        layer.zero_grad()
        layer(x[row : row + 1])[0].square().sum().backward()
        for key, parameter in layer.named_parameters():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found[key][row], expected)


@pytest.mark.parametrize("name", CELLS)
def test_forward_mode(name: str) -> None:
    layer = rondo.Recurrent(make_cell(name, 2, 3, torch.float64))
    x, dx = torch.randn(2, 2, 4, 2, dtype=torch.float64)
    _, tangent = torch.func.jvp(lambda x: layer(x)[0], (x,), (dx,))
    h = 1e-6
    with torch.no_grad():
        difference = (layer(x + h * dx)[0] - layer(x - h * dx)[0]) / (2 * h)
    torch.testing.assert_close(tangent, difference, rtol=1e-6, atol=1e-7)


def test_vmap_over_batches() -> None:
    layer = rondo.Recurrent(rondo.LSTMCell(2, 3))
    x = torch.randn(3, 4, 5, 2)
    y = torch.func.vmap(lambda x: layer(x)[0])(x)
    torch.testing.assert_close(y, torch.stack([layer(part)[0] for part in x]))


def test_frozen_weights_get_no_gradient() -> None:
    cell = rondo.ElmanCell(2, 3)
    cell.weight_hh.requires_grad_(False)
    rondo.Recurrent(cell)(torch.randn(2, 4, 2))[0].sum().backward()
    assert cell.weight_hh.grad is None
    assert cell.weight_ih.grad is not None
