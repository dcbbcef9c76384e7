"""Layers that threads use at once, and what such tests have in common."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

import rondo

X = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
"""A batch (B, T, I) that no test changes."""

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Recurrent": lambda: rondo.Recurrent(rondo.LSTMCell(3, 5, recurrent_bias=True)),
    "drop-in": lambda: rondo.LSTM(3, 5, batch_first=True),
}


def by_hand(layer: nn.Module, x: Tensor = X) -> Tensor:
    """The output by the plain loop of another layer with the same weights."""
    cell = rondo.LSTMCell(3, 5, recurrent_bias=True)
    weights = [value.detach().clone() for value in layer.state_dict().values()]
    cell.load_state_dict(dict(zip(cell.state_dict(), weights, strict=True)))
    ys, state = [], (torch.zeros(len(x), 5), torch.zeros(len(x), 5))
    for x_t in x.unbind(1):
        y, state = cell(x_t, state)
        ys.append(y)
    return torch.stack(ys, 1)


def until_done(run: Callable[[], Any], meanwhile: Callable[[], object]) -> Any:
    """What a function gives that runs in another thread; until then `meanwhile` runs again."""
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run)
        while not running.done():
            meanwhile()
        return running.result()


def saved(layer: nn.Module) -> dict[str, Tensor]:
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    return torch.load(file)


def state_of_a_copy(layer: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(layer).state_dict()
