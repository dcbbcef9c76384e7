"""The sum over all shards of a step, of what each rank has summed up.

In go the sums of the shards of this rank, out come those of all, with the same bits on every rank
and for every number of ranks: partial sums are added in the same tree as within a rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rondo.training.ranks import Ranks
from rondo.training.shards import Sums, folded

NUM_FIGURES = 3
"""What stands in front of what is told of each parameter: whether there are sums, and two sums."""


def finished(partial: Sums | None, ranks: Ranks, parameters: Sequence[nn.Parameter]) -> Sums | None:
    """Returns the sum over all shards.

    Args:
        partial: That over the shards of this rank; None where these have no rows.
        ranks: Who computes the others.
        parameters: What the gradients are of.
    """
    if ranks.number == 1:
        return partial
    figures = ranks.gathered_tensor(_figures(partial, parameters))
    gradients = [
        ranks.gathered_tensor(_flat(partial, parameters, dtype)) for dtype in _dtypes(parameters)
    ]
    of_ranks = [
        _sums(figures[rank], [parts[rank] for parts in gradients], parameters)
        for rank in range(ranks.number)
    ]
    return folded(range(ranks.number), of_ranks.__getitem__)


def _dtypes(parameters: Sequence[nn.Parameter]) -> list[torch.dtype]:
    return list(dict.fromkeys(parameter.dtype for parameter in parameters))


def _figures(partial: Sums | None, parameters: Sequence[nn.Parameter]) -> Tensor:
    """What is told beside the gradient, in float64."""
    if partial is None:
        return torch.zeros(NUM_FIGURES + len(parameters), dtype=torch.float64)
    is_there = [gradient is not None for gradient in partial.gradient]
    values = [1.0, partial.loss.item(), partial.num_right, *is_there]
    return torch.tensor(values, dtype=torch.float64)


def _flat(partial: Sums | None, parameters: Sequence[nn.Parameter], dtype: torch.dtype) -> Tensor:
    """The gradients of the parameters of a type, one after another; zeros for what is not there."""
    given = [None] * len(parameters) if partial is None else partial.gradient
    parts = [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, given, strict=True)
        if parameter.dtype == dtype
    ]
    return torch.cat([part.detach().reshape(-1) for part in parts])


def _sums(
    figures: Tensor, gradients: Sequence[Tensor], parameters: Sequence[nn.Parameter]
) -> Sums | None:
    """What a rank has told."""
    has_sums, loss, num_right, *is_there = figures.tolist()
    if not has_sums:
        return None
    flat = {gradient.dtype: gradient for gradient in gradients}
    begins = dict.fromkeys(flat, 0)
    gradient: list[Tensor | None] = []
    for parameter, there in zip(parameters, is_there, strict=True):
        begin = begins[parameter.dtype]
        begins[parameter.dtype] = end = begin + parameter.numel()
        part = flat[parameter.dtype][begin:end].view(parameter.shape)
        gradient.append(part if there else None)
    loss_sum = torch.tensor(loss, dtype=torch.float32, device=parameters[0].device)
    return Sums(loss_sum, num_right, gradient)
