"""The running mean and variance of batch normalisation, whoever computes which shard.

Each call of a layer in training changes them: r becomes (1 - m) r + m s, with the momentum m and
the figures s of the batch. So the k calls of a shard make of r what (1 - m)^k r + b is, where b is
what they make of 0. Each shard gives k and b, and these are put together in the order of the
shards, by every rank. The bits depend on the shards and not on who computed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rondo.errors import RunError
from rondo.training.ranks import Ranks

Found = tuple[int, Tensor, Tensor]
"""What a shard made of a layer's figures: the number of its calls, and b of mean and variance."""


class RunningFigures:
    """The layers of a network that keep such figures, and what the shards of a step make of them.

    Args:
        model: The network.

    Raises:
        RunError: If a layer keeps the mean over all batches, which has no momentum.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = [
            layer
            for layer in model.modules()
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None
        ]
        if any(layer.momentum is None for layer in self.layers):
            raise RunError(
                "batch normalisation without a momentum cannot be trained in shards: give it one, "
                "or leave out recipe.num_shards"
            )
        self.found: dict[int, list[Found]] = {}

    @contextmanager
    def of_shard(self, shard: int) -> Iterator[None]:
        """Keeps what the block, which runs a shard, makes of the figures; they stay as they are."""
        kept = [[value.clone() for value in _figures(layer)] for layer in self.layers]
        for layer in self.layers:
            for value in _figures(layer):
                value.zero_()
        try:
            yield
            self.found[shard] = [_found(layer) for layer in self.layers]
        finally:
            for layer, values in zip(self.layers, kept, strict=True):
                for value, before in zip(_figures(layer), values, strict=True):
                    value.copy_(before)

    @torch.no_grad()
    def finish(self, ranks: Ranks) -> None:
        """Changes the figures by what all shards of a step have given, in their order."""
        if not self.layers:
            return
        given: dict[int, list[Found]] = {}
        for part in ranks.gathered(self.found):
            given |= part
        self.found = {}
        for shard in sorted(given):
            for layer, found in zip(self.layers, given[shard], strict=True):
                _change(layer, found)


def _figures(layer: Any) -> Sequence[Tensor]:
    return layer.running_mean, layer.running_var, layer.num_batches_tracked


def _found(layer: Any) -> Found:
    mean, variance, number = _figures(layer)
    return int(number), mean.clone(), variance.clone()


def _change(layer: Any, found: Found) -> None:
    number, *made = found
    mean, variance, so_far = _figures(layer)
    for value, added in zip((mean, variance), made, strict=True):
        value.mul_((1 - layer.momentum) ** number).add_(added.to(value.device))
    so_far.add_(number)
