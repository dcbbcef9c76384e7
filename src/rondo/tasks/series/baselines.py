"""Simple rules on the same splits, beside which a network must stand.

    classes    always the most frequent class; ridge regression on random kernels
    numbers    always the mean; the same regression
    forecasts  the last value; the season before; ridge regression on lags

The penalties of the regressions are chosen on the checks, as the weights of a network are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rondo.data.order import spaced
from rondo.data.sources import Collection, Example
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_steps import Standardise
from rondo.tasks.series.kernels import kernel_features, ridge
from rondo.tasks.series.windows import Windows

MOST_SERIES = 2000
"""Training series at most that the regression on kernels is fitted to."""

PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3)
"""The penalties that are tried, for features of deviation 1, by the number of features."""

Rule = Callable[[str], Tensor]
"""From the name of a split to what is said of its examples."""


def class_rules(source: Collection, num_classes: int) -> dict[str, Rule]:
    """Returns rules that name classes (N,)."""
    train = [source.train[n] for n in spaced(len(source.train), MOST_SERIES).tolist()]
    labels = torch.stack([one.targets for one in train])
    most = torch.bincount(labels, minlength=num_classes).argmax()
    wanted = 2 * torch.nn.functional.one_hot(labels, num_classes).double() - 1
    known = torch.stack([one.targets for one in source.val])

    def is_wrong(said: Tensor) -> float:
        return float((said.argmax(1) != known).double().mean())

    regression = _regression(source, train, wanted, is_wrong)
    parts = {"val": source.val, "test": source.test}
    return {
        "most frequent class": lambda split: most.expand(len(parts[split])),
        "ridge on random kernels": lambda split: regression(parts[split]).argmax(1),
    }


def number_rules(source: Collection) -> dict[str, Rule]:
    """Returns rules that name numbers (N, K)."""
    train = [source.train[n] for n in spaced(len(source.train), MOST_SERIES).tolist()]
    wanted = torch.stack([one.targets for one in train]).double()
    known = torch.stack([one.targets for one in source.val]).double()

    def distance(said: Tensor) -> float:
        return float((said - known).square().sum(0).div(wanted.var(0).clamp_min(1e-30)).mean())

    regression = _regression(source, train, wanted, distance)
    parts = {"val": source.val, "test": source.test}
    return {
        "mean": lambda split: wanted.mean(0).expand(len(parts[split]), -1),
        "ridge on random kernels": lambda split: regression(parts[split]),
    }


def _regression(
    source: Collection,
    train: Sequence[Example],
    wanted: Tensor,
    loss: Callable[[Tensor], float],
) -> Callable[[Sequence[Example]], Tensor]:
    """The regression on random kernels whose penalty has the smallest loss on the checks."""
    standardise = Standardise(train[0].inputs.shape[1])
    standardise.fit(torch.cat([one.inputs for one in train]))
    longest = max(len(one.inputs) for one in train)
    features = kernel_features(train, standardise, longest)
    middle, scale = features.mean(0), features.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)

    def seen(examples: Sequence[Example]) -> Tensor:
        return (kernel_features(examples, standardise, longest) - middle) / scale

    here, held = (features - middle) / scale, seen(source.val)
    fits = [ridge(here, wanted, penalty * here.shape[1]) for penalty in PENALTIES]
    losses = [loss(held @ weights + constant) for weights, constant in fits]
    weights, constant = fits[losses.index(min(losses))]
    return lambda examples: seen(examples) @ weights + constant


def forecast_rules(model: Forecaster, source: Windows) -> dict[str, Callable[[int], Tensor]]:
    """Returns rules that forecast (N, H, O, Q), or (N, H, O, 1) where they say no quantiles.

    Args:
        model: A network of the run's sizes as it is before training: its lines alone speak.
        source: The windows.
    """
    model.eval()

    @torch.no_grad()
    def lines(split: int) -> Tensor:
        return torch.cat([model(batch.inputs)[0] for batch in source.batches(split)])

    def base(number: int) -> Callable[[int], Tensor]:
        @torch.no_grad()
        def rule(split: int) -> Tensor:
            found = []
            for batch in source.batches(split):
                level, scale = model.level(batch.inputs)
                past = batch.inputs[:, : model.context, : model.num_targets]
                base = model.bases((past - level) / scale)[number]
                found.append((base * scale + level)[..., None])
            return torch.cat(found)

        return rule

    rules = {"last value": base(0)}
    if model.season > 1:
        rules["season before"] = base(1)
    return {**rules, "ridge on lags": lines}
