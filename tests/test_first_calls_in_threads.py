"""The first call of a layer, which compiles it, while other threads are at the layer too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondo.layers import making
from thread_layers import LAYERS, X, by_hand, saved, state_of_a_copy, until_done


def state_of(layer: nn.Module) -> dict[str, Tensor]:
    return layer.state_dict()


def shared(layer: nn.Module) -> dict[str, Tensor]:
    return dict(layer.named_parameters())


READERS = [state_of, saved, state_of_a_copy, shared]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", LAYERS)
def test_who_reads_a_layer_during_its_first_call_sees_its_weights(
    kind: str, read: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    layer = LAYERS[kind]()
    own = {name: value.detach().clone() for name, value in layer.named_parameters()}
    seen: list[dict[str, Tensor]] = []
    y, _ = until_done(lambda: layer(X), lambda: seen.append(read(layer)))
    assert seen, "the first call was over at once"
    for state in seen:
        assert list(state) == list(own)
        for name, value in own.items():
            assert torch.equal(state[name], value)
    torch.testing.assert_close(y, by_hand(layer))


@pytest.mark.parametrize("kind", LAYERS)
def test_the_first_calls_of_two_threads_are_right_and_compile_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_step, compiled_cells = making.compile_step, []

    def counted(cell: nn.Module, *args: Any, **kwargs: Any) -> Any:
        compiled_cells.append(cell)
        return compile_step(cell, *args, **kwargs)

    monkeypatch.setattr(making, "compile_step", counted)
    layer, start = LAYERS[kind](), threading.Barrier(2)

    def first_call() -> list[Tensor]:
        start.wait()
        x = X.clone().requires_grad_()
        y, _ = layer(x)
        return [y, *torch.autograd.grad(y.sum(), [x, *layer.parameters()])]

    with ThreadPoolExecutor(2) as threads:
        one, two = [running.result() for running in [threads.submit(first_call) for _ in "ab"]]
    assert len(compiled_cells) == 1
    torch.testing.assert_close(one[0], by_hand(layer))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)
