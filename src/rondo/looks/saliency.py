"""Where in the picture the network looked."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from rondo.data.order import spaced

BATCH_SIZE = 32
"""Photos at a time."""


def saliency(model: nn.Module, pixels: Tensor) -> Tensor:
    """Returns how strongly each place moves the answer: the smoothed gradient of the input.

    It is the absolute derivative of the answer's log-odds, ln p / (1 - p), with respect to the
    pixels (Simonyan et al., 2014, take the logit), summed over the colours, smoothed and scaled to
    a sum of 1. For two classes the log-odds are the difference of the two logits.

    Args:
        model: The classifier.
        pixels: Photos (N, 3, S, S), 0..255.

    Returns:
        Maps (N, S, S), none negative.
    """
    model.eval()
    device = next(model.parameters()).device
    maps = []
    for batch in pixels.split(BATCH_SIZE):
        images = batch.to(device).float().requires_grad_()
        (gradient,) = torch.autograd.grad(_log_odds(model(images)).sum(), images)
        maps.append(_smooth(gradient.abs().sum(dim=1, keepdim=True)).squeeze(1).cpu())
    return torch.cat(maps)


def _log_odds(logits: Tensor) -> Tensor:
    """Returns ln p / (1 - p) of the likeliest class of each row."""
    answer = logits.argmax(dim=1, keepdim=True)
    others = logits.scatter(1, answer, -torch.inf)
    return logits.gather(1, answer).squeeze(1) - others.logsumexp(dim=1)


def mean_saliency(model: nn.Module, pixels: Tensor, num_photos: int = 256) -> Tensor:
    """Returns the mean saliency (S, S) over evenly spaced photos, at most so many."""
    return saliency(model, pixels[spaced(len(pixels), num_photos)]).mean(dim=0)


def has_evidence(model: nn.Module) -> bool:
    """Returns whether the answer of a network is a mean over places."""
    return hasattr(model, "evidence_map")


def evidence(model: nn.Module, pixels: Tensor) -> Tensor | None:
    """Returns which class each place speaks for, (N, S, S).

    Of two classes it is positive for class 1. Of more it is positive for the answer and negative
    for the second likeliest class. None where the model's answer is not a mean over places.
    """
    evidence_map = getattr(model, "evidence_map", None)
    if evidence_map is None:
        return None
    with torch.no_grad():
        maps = evidence_map(pixels.to(next(model.parameters()).device).float()).cpu()
    difference = (maps[:, 1:] - maps[:, :1]) if maps.shape[1] == 2 else _over_second(maps)
    return interpolate(difference, pixels.shape[-2:], mode="bicubic").squeeze(1)


def _over_second(maps: Tensor) -> Tensor:
    """Returns the map of the likeliest class less that of the second, (N, 1, I, J)."""
    likeliest = maps.mean((2, 3)).topk(2, dim=1).indices
    first, second = (maps.take_along_dim(row.view(-1, 1, 1, 1), 1) for row in likeliest.T)
    return first - second


def _smooth(maps: Tensor) -> Tensor:
    """Blurs maps (N, 1, S, S) about as a Gaussian of 1/32 of their width does; sums become 1."""
    width = 2 * (maps.shape[-1] // 32) + 1
    for _ in range(3):
        maps = avg_pool2d(maps, width, stride=1, padding=width // 2, count_include_pad=False)
    return maps / maps.sum(dim=(2, 3), keepdim=True).clamp_min(1e-30)
