"""What a picture looks like in some hundred numbers, without anything that was learnt.

Means of the colours on a grid, a histogram of the colours, and for each field of a coarser grid
how the edges are directed: histograms of oriented gradients (Dalal & Triggs, 2005) without soft
borders, each field normalised alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

SIDE = 64
"""The side of the pictures that features are taken of, in pixels."""

COLOUR_GRID, EDGE_GRID, NUM_DIRECTIONS, NUM_LEVELS = 6, 4, 8, 4

NUM_FEATURES = 3 * COLOUR_GRID**2 + NUM_LEVELS**3 + NUM_DIRECTIONS * EDGE_GRID**2
"""How many numbers there are."""


def picture_features(pictures: Tensor) -> Tensor:
    """Returns the features (B, 300) of pictures (B, 3, H, W) with values 0 to 255.

    Example:
        >>> import torch
        >>> picture_features(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 300])
    """
    x = pictures.float() / 255
    colours = adaptive_avg_pool2d(x, COLOUR_GRID).flatten(1)
    return torch.cat([colours, _histogram(x), _edges(x.mean(1))], 1)


def _histogram(x: Tensor) -> Tensor:
    """The share of the pixels in each of 4 x 4 x 4 boxes of colours."""
    levels = (x * NUM_LEVELS).long().clamp(0, NUM_LEVELS - 1)
    box = (levels[:, 0] * NUM_LEVELS + levels[:, 1]) * NUM_LEVELS + levels[:, 2]
    return one_hot(box.flatten(1), NUM_LEVELS**3).float().mean(1).sqrt()


def _edges(grey: Tensor) -> Tensor:
    """How strong the edges of each direction are, in each field of a grid."""
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    turn = torch.atan2(down, across) / torch.pi % 1.0
    direction = (turn * NUM_DIRECTIONS).long().clamp_max(NUM_DIRECTIONS - 1)
    strength = (across.square() + down.square()).sqrt()[..., None]
    votes = (one_hot(direction, NUM_DIRECTIONS) * strength).permute(0, 3, 1, 2)
    fields = adaptive_avg_pool2d(votes, EDGE_GRID)
    norm = fields.square().sum(1, keepdim=True).sqrt()
    return (fields / (norm + 0.01)).flatten(1)
