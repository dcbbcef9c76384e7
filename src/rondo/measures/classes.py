"""What answers that name a class are worth: accuracy, confusion, and figures for each class.

In go probabilities (N, K) and labels (N,), out come figures. A class that no label names has no
figures and is left out of their means; one that no answer names has no precision, and counts 0 in
the mean of those, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.measures.intervals import Share, percent, wilson
from rondo.system.columns import columns

MOST_IN_MATRIX = 200
"""Of more classes the whole confusion is not kept; it would be mostly zeros."""

NUM_MISTAKES = 20
"""Pairs of classes that are told, those confused most often first."""

NUM_GUESSES = 5
"""Of more classes it is told too how often the right one is among so many of the likeliest."""


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others.

    Args:
        name: The class.
        support: Examples whose label it is.
        num_answered: Examples whose answer it is.
        num_right: Examples of which it is both.
        precision: Share of these answers that are right; not a number where there are none.
        recall: Share of these examples that are found; not a number where there are none.
        f1: The harmonic mean of both, 2 right / (support + answered).
    """

    name: str
    support: int
    num_answered: int
    num_right: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class MacroAverage:
    """Means over the classes that have examples: each weighs the same, whatever its support."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Mistake:
    """A pair of classes that is confused.

    Args:
        label: The class that is meant.
        answer: The class that it is taken for.
        num_times: How often.
        share: The share of the examples of that label.
    """

    label: str
    answer: str
    num_times: int
    share: float


@dataclass(frozen=True)
class ClassEvaluation:
    """What the answers on some sequences are worth.

    Args:
        classes: The names of the classes.
        accuracy: The share of right answers with its 95 % interval.
        majority_rate: The share of the most frequent class: what always saying it would get.
        loss: The mean of -ln p(class), in nats.
        top_5: The share whose class is among the five likeliest; None for five classes or fewer.
        macro: Means over the classes.
        scores: The figures of each class.
        mistakes: The classes that are confused most often.
        confusion: Numbers of sequences, one row for each class and one column for each answer;
            empty for more than `MOST_IN_MATRIX` classes.
    """

    classes: tuple[str, ...]
    accuracy: Share
    majority_rate: float
    loss: float
    top_5: Share | None
    macro: MacroAverage
    scores: tuple[ClassScore, ...]
    mistakes: tuple[Mistake, ...]
    confusion: tuple[tuple[int, ...], ...]

    def by_class(self) -> dict[str, Share]:
        """Returns the share of right answers among the sequences of each class."""
        return {score.name: wilson(score.num_right, score.support) for score in self.scores}

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return {
            "accuracy": _of_share(self.accuracy),
            "majority_rate": self.majority_rate,
            "loss": self.loss,
            "top_5": None if self.top_5 is None else _of_share(self.top_5),
            "macro": asdict(self.macro),
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
            "scores": [asdict(score) for score in self.scores],
            "by_class": {name: _of_share(share) for name, share in self.by_class().items()},
        }


@torch.no_grad()
def class_probabilities(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Returns the probabilities (N, K) of all sequences, and their classes (N,)."""
    model.eval()
    probabilities, labels = [], []
    for batch in batches:
        logits, _ = model(batch.inputs, lengths=batch.lengths)
        probabilities.append(logits.double().softmax(-1))
        labels.append(batch.targets)
    return torch.cat(probabilities), torch.cat(labels)


def evaluate_classes(
    probabilities: Tensor, labels: Tensor, classes: Sequence[str]
) -> ClassEvaluation:
    """Returns what answers are worth.

    Args:
        probabilities: (N, K).
        labels: (N,).
        classes: The names of the K classes.

    Example:
        >>> import torch
        >>> from rondo.measures.classes import evaluate_classes
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
        >>> found = evaluate_classes(probabilities, torch.tensor([0, 1, 1]), ("run", "walk"))
        >>> found.confusion, round(found.accuracy.value, 3)
        (((1, 0), (1, 1)), 0.667)
    """
    predicted = probabilities.argmax(1)
    of_label = probabilities.gather(1, labels[:, None]).clamp_min(1e-38)
    scores = class_scores(predicted, labels, classes)
    return ClassEvaluation(
        classes=tuple(classes),
        accuracy=wilson(int((predicted == labels).sum()), len(labels)),
        majority_rate=int(torch.bincount(labels).max()) / len(labels),
        loss=-float(of_label.log().mean()),
        top_5=top_accuracy(probabilities, labels),
        macro=macro_average(scores),
        scores=scores,
        mistakes=most_confused(predicted, labels, classes),
        confusion=confusion_of(predicted, labels, len(classes)),
    )


def class_scores(
    predicted: Tensor, labels: Tensor, classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Returns the figures of each class.

    Args:
        predicted: The answers (N,).
        labels: What is right (N,).
        classes: The names of the K classes.

    Example:
        >>> import torch
        >>> from rondo.measures.classes import class_scores
        >>> found = class_scores(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), ("run", "walk"))
        >>> [(score.name, score.precision, score.recall) for score in found]
        [('run', 0.5, 1.0), ('walk', 1.0, 0.5)]
    """
    counts = (
        torch.bincount(values, minlength=len(classes)).tolist()
        for values in (labels, predicted, labels[predicted == labels])
    )
    return tuple(
        ClassScore(
            name, support, answered, right,
            _ratio(right, answered), _ratio(right, support), _ratio(2 * right, support + answered),
        )
        for name, support, answered, right in zip(classes, *counts, strict=True)
    )  # fmt: skip


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def macro_average(scores: Iterable[ClassScore]) -> MacroAverage:
    """Returns the means over the classes that have examples."""
    found = [score for score in scores if score.support]
    precisions = [score.precision if score.num_answered else 0.0 for score in found]
    return MacroAverage(
        precision=_ratio(sum(precisions), len(found)),
        recall=_ratio(sum(score.recall for score in found), len(found)),
        f1=_ratio(sum(score.f1 for score in found), len(found)),
    )


def top_accuracy(probabilities: Tensor, labels: Tensor) -> Share | None:
    """Returns how often the right class is among the five likeliest; None for five or fewer.

    Example:
        >>> import torch
        >>> from rondo.measures.classes import top_accuracy
        >>> probabilities = torch.tensor([[0.3, 0.2, 0.2, 0.1, 0.15, 0.05]])
        >>> top_accuracy(probabilities, torch.tensor([5])).value
        0.0
    """
    if probabilities.shape[1] <= NUM_GUESSES:
        return None
    guesses = probabilities.topk(NUM_GUESSES, dim=1).indices
    return wilson(int((guesses == labels[:, None]).any(1).sum()), len(labels))


def most_confused(
    predicted: Tensor, labels: Tensor, classes: Sequence[str], most: int = NUM_MISTAKES
) -> tuple[Mistake, ...]:
    """Returns the pairs of classes that are confused, the most frequent first."""
    num_classes, wrong = len(classes), predicted != labels
    pairs, counts = (labels * num_classes + predicted)[wrong].unique(return_counts=True)
    support = torch.bincount(labels, minlength=num_classes).tolist()
    order = counts.argsort(descending=True, stable=True)[:most]
    return tuple(
        Mistake(
            classes[pair // num_classes],
            classes[pair % num_classes],
            count,
            count / support[pair // num_classes],
        )
        for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    )


def confusion_of(
    predicted: Tensor, labels: Tensor, num_classes: int
) -> tuple[tuple[int, ...], ...]:
    """Returns a row for each class and a column for each answer; none for very many classes."""
    if num_classes > MOST_IN_MATRIX:
        return ()
    counts = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return tuple(map(tuple, counts.view(num_classes, num_classes).tolist()))


def class_accuracy_table(evaluations: dict[str, ClassEvaluation], noun: str = "clips") -> str:
    """Returns the accuracy of every split beside its majority-class rate."""
    rows = [
        [
            name,
            str(item.accuracy.num_photos),
            percent(item.accuracy),
            f"{100 * item.majority_rate:.1f} %",
        ]
        for name, item in evaluations.items()
    ]
    head = ["split", noun, "accuracy (95 % interval)", "majority class"]
    return "\n".join(columns(head, rows))


def confusion_table(evaluation: ClassEvaluation) -> str:
    """Returns a line for each class: how often it was taken for which, and its accuracy."""
    rows = [
        [name, *(str(count) if count else "." for count in row), percent(share)]
        for (name, share), row in zip(
            evaluation.by_class().items(), evaluation.confusion, strict=True
        )
    ]
    head = ["class, taken for", *evaluation.classes, "right (95 % interval)"]
    return "\n".join(columns(head, rows))


def _of_share(share: Share) -> dict[str, float | None]:
    """Returns a share for JSON, which has no number that is none."""
    return {
        "num_correct": share.num_correct,
        "num_clips": share.num_photos,
        "value": share.value if share.num_photos else None,
        "low": share.low,
        "high": share.high,
    }
