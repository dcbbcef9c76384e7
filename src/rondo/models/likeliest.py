"""The greatest of some scores, and where they are: what every beam search keeps of its candidates.

Scores (B, N) go in, the W greatest of each row and their places come out, the greatest first and
of equal ones the first. `Tensor.topk` leaves open which of equal scores it takes.
"""

from __future__ import annotations

from torch import Tensor


def likeliest(scores: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Returns the greatest scores of each row and their places, both (B, min(width, N)).

    Args:
        scores: (B, N), none of them NaN.
        width: How many are wanted, at least 1.

    Example:
        >>> import torch
        >>> from rondo.models.likeliest import likeliest
        >>> likeliest(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0]]), 3)
        (tensor([[3., 3., 2.]]), tensor([[1, 3, 2]]))
    """
    width = min(width, scores.shape[1])
    values, places = scores.topk(min(width + 1, scores.shape[1]))
    least = values[:, width - 1 : width]
    if bool((values[:, width:] == least).any()):  # topk took any of those
        places = _first_places(scores, least, width)
    places = places[:, :width].sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _first_places(scores: Tensor, least: Tensor, width: int) -> Tensor:
    """The places of all scores above the least that is taken, and of the first that equal it."""
    above, equal = scores > least, scores == least
    room = width - above.sum(1, keepdim=True)
    return (above | (equal & (equal.cumsum(1) <= room))).nonzero()[:, 1].view(-1, width)
