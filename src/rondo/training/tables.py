"""Results as text for a terminal."""

from __future__ import annotations

from rondo.tasks.faces import SEXES
from rondo.training.evaluation import Evaluation, Share


def accuracy_table(evaluations: dict[str, Evaluation]) -> str:
    """Returns the accuracy of every split beside its majority-class rate."""
    lines = [f"{'split':8} {'photos':>7} {'accuracy':>9}  {'95 % interval':15} {'majority':>9}"]
    for name, item in evaluations.items():
        lines.append(f"{name:8} {_share(item.accuracy)} {100 * item.majority_rate:7.1f} %")
    lines.append("majority: what always saying the more frequent label would get")
    return "\n".join(lines)


def detail_table(name: str, evaluation: Evaluation) -> str:
    """Returns the confusion matrix of a split and its accuracy by source, age and group."""
    error = 100 * evaluation.calibration_error
    lines = [
        f"{name}: loss {evaluation.loss:.3f} nats, calibration error {error:.1f} points",
        "",
        f"{'labelled':10}" + "".join(f"{'taken for ' + sex:>18}" for sex in SEXES),
    ]
    for sex, counts in zip(SEXES, evaluation.confusion, strict=True):
        lines.append(f"{sex:10}" + "".join(f"{count:18}" for count in counts))
    parts = (
        ("source", evaluation.by_source),
        ("age", evaluation.by_age),
        ("group", evaluation.by_group),
    )
    for title, shares in parts:
        if shares:
            width = max(8, *(len(key) for key in shares))
            lines += ["", f"{title:{width}} {'photos':>7} {'accuracy':>9}  95 % interval"]
            lines += [f"{key:{width}} {_share(share)}" for key, share in shares.items()]
    return "\n".join(lines)


def _share(share: Share) -> str:
    interval = f"{100 * share.low:.1f} to {100 * share.high:.1f}"
    return f"{share.num_photos:7} {100 * share.value:7.1f} %  {interval:15}"
