"""Threads that call, train, save and copy one layer at once."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from thread_layers import LAYERS, X, by_hand, saved, state_of_a_copy, until_done


def trained(layer: nn.Module) -> list[Tensor]:
    """The weights after some steps of training."""
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        layer(X)[0].square().mean().backward()
        optimizer.step()
    return [value.detach().clone() for value in layer.parameters()]


@pytest.mark.parametrize("kind", LAYERS)
def test_who_calls_a_layer_while_it_trains_changes_nothing(kind: str) -> None:
    layer = LAYERS[kind]()
    alone = trained(copy.deepcopy(layer))

    def meanwhile() -> None:
        with torch.no_grad():
            assert layer(X)[0].isfinite().all()

    for a, b in zip(until_done(lambda: trained(layer), meanwhile), alone, strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(layer(X)[0], by_hand(layer))


@pytest.mark.parametrize("read", [saved, state_of_a_copy])
def test_who_saves_or_copies_a_layer_while_it_trains_changes_nothing(
    read: Callable[[nn.Module], dict[str, Tensor]],
) -> None:
    layer = LAYERS["drop-in"]()
    alone = trained(copy.deepcopy(layer))
    found = until_done(lambda: trained(layer), lambda: read(layer))
    assert all(map(torch.equal, found, alone))


def test_a_stream_goes_on_while_another_thread_writes_the_weights() -> None:
    """What it gives in between is of weights old and new; after the last write, of the new."""
    layer = LAYERS["Recurrent"]()
    stream = layer.stream()
    stream(X[:, 0])

    def write() -> None:
        for number in range(300):
            for parameter in layer.parameters():
                parameter.data.fill_(number / 3000)

    def step() -> None:
        assert stream(X[:, 0]).isfinite().all()

    until_done(write, step)
    stream.reset()
    after = torch.stack([stream(x_t) for x_t in X.unbind(1)], 1)
    torch.testing.assert_close(after, by_hand(layer))
