"""Millions of steps, and tensors of more bytes than a number of 32 bits counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import rondo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_checks_of_torch")]

LAST = 50
"""The number of steps at the end that are compared with the plain loop."""


@pytest.fixture
def without_checks_of_torch() -> None:
    """New tensors are not filled with NaN first, which would cost as much as a kernel."""
    torch.use_deterministic_algorithms(False)


def check_the_end(cell: rondo.Cell, x: Tensor, y: Tensor, before: Tensor) -> None:
    """The last outputs are those of the plain loop from the state before them."""
    expected, _ = rondo.Recurrent(cell, engine="plain")(x[:, -LAST:], before)
    torch.testing.assert_close(y[:, -LAST:], expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("make", [rondo.ElmanCell, rondo.GRUCell])
def test_two_million_steps(make: Callable[[int, int], rondo.Cell]) -> None:
    cell = make(2, 3)
    x = torch.randn(1, 2_000_000, 2)
    y, last = rondo.Recurrent(cell, engine="cpu")(x)
    assert y.shape == (1, 2_000_000, 3)
    check_the_end(cell, x, y, y[:, -LAST - 1])
    assert torch.equal(last, y[:, -1])


def test_two_million_steps_back() -> None:
    """The gradient of the first input, where the state keeps what it once was."""
    cell = rondo.ElmanCell(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(1.0)
    x = torch.zeros(1, 2_000_000, 1)
    x[0, 0] = 1.0
    x.requires_grad_()
    y, last = rondo.Recurrent(cell, engine="cpu")(x)
    assert y.min() == last == 1.0
    (gradient,) = torch.autograd.grad(last.sum(), x)
    assert (gradient == 1.0).all()


@torch.no_grad()
def test_tensors_of_more_than_2_to_the_31_bytes() -> None:
    """The input, the products before the loop and the output have 2.6 GB each."""
    cell = rondo.ElmanCell(8, 8)
    x = torch.randn(40, 2_000_000, 8)
    assert x.nbytes > 2**31
    y, _ = rondo.Recurrent(cell, engine="cpu")(x)
    check_the_end(cell, x, y, y[:, -LAST - 1])


def test_gradients_beyond_2_to_the_31_bytes() -> None:
    """A row of the batch that lies beyond them gives what it gives alone."""
    cell = rondo.ElmanCell(8, 8)
    x = torch.randn(100, 700_000, 8).requires_grad_()
    assert x.nbytes > 2**31
    layer = rondo.Recurrent(cell, engine="cpu")
    y, _ = layer(x)
    (gradient,) = torch.autograd.grad(y[:, ::1000].sum(), x)
    alone = x[-1:].detach().clone().requires_grad_()
    y, _ = layer(alone)
    (expected,) = torch.autograd.grad(y[:, ::1000].sum(), alone)
    torch.testing.assert_close(gradient[-1:], expected, rtol=1e-5, atol=1e-6)
