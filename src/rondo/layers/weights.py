"""The names of the weights of `torch.nn.RNN`, `LSTM` and `GRU`, layer by layer."""

from __future__ import annotations

from torch import nn


def suffixes(layer: nn.RNNBase) -> list[tuple[str, ...]]:
    """What the names of weights end with, of each direction of each layer."""
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    return [
        tuple(f"_l{number}{direction}" for direction in directions)
        for number in range(layer.num_layers)
    ]


def weight_names(layer: nn.RNNBase, suffix: str) -> dict[str, str]:
    """The weights of one layer and direction: their names in the layer by those in the cell."""
    names = ["weight_ih", "weight_hh"]
    names += ["bias_ih", "bias_hh"] if layer.bias else []
    names += ["weight_hr"] if layer.proj_size else []
    return {name: name + suffix for name in names}
