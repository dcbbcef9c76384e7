"""A call under a mode of torch's, or with another default device, spoils no later call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import rondo
from rondo.layers import sequence, torch_compat
from rondo.layers.sequence import Packing

Mode = Callable[[], AbstractContextManager[Any]]


class SetDevice:
    """Another default device for all that follows, rather than for a block."""

    def __enter__(self) -> None:
        torch.set_default_device("meta")

    def __exit__(self, *error: object) -> None:
        torch.set_default_device(None)


def on_meta() -> torch.device:
    return torch.device("meta")


def fake() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    """What is kept of earlier calls hides what a call under a mode leaves."""
    sequence._dense.cache_clear()


def layers(engine: str) -> list[tuple[nn.Module, dict[str, Any]]]:
    """Layers whose input is (5, 7, 3), and what else they are given."""
    torch.manual_seed(0)
    cell = rondo.LSTMCell(3, 4)
    return [
        (rondo.LSTM(3, 4, bidirectional=True), {}),
        (rondo.Recurrent(cell, engine=engine), {}),
        (rondo.Recurrent(cell, engine=engine), {"lengths": torch.tensor([7, 4, 0, 1, 2])}),
        (rondo.Recurrent(rondo.ZoneoutCell(cell).eval(), engine=engine), {}),
        (rondo.VariationalDropout(0.0), {}),
    ]


def first_of(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def trained(layer: nn.Module, x: Tensor, given: dict[str, Any]) -> list[Tensor]:
    """The output of a call and the gradients of its input and of all parameters."""
    x = x.clone().requires_grad_()
    y = first_of(layer(x, **given))
    return [y.detach(), *torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("engine", ["reference", "auto"])
@pytest.mark.parametrize("mode", [torch.inference_mode, on_meta, SetDevice])
def test_a_call_under_a_mode_is_right_and_spoils_no_training(
    mode: Mode, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_compat, "ENGINE", engine)
    x = torch.randn(5, 7, 3)
    for (layer, given), (other, _) in zip(layers(engine), layers(engine), strict=True):
        with mode():
            under = first_of(layer(x, **given))
        expected = trained(other, x, given)
        torch.testing.assert_close(under, expected[0])
        for a, b in zip(trained(layer, x, given), expected, strict=True):
            assert torch.equal(a, b)


def in_a_transform() -> Packing:
    made: list[Packing] = []

    def loss(x: Tensor) -> Tensor:
        made.append(sequence.dense(3, 5))
        return x * x

    torch.func.grad(loss)(torch.tensor(2.0))
    return made[0]


def under_fake_tensors() -> Packing:
    with fake():
        return sequence.dense(3, 5)


@pytest.mark.parametrize("made", [in_a_transform, under_fake_tensors])
def test_a_packing_is_of_numbers_wherever_it_is_made(made: Callable[[], Packing]) -> None:
    for packing in (made(), sequence.dense(3, 5)):
        assert type(packing.batch_sizes) is Tensor
        assert not is_functorch_wrapped_tensor(packing.batch_sizes)
        assert packing.batch_sizes.tolist() == [3] * 5


@pytest.mark.parametrize("mode", [torch.inference_mode, fake])
def test_the_cell_of_a_drop_in_is_made_outside_of_modes(mode: Mode) -> None:
    layer = rondo.GRU(3, 4)
    with mode():
        cell, _ = torch_compat.cell_and_programs(layer)
    for parameter in cell.parameters():
        assert type(parameter) is nn.Parameter
        assert parameter.is_meta
        assert not parameter.is_inference()


def test_tensors_of_a_cell_without_parameters_are_on_the_cpu() -> None:
    class Sum(rondo.Cell):
        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return x + h, x + h

    layer = rondo.Recurrent(rondo.StackedCell(Sum(3, 3), Sum(3, 3)), engine="reference")
    x = torch.ones(1, 2, 3)
    with torch.device("meta"):
        y, _ = layer(x)
    assert y[0, :, 0].tolist() == [1, 3]


def test_under_fake_tensors_layers_give_fake_ones_and_later_real_ones() -> None:
    x = torch.randn(5, 7, 3)
    for layer, given in layers("auto"):
        if not given:
            with fake():
                assert isinstance(first_of(layer(x)), FakeTensor)
            assert type(first_of(layer(x))) is Tensor
    with FakeTensorMode():
        y, h = rondo.GRU(3, 4)(torch.randn(5, 7, 3))
    assert (y.shape, h.shape) == ((5, 7, 4), (1, 7, 4))
