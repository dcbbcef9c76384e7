"""Ridge regression from the lags of a window to its horizon.

These are the lines that a `Forecaster` starts from, and a rule beside it.

Each step of the horizon and each target has a regression of its own, over all training windows of
all series. What it predicts is the distance from the base of the window, in its deviation; so with
a strong penalty it is the base, the season before or the last value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.data.order import spaced
from rondo.models.series_forecaster import Forecaster
from rondo.tasks.series.windows import TRAIN, VAL, Windows

MOST_ROWS = 4000
"""Training windows at most that the lines are fitted to."""

PENALTIES = (1e-2, 1.0, 10.0, 100.0, 1e3, 1e5)
"""The penalties that are tried; the windows of the checks choose."""


@dataclass(frozen=True)
class Seen:
    """Windows as lines see them.

    Args:
        lags: (N, L, O).
        ahead: (N, H, 2K).
        wanted: (N, H, O) the distance from the base, NaN where a target is missing.
    """

    lags: Tensor
    ahead: Tensor
    wanted: Tensor


@torch.no_grad()
def fit_lines(model: Forecaster, windows: Windows) -> None:
    """Gives a network the lines that fit the training windows, and the spread around them."""
    chosen = [windows.train[row] for row in spaced(len(windows.train), MOST_ROWS).tolist()]
    train = seen_by_lines(model, [windows.batch(chosen, TRAIN)])
    held = list(windows.batches(VAL))
    val = seen_by_lines(model, held) if held else train
    fits = [_fit(train, penalty) for penalty in PENALTIES]
    middles = [_missed(fit, train).nanmedian(0).values for fit in fits]
    losses = torch.stack(
        [
            (_missed(fit, val) - m).abs().nanmean((0, 1))
            for fit, m in zip(fits, middles, strict=True)
        ]
    )
    best = losses.nan_to_num(torch.inf).argmin(0).tolist()
    lags = torch.stack([fits[n][0][target] for target, n in enumerate(best)])
    ahead = torch.stack([fits[n][1][target] for target, n in enumerate(best)])
    missed = _missed((lags, ahead), train)
    levels = torch.tensor(model.quantiles, dtype=missed.dtype)
    spread = missed.nanquantile(levels, 0).permute(2, 1, 0).nan_to_num(0.0)
    model.take_lines(lags.float(), ahead.float(), spread.float())


def seen_by_lines(model: Forecaster, batches: Iterable) -> Seen:
    """Returns batches as lines see them, in float64."""
    lags, ahead, wanted = [], [], []
    for batch in batches:
        level, scale = model.level(batch.inputs)
        z, base, known = model.seen(batch.inputs, level, scale)
        lags.append(z.double())
        ahead.append(known.double())
        wanted.append(((batch.targets - level) / scale - base).double())
    return Seen(torch.cat(lags), torch.cat(ahead), torch.cat(wanted))


def _fit(seen: Seen, penalty: float) -> tuple[Tensor, Tensor]:
    """A (O, H, L) and B (O, H, 2K) of one penalty."""
    _, num_steps, num_targets = seen.wanted.shape
    num_lags = seen.lags.shape[1]
    weights = seen.lags.new_zeros(num_targets, num_steps, num_lags + seen.ahead.shape[2])
    for target in range(num_targets):
        wanted = seen.wanted[..., target]
        if seen.ahead.shape[2] == 0 and wanted.isfinite().all():
            weights[target] = _solved(seen.lags[..., target], wanted, penalty).T
            continue
        for step in range(num_steps):
            rows = wanted[:, step].isfinite()
            features = torch.cat([seen.lags[..., target], seen.ahead[:, step]], 1)[rows]
            weights[target, step] = _solved(features, wanted[rows, step, None], penalty)[:, 0]
    return weights[..., :num_lags], weights[..., num_lags:]


def _solved(features: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    """The weights of a ridge regression around the means."""
    if not len(features):
        return features.new_zeros(features.shape[1], wanted.shape[1])
    centred = features - features.mean(0)
    gram = centred.T @ centred
    gram.diagonal().add_(penalty)
    return torch.linalg.solve(gram, centred.T @ (wanted - wanted.mean(0)))


def _missed(fit: tuple[Tensor, Tensor], seen: Seen) -> Tensor:
    """What lines say too little (N, H, O), without the constant."""
    lags, ahead = fit
    said = torch.einsum("nlo,ohl->nho", seen.lags, lags)
    return seen.wanted - said - torch.einsum("nhk,ohk->nho", seen.ahead, ahead)
