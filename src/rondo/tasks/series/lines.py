"""Ridge regression from the lags of a window to its horizon.

These are the lines that a `Forecaster` starts from, and a rule beside it.

Each step of the horizon and each target has a regression of its own, over all training windows of
all series. What it predicts is the distance from the base of the window, in its deviation; so with
a strong penalty it is the base: the season before, or the last value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.order import spaced
from rondo.models.series_forecaster import Forecaster
from rondo.tasks.series.windows import TRAIN, VAL, Windows

MOST_ROWS = 4000
"""Training windows at most that the lines are fitted to."""

PENALTIES = (1e-2, 1.0, 10.0, 100.0, 1e3, 1e5)
"""The penalties that are tried."""


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
    """Gives a network the lines that fit the training windows, and the spread around them.

    The windows of the checks choose, for each target, the penalty and the base.
    """
    chosen = [windows.train[row] for row in spaced(len(windows.train), MOST_ROWS).tolist()]
    batches = [windows.batch(chosen, TRAIN)], list(windows.batches(VAL))
    tries = [
        one for is_seasonal in sorted({model.season > 1, False})
        for one in _tries(model, *batches, is_seasonal=is_seasonal)
    ]  # fmt: skip
    best = torch.stack([one.loss for one in tries]).nan_to_num(torch.inf).argmin(0).tolist()
    pairs = [(tries[number], target) for target, number in enumerate(best)]
    levels = torch.tensor(model.quantiles, dtype=torch.float64)
    spread = [one.missed[..., target].nanquantile(levels, 0).T for one, target in pairs]
    model.take_lines(
        torch.stack([one.lags[target] for one, target in pairs]).float(),
        torch.stack([one.ahead[target] for one, target in pairs]).float(),
        torch.stack(spread).nan_to_num(0.0).float(),
        torch.tensor([one.is_seasonal for one, _ in pairs]),
    )


@dataclass(frozen=True)
class Try:
    """Lines of one base and one penalty.

    Args:
        lags: A (O, H, L).
        ahead: B (O, H, 2K).
        is_seasonal: Whether the base is the season before.
        missed: What they say too little of the training (N, H, O), without a constant.
        loss: The mean distance in the checks (O,), in deviations of the windows.
    """

    lags: Tensor
    ahead: Tensor
    is_seasonal: bool
    missed: Tensor
    loss: Tensor


def _tries(
    model: Forecaster, train: list[Batch], val: list[Batch], *, is_seasonal: bool
) -> list[Try]:
    """The lines of one base, with each penalty."""
    model.is_seasonal.fill_(is_seasonal)
    here, held, found = seen_by_lines(model, train), seen_by_lines(model, val), []
    for penalty in PENALTIES:
        fit = _fit(here, penalty)
        missed = _missed(fit, here)
        loss = (_missed(fit, held) - missed.nanmedian(0).values).abs().nanmean((0, 1))
        found.append(Try(*fit, is_seasonal, missed, loss))
    return found


def seen_by_lines(model: Forecaster, batches: Iterable[Batch]) -> Seen:
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
