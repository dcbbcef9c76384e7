"""What the loops of spatial layers answer at every block of a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.layers import Recurrent, SpatialRNN

DIRECTIONS = ("down", "up", "right", "left")
"""The four sweeps of a layer: the first two visit row after row, the others column after column."""


@dataclass(frozen=True)
class SweepStrength:
    """One of the four sweeps of a spatial layer over a picture.

    Args:
        layer: The name of the layer in the model; "" for the model itself.
        direction: One of `DIRECTIONS`.
        strength: How strongly the loop answers at each block, (N, I, J).
    """

    layer: str
    direction: str
    strength: Tensor


def sweeps(model: nn.Module, pixels: Tensor) -> list[SweepStrength]:
    """Returns how strongly each loop of a model's spatial layers answers at each block.

    It is the mean over the units u of |o_ij,u|, where o_ij is the output that the loop gives when
    it is at block (i, j), as :class:`rondo.SpatialRNN` defines it. Of a cell whose output is its
    state, such as Elman's, the LSTM and the GRU, this is the mean of |h|.

    Args:
        model: Any model; it is put into evaluation mode.
        pixels: Its input, such as photos (N, 3, S, S).

    Returns:
        Four for each :class:`rondo.SpatialRNN`, in the order in which they run and of `DIRECTIONS`;
        none where the model has no such layer.

    Example:
        >>> import torch, rondo
        >>> from rondo.looks.sweeps import sweeps
        >>> layer = rondo.SpatialRNN(2, rondo.GRUCell, input_channels=3, hidden_size=5)
        >>> [(s.direction, *s.strength.shape) for s in sweeps(layer, torch.rand(1, 3, 8, 6))]
        [('down', 1, 4, 3), ('up', 1, 4, 3), ('right', 1, 4, 3), ('left', 1, 4, 3)]
    """
    model.eval()
    found: list[SweepStrength] = []
    with torch.no_grad(), _hooked(model, len(pixels), found):
        model(pixels.to(next(model.parameters()).device).float())
    return found


@contextmanager
def _hooked(model: nn.Module, batch_size: int, found: list[SweepStrength]) -> Iterator[None]:
    """Notes how strongly every loop of every spatial layer answers."""
    hooks = [
        loop.register_forward_hook(_note(found, name, direction, batch_size))
        for name, layer in model.named_modules()
        if isinstance(layer, SpatialRNN)
        for direction, loop in zip(DIRECTIONS, _loops(layer), strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _loops(layer: SpatialRNN) -> list[Recurrent]:
    """The loops of a layer, in the order of `DIRECTIONS`."""
    both = (layer.vertical, layer.horizontal)
    return [loop for pair in both for loop in (pair.forward_layer, pair.backward_layer)]


def _note(
    found: list[SweepStrength], name: str, direction: str, batch_size: int
) -> Callable[[nn.Module, Any, Any], None]:
    """What notes the outputs of a loop, (steps, lines * N, U)."""

    def note(_loop: nn.Module, _inputs: Any, results: Any) -> None:
        strength = results[0].abs().mean(-1).unflatten(1, (-1, batch_size)).cpu()
        axes = (2, 0, 1) if direction in DIRECTIONS[:2] else (2, 1, 0)
        found.append(SweepStrength(name, direction, strength.permute(axes)))

    return note
