"""What a network that names the class of every pixel is worth: intersection over union."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondo.data.batch import Batch
from rondo.system.columns import columns
from rondo.tasks.segmentation.scenes import VOID


@dataclass(frozen=True)
class PixelEvaluation:
    """What the answers for some pixels are worth.

    Args:
        classes: The names of the classes.
        confusion: Numbers of pixels, one row for each class and one column for each answer.
        num_pictures: How many pictures they are of.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    num_pictures: int

    def intersection_over_union(self) -> dict[str, float | None]:
        """The pixels of a class that are named so, over those that are of it or named so.

        None for a class that neither occurs nor is answered.
        """
        answered = [sum(column) for column in zip(*self.confusion, strict=True)]
        found: dict[str, float | None] = {}
        for number, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True)):
            union = sum(row) + answered[number] - row[number]
            found[name] = row[number] / union if union else None
        return found

    @property
    def mean_iou(self) -> float:
        """The mean over the classes that there are; 0 where there is none."""
        known = [value for value in self.intersection_over_union().values() if value is not None]
        return sum(known) / max(1, len(known))

    @property
    def accuracy(self) -> float:
        """The share of all pixels that are named rightly (global accuracy)."""
        right = sum(row[number] for number, row in enumerate(self.confusion))
        return right / max(1, sum(map(sum, self.confusion)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers for JSON."""
        return {
            "pictures": self.num_pictures,
            "mean_iou": self.mean_iou,
            "accuracy": self.accuracy,
            "iou": self.intersection_over_union(),
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
        }


def confusion_of(answers: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Returns how often each class (row) was given each answer (column); void pixels are left out.

    Example:
        >>> import torch
        >>> from rondo.tasks.segmentation.regions import confusion_of
        >>> confusion_of(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 255]), 2)
        tensor([[1, 1],
                [0, 1]])
    """
    known = labels != VOID
    pairs = labels[known] * num_classes + answers[known]
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


@torch.no_grad()
def evaluate_pixels(
    model: nn.Module, batches: Iterable[Batch], classes: Sequence[str]
) -> PixelEvaluation:
    """Returns what a network is worth on some clips; its state goes on where the batches do."""
    model.eval()
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.long)
    num_pictures, state = 0, None
    for batch in batches:
        logits, state = model(batch.inputs, state if batch.continues else None)
        confusion += confusion_of(logits.argmax(2), batch.targets, len(classes))
        num_pictures += batch.inputs.shape[0] * batch.inputs.shape[1]
    return PixelEvaluation(tuple(classes), tuple(map(tuple, confusion.tolist())), num_pictures)


def region_table(evaluations: dict[str, PixelEvaluation]) -> str:
    """Returns a line for each class, and below them the means, with a column for each split."""
    first = next(iter(evaluations.values()))
    tables = [item.intersection_over_union() for item in evaluations.values()]
    rows = [[name, *(_percent(table[name]) for table in tables)] for name in first.classes]
    items = evaluations.values()
    rows.append(["mean", *(_percent(item.mean_iou) for item in items)])
    rows.append(["pixels named rightly", *(_percent(item.accuracy) for item in items)])
    rows.append(["pictures", *(str(item.num_pictures) for item in items)])
    return "\n".join(columns(["intersection over union", *evaluations], rows))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
