"""Layers of torch.nn in the place of Rondo's, with the same weights, to time them side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rondo.layers import Bidirectional, Recurrent

LAYERS: dict[str, Callable[..., nn.Module]] = {"gru": nn.GRU, "lstm": nn.LSTM, "tanh": nn.RNN}
"""torch.nn's layers by the name of the cell."""


class TorchLayer(nn.Module):
    """A `torch.nn` layer that gives the numbers of a layer of Rondo's, called like it.

    Args:
        cell: The name of the cell.
        layer: Rondo's layer, with a cell of torch's form.
    """

    def __init__(self, cell: str, layer: Recurrent | Bidirectional) -> None:
        super().__init__()
        is_both = isinstance(layer, Bidirectional)
        loops = [layer.forward_layer, layer.backward_layer] if is_both else [layer]
        first: Any = loops[0].cell
        self.batch_first = loops[0].batch_first
        self.run = LAYERS[cell](
            first.input_size,
            first.hidden_size,
            batch_first=self.batch_first,
            bidirectional=is_both,
        )
        with torch.no_grad():
            for loop, end in zip(loops, ("", "_reverse"), strict=False):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    value, target = getattr(loop.cell, name), getattr(self.run, f"{name}_l0{end}")
                    target.copy_(torch.zeros_like(target) if value is None else value)

    def forward(
        self, x: Tensor, state: Any = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        if lengths is None:
            return self.run(x, state)
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=self.batch_first, enforce_sorted=False
        )
        y, state = self.run(packed)
        steps = x.shape[1] if self.batch_first else x.shape[0]
        padded = nn.utils.rnn.pad_packed_sequence(
            y, batch_first=self.batch_first, total_length=steps
        )
        return padded[0], state
