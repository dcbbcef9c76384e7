"""The first call of a layer, which compiles it, while other threads are at the layer too."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import STUCK_S
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


AT_THE_END = """
import threading, time, torch, rondo

layer, x = rondo.Recurrent(rondo.GRUCell(3, 4)), torch.randn(2, 5, 3)

def late():
    threading.main_thread().join()
    time.sleep(0.2)
    y, _ = layer(x)
    y.sum().backward()
    right = torch.allclose(y, rondo.Recurrent(layer.cell, engine="plain")(x)[0], atol=1e-6)
    print("right" if right else "wrong", flush=True)

threading.Thread(target=late).start()
"""


def test_a_thread_that_outlives_the_main_one_may_make_the_first_call() -> None:
    """Python starts no more threads then, and both directions are compiled in this one."""
    command = [sys.executable, "-W", "error", "-c", AT_THE_END]
    done = subprocess.run(command, capture_output=True, text=True, timeout=STUCK_S, check=False)
    assert (done.stdout, done.returncode) == ("right\n", 0), done.stderr
