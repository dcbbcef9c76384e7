"""What a run on series is worth on a split, beside simple rules on the same one.

In goes a run, out come measures of the network and of each rule, tables of them, and a line that
says whether the network is better than the best rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rondo.data.sources import EVALUATED_TOGETHER, Collection, Example, together
from rondo.data.splits import MAIN_SPLITS
from rondo.errors import RunError, look_up
from rondo.measures.classes import ClassEvaluation, confusion_table, evaluate_classes
from rondo.measures.intervals import Share, percent, wilson
from rondo.models.series_forecaster import Forecaster
from rondo.models.series_model import SeriesModel
from rondo.system.columns import columns
from rondo.tasks.series.baselines import class_rules, forecast_rules, number_rules
from rondo.tasks.series.definition import SERIES
from rondo.tasks.series.form import listed
from rondo.tasks.series.scores import (
    ForecastScore,
    NumberScore,
    mase_scales,
    score_forecasts,
    score_numbers,
)
from rondo.tasks.series.windows import Windows
from rondo.training.network import new_network
from rondo.training.recipe import Recipe
from rondo.training.task import Task

SPLITS = ("val", "test")
"""What a run is measured on: neither was trained on."""

NETWORK = "the network"
"""What the network is called beside the rules."""

Score = Share | NumberScore | ForecastScore
"""What answers for one target are worth."""


@dataclass(frozen=True)
class Evaluation:
    """The network and the rules on one split.

    Args:
        kind: "classify", "regress" or "forecast".
        scores: By network or rule, and by target.
        classes: All about the classes of the network, where there are some.
    """

    kind: str
    scores: Mapping[str, Mapping[str, Score]]
    classes: ClassEvaluation | None = None

    def main(self, who: str) -> float:
        """The one figure of the network or of a rule: mean accuracy, R2 or MASE."""
        return float(np.mean([_main(score) for score in self.scores[who].values()]))

    def best_rule(self) -> str:
        """The rule with the best figure."""
        rules = [name for name in self.scores if name != NETWORK]
        return min(rules, key=self.main) if self.kind == "forecast" else max(rules, key=self.main)

    def verdict(self) -> str:
        """Whether the network is better than the best rule, in words."""
        rule = self.best_rule()
        ours, theirs = self.main(NETWORK), self.main(rule)
        is_better = ours < theirs if self.kind == "forecast" else ours > theirs
        name, form = {"classify": ("accuracy", "{:.1%}"), "regress": ("R2", "{:.3f}"),
                      "forecast": ("MASE", "{:.3f}")}[self.kind]  # fmt: skip
        figures = f"{name} {form.format(ours)} against {form.format(theirs)}"
        if is_better:
            return f"the network is better than the best rule, {rule}: {figures}"
        same = "no better" if ours == theirs else "WORSE"
        return f"the network is {same} than the rule {rule}: {figures}; use the rule, or train on"

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures for JSON."""
        found: dict[str, Any] = {
            "kind": self.kind,
            "scores": {
                who: {target: _dict(score) for target, score in by_target.items()}
                for who, by_target in self.scores.items()
            },
            "verdict": self.verdict(),
        }
        return found if self.classes is None else {**found, "classes": self.classes.to_dict()}

    def text(self) -> str:
        """Returns the tables and the verdict."""
        rows = [
            [f"{who}, {target}" if target else who, *_cells(score)]
            for who, by_target in self.scores.items()
            for target, score in by_target.items()
        ]
        blocks = ["\n".join(columns(HEADS[self.kind], rows)), self.verdict()]
        if self.classes is not None:
            blocks.insert(1, confusion_table(self.classes))
        return "\n\n".join(blocks)


HEADS = {
    "classify": ["", "series", "accuracy (95 % interval)"],
    "regress": ["", "series", "MAE", "RMSE", "R2"],
    "forecast": ["", "windows", "MASE", "MAE", "RMSE", "quantile loss", "coverage", "wanted"],
}
"""The heads of the tables."""


def evaluations(
    model: nn.Module, task: Task, recipe: Recipe, splits: Sequence[str] = SPLITS
) -> dict[str, Evaluation]:
    """Returns what a network and the rules are worth on splits of a task.

    Raises:
        RunError: If there is no such split.
    """
    for split in splits:
        look_up("split", split, dict.fromkeys(SPLITS))
    if isinstance(model, Forecaster):
        assert isinstance(task.source, Windows)
        plain = new_network(SERIES, task, recipe, is_new=False)
        assert task.prepare is not None
        task.prepare(plain)
        assert isinstance(plain, Forecaster)
        return _forecasts(model, plain, task.source, splits)
    assert isinstance(task.source, Collection)
    assert isinstance(model, SeriesModel)
    return _labelled(model, task, task.source, splits)


def _labelled(
    model: SeriesModel, task: Task, source: Collection, splits: Sequence[str]
) -> dict[str, Evaluation]:
    is_classes = task.classes is not None
    rules = class_rules(source, task.output_size) if is_classes else number_rules(source)
    found = {}
    for split in splits:
        part = source.val if split == "val" else source.test
        said, wanted = said_of(model, part), torch.stack([one.targets for one in part])
        by_rule = {name: rule(split) for name, rule in rules.items()}
        if task.classes is not None:
            whole = evaluate_classes(said.softmax(-1), wanted, task.classes)
            scores = {NETWORK: {"": whole.accuracy}} | {
                name: {"": wilson(int((answer == wanted).sum()), len(wanted))}
                for name, answer in by_rule.items()
            }
            found[split] = Evaluation("classify", scores, whole)
        else:
            names = _target_names(task)
            numbers = {
                name: {
                    target: score_numbers(answer[:, n].numpy(), wanted[:, n].double().numpy())
                    for n, target in enumerate(names)
                }
                for name, answer in {NETWORK: said, **by_rule}.items()
            }
            found[split] = Evaluation("regress", numbers)
    return found


def _target_names(task: Task) -> Sequence[str]:
    names = task.model_arguments["told"]["target"]
    if len(names) == task.output_size > 1:
        return list(names)
    return [""] if task.output_size == 1 else [f"target {n}" for n in range(task.output_size)]


@torch.no_grad()
def said_of(model: SeriesModel, examples: Sequence[Example]) -> Tensor:
    """Returns what a network says of examples (N, K), in float64."""
    model.eval()
    found = []
    for first in range(0, len(examples), EVALUATED_TOGETHER):
        batch = together(examples[first : first + EVALUATED_TOGETHER])
        found.append(model(batch.inputs, lengths=batch.lengths)[0].double())
    return torch.cat(found)


@torch.no_grad()
def _forecasts(
    model: Forecaster, plain: Forecaster, source: Windows, splits: Sequence[str]
) -> dict[str, Evaluation]:
    model.eval()
    rules, found = forecast_rules(plain, source), {}
    for split in splits:
        number = MAIN_SPLITS.index(split)
        batches = list(source.batches(number))
        wanted = torch.cat([batch.targets for batch in batches]).double().numpy()
        scales = mase_scales(source, number, model.season)
        said = {NETWORK: torch.cat([model(batch.inputs)[0] for batch in batches])}
        said |= {name: rule(number) for name, rule in rules.items()}
        scores = {
            name: _by_target(model, answer.double().numpy(), wanted, scales)
            for name, answer in said.items()
        }
        found[split] = Evaluation("forecast", scores)
    return found


def _by_target(
    model: Forecaster, said: np.ndarray, wanted: np.ndarray, scales: np.ndarray
) -> dict[str, Score]:
    levels = model.quantiles if said.shape[-1] > 1 else (0.5,)
    names = model.columns[: model.num_targets]
    return {
        "" if len(names) == 1 else name: score_forecasts(
            said[:, :, n], wanted[..., n], scales[:, n], levels
        )
        for n, name in enumerate(names)
    }


def _main(score: Score) -> float:
    if isinstance(score, ForecastScore):
        return score.mase
    return score.r2 if isinstance(score, NumberScore) else score.value


def _dict(score: Score) -> dict[str, Any]:
    if isinstance(score, Share):
        return {"num_correct": score.num_correct, "num_series": score.num_photos,
                "value": score.value, "low": score.low, "high": score.high}  # fmt: skip
    return score.to_dict()


def _cells(score: Score) -> list[str]:
    if isinstance(score, Share):
        return [str(score.num_photos), percent(score)]
    if isinstance(score, NumberScore):
        return [str(score.num_series), *(f"{x:.4g}" for x in (score.mae, score.rmse, score.r2))]
    return [
        str(score.num_windows), f"{score.mase:.3f}", f"{score.mae:.4g}", f"{score.rmse:.4g}",
        "-" if score.quantile_loss is None else f"{score.quantile_loss:.3f}",
        "-" if score.coverage is None else f"{100 * score.coverage:.0f} %",
        "-" if score.wanted_coverage is None else f"{100 * score.wanted_coverage:.0f} %",
    ]  # fmt: skip


def check_like(model: SeriesModel | Forecaster, classes: Sequence[str], task: Task) -> None:
    """Raises `RunError` where the data of a task are not like those that a network learnt from."""
    pairs = {
        "columns": (task.model_arguments["columns"], model.columns),
        "classes": (task.classes or (), classes),
    }
    for what, (here, learnt) in pairs.items():
        if list(here) != list(learnt):
            raise RunError(
                f"the data have the {what} {listed(list(here)) or 'none'}, but the run learnt "
                f"{listed(list(learnt)) or 'none'}"
            )
