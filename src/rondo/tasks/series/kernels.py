"""Features of series by random convolutions, for a regression beside the network.

A kernel of 9 random weights slides over the steps of a few columns, at a random distance between
the steps that it sees. Of what it gives at the steps of a series come the share above a random
threshold, and the largest value. Many kernels and ridge regression on their features name classes
well: Dempster et al., "ROCKET", 2020, of which this is a small form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv1d
from torch.nn.utils.rnn import pad_sequence

from rondo.data.seeds import generator_for
from rondo.data.sources import Example
from rondo.models.series_steps import Standardise, both_views

NUM_KERNELS = 512
"""Kernels, in groups of one distance each."""

SIZE = 9
"""The steps that a kernel sees."""

TOGETHER = 32
"""Series whose features are computed together."""


@torch.no_grad()
def kernel_features(examples: Sequence[Example], standardise: Standardise, longest: int) -> Tensor:
    """Returns features of series (N, F), the same for the same arguments.

    Args:
        examples: Series (T, C).
        standardise: Brings columns to like size.
        longest: The steps of the longest training series; wider kernels are not drawn.
    """
    dilations = [2**n for n in range(10) if n == 0 or (SIZE - 1) * 2**n < longest]
    found = []
    for first in range(0, len(examples), TOGETHER):
        part = [standardise(one.inputs) for one in examples[first : first + TOGETHER]]
        lengths = torch.tensor([len(one) for one in part])
        x = both_views(pad_sequence(part, batch_first=True), lengths).transpose(1, 2)
        groups = [_of_group(x, lengths, d, NUM_KERNELS // len(dilations)) for d in dilations]
        found.append(torch.cat(groups, 1))
    features = torch.cat(found)
    return torch.cat([features, _figures(examples, standardise)], 1).double()


def _of_group(x: Tensor, lengths: Tensor, dilation: int, number: int) -> Tensor:
    """The share above the threshold and the largest value of each kernel (B, 2 * number)."""
    generator = generator_for("random kernels", dilation, x.shape[1])
    weight = torch.randn(number, x.shape[1], SIZE, generator=generator)
    weight -= weight.mean(2, keepdim=True)
    seen = torch.rand(number, x.shape[1], generator=generator)
    weight *= (seen <= seen.min(1, keepdim=True).values.clamp_min(0.5))[..., None]
    threshold = torch.randn(number, generator=generator)
    y = conv1d(x, weight, padding=(SIZE // 2) * dilation, dilation=dilation)
    is_real = (torch.arange(x.shape[2]) < lengths[:, None])[:, None]
    share = ((y > threshold[:, None]) & is_real).sum(2) / lengths[:, None]
    largest = y.masked_fill(~is_real, -torch.inf).amax(2)
    return torch.cat([share, largest], 1)


def _figures(examples: Sequence[Example], standardise: Standardise) -> Tensor:
    """The mean, deviation and extremes of each column, and the length (N, 4 C + 1)."""
    rows = []
    for one in examples:
        z = standardise(one.inputs)
        steps = torch.tensor([float(len(z))])
        rows.append(torch.cat([z.mean(0), z.std(0, correction=0), z.amin(0), z.amax(0), steps]))
    return torch.stack(rows)


def ridge(features: Tensor, wanted: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Returns weights (F, K) and constants (K,) of a ridge regression, in float64."""
    middle, means = features.mean(0), wanted.mean(0)
    centred = features - middle
    gram = centred @ centred.T
    gram.diagonal().add_(penalty)
    weights = centred.T @ torch.linalg.solve(gram, wanted - means)
    return weights, means - middle @ weights
