"""What a network that names a class of each sequence is worth: accuracy and confusion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.measures.intervals import Share, percent, wilson
from rondo.system.columns import columns


@dataclass(frozen=True)
class ClassEvaluation:
    """What the answers on some sequences are worth.

    Args:
        classes: The names of the classes.
        accuracy: The share of right answers with its 95 % interval.
        majority_rate: The share of the most frequent class: what always saying it would get.
        loss: The mean of -ln p(class), in nats.
        confusion: Numbers of sequences, one row for each class and one column for each answer.
    """

    classes: tuple[str, ...]
    accuracy: Share
    majority_rate: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]

    def by_class(self) -> dict[str, Share]:
        """Returns the share of right answers among the sequences of each class."""
        return {
            name: wilson(row[number], sum(row))
            for number, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True))
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return {
            "accuracy": _of_share(self.accuracy),
            "majority_rate": self.majority_rate,
            "loss": self.loss,
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
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
    num_classes, predicted = len(classes), probabilities.argmax(1)
    counts = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    of_label = probabilities.gather(1, labels[:, None]).clamp_min(1e-38)
    return ClassEvaluation(
        classes=tuple(classes),
        accuracy=wilson(int((predicted == labels).sum()), len(labels)),
        majority_rate=int(torch.bincount(labels).max()) / len(labels),
        loss=-float(of_label.log().mean()),
        confusion=tuple(map(tuple, counts.view(num_classes, num_classes).tolist())),
    )


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
