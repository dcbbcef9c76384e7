"""What the report and the model card of a run are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rondo.measures.calibration import Temperature
from rondo.tasks.photo.evaluation import Evaluation, unseen
from rondo.tasks.photo.robustness import Trial
from rondo.tasks.photo.task import DRAWN, SEXES, PhotoSet
from rondo.training.config import RunConfig


@dataclass(frozen=True)
class ReportInput:
    """What a report is made of.

    Args:
        config: The settings of the run.
        records: The records of `metrics.jsonl`.
        data: The photos of every split.
        probabilities: The predictions on every split but "train", after the temperature.
        evaluations: What these are worth.
        model: The network that predicts.
        temperature: What the logits of the predictions were divided by.
        trials: What the network makes of bad photos of the unseen splits.
        arguments: What the network was made of.
    """

    config: RunConfig
    records: list[dict[str, Any]]
    data: dict[str, PhotoSet]
    probabilities: dict[str, Tensor]
    evaluations: dict[str, Evaluation]
    model: nn.Module
    temperature: Temperature
    trials: dict[str, tuple[Trial, ...]]
    arguments: dict[str, Any]

    @property
    def is_drawn(self) -> bool:
        """Whether the pictures show nobody, so that the page may show them."""
        return self.config.options.data == DRAWN

    @property
    def noun(self) -> str:
        """What the pictures are."""
        return "drawings" if self.is_drawn else "photos"

    @property
    def unseen(self) -> dict[str, Evaluation]:
        """What the predictions are worth on photos that nothing was fitted to."""
        return unseen(self.evaluations)

    @property
    def title(self) -> str:
        """What the run is about."""
        return f"Predicting a person's sex from {self.noun}"

    @property
    def speed(self) -> str:
        """How fast the run trained in its last epoch."""
        train = [record for record in self.records if record["split"] == "train"]
        return f"{train[-1]['per_second']:.0f} photos a second" if train else "unknown"

    @property
    def model_text(self) -> str:
        """The network as it is built."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.config.options.model}({arguments})"

    @property
    def recipe_text(self) -> str:
        """How it was trained, in a line."""
        recipe = self.config.recipe
        return (
            f"{self.config.recipe_name}: {recipe.num_epochs} epochs, batches of "
            f"{recipe.batch_size}, {recipe.schedule} rate {recipe.learning_rate:g}, "
            f"{recipe.precision}"
        )

    @property
    def counts(self) -> list[list[str]]:
        """Split by split, the number of photos and of those with each label."""
        return [
            [name, *(str(n) for n in (len(found), *found.bincount(minlength=len(SEXES)).tolist()))]
            for name, found in ((name, photos.labels) for name, photos in self.data.items())
        ]

    @property
    def skipped(self) -> list[tuple[str, int]]:
        """How many files were left out, by reason, the most frequent first."""
        files = {
            (item.path, item.reason) for photos in self.data.values() for item in photos.skipped
        }
        return Counter(reason for _, reason in files).most_common()
