"""`Recurrent.step`: one step at a time, by a kernel whose weights stay packed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell


def stream(layer: rondo.Recurrent, x: Tensor) -> Tensor:
    """The outputs of a stream x (B, T, I)."""
    state, outputs = None, []
    with torch.no_grad():
        for x_t in x.unbind(1):
            y, state = layer.step(x_t.contiguous(), state)
            outputs.append(y)
    return torch.stack(outputs, 1)


def uses_kernel(layer: rondo.Recurrent) -> bool:
    return layer._programs.stepping[1] is not None


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_stream_gives_what_the_sequence_gives(name: str, batch_size: int) -> None:
    cell = make_cell(name, 3, 5, torch.float64)
    x = torch.randn(batch_size, 7, 3, dtype=torch.float64)
    layer = rondo.Recurrent(cell)
    expected, _ = rondo.Recurrent(cell, engine="reference")(x)
    torch.testing.assert_close(stream(layer, x), expected)


def scale_in_place(cell: rondo.GRUCell) -> None:
    with torch.no_grad():
        cell.weight_hh.mul_(0.5)


def replace_parameter(cell: rondo.GRUCell) -> None:
    cell.bias_hh = nn.Parameter(torch.randn(15))


def load(cell: rondo.GRUCell) -> None:
    cell.load_state_dict({name: 0.3 * value for name, value in cell.state_dict().items()})


def point_elsewhere(cell: rondo.GRUCell) -> None:
    cell.weight_ih.data = torch.randn(15, 3)


@pytest.mark.parametrize("change", [scale_in_place, replace_parameter, load, point_elsewhere])
def test_a_change_of_the_weights_is_noticed(change: Callable[[rondo.GRUCell], None]) -> None:
    cell = rondo.GRUCell(3, 5)
    layer, x = rondo.Recurrent(cell), torch.randn(1, 4, 3)
    before = stream(layer, x)
    assert uses_kernel(layer)
    change(cell)
    after = stream(layer, x)
    assert uses_kernel(layer)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, rondo.Recurrent(cell, engine="reference")(x)[0])


class Scaled(rondo.Cell):
    """A step with an attribute."""

    factor = 0.5

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.factor = 0.5

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = x + self.factor * h
        return h, h


def test_a_change_of_an_attribute_is_noticed() -> None:
    cell = Scaled()
    layer, x = rondo.Recurrent(cell), torch.ones(1, 2, 2)
    assert stream(layer, x)[0, -1, 0] == 1.5
    cell.factor = 2.0
    assert stream(layer, x)[0, -1, 0] == 3


def test_the_given_state_and_earlier_outputs_stay_as_they_are() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(1, 3)
    state = torch.ones(1, 5), torch.ones(1, 5)
    with torch.no_grad():
        y, (h, c) = layer.step(x, state)
        kept = [value.clone() for value in (y, h, c)]
        layer.step(2 * x, (h, c))
    assert uses_kernel(layer)
    assert all(bool((value == 1).all()) for value in state)
    for value, copy in zip((y, h, c), kept, strict=True):
        assert torch.equal(value, copy)


@pytest.mark.parametrize("form", ["transposed", "narrow", "conjugate half"])
def test_rows_that_lie_anywhere(form: str) -> None:
    cell = rondo.GRUCell(3, 5)
    layer = rondo.Recurrent(cell)
    x = {
        "transposed": torch.randn(3, 2).t(),
        "narrow": torch.randn(2, 8)[:, 2:5],
        "conjugate half": torch.randn(2, 3, dtype=torch.complex64).conj().imag,
    }[form]
    with torch.no_grad():
        y, _ = layer.step(x)
        torch.testing.assert_close(y, cell(x, torch.zeros(2, 5))[0])


def test_with_gradients_the_cell_runs_itself() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    y, _ = layer.step(torch.randn(2, 3))
    y.sum().backward()
    assert layer.cell.weight_ih.grad is not None
    assert not uses_kernel(layer)


def test_a_state_of_the_wrong_size_fails_as_in_the_cell() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    with torch.no_grad(), pytest.raises((RuntimeError, ValueError)):
        layer.step(torch.randn(2, 3), torch.zeros(2, 4))


def test_threads_may_share_a_layer() -> None:
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 33)), torch.randn(8, 1, 20, 3)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: stream(layer, one), x))
    for y, one in zip(found, x, strict=True):
        torch.testing.assert_close(y, layer(one)[0])
