"""What the report and the model card of a run are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rondo.measures.calibration import Temperature
from rondo.tasks.photo.classes import SEXES, are_of_people
from rondo.tasks.photo.evaluation import Evaluation, unseen
from rondo.tasks.photo.robustness import Trial
from rondo.tasks.photo.sets import Photos
from rondo.tasks.photo.task import DRAWN
from rondo.training.config import RunConfig

MOST_COUNTED = 8
"""Of more classes the photos of each are not counted split by split."""


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
    data: Mapping[str, Photos]
    probabilities: dict[str, Tensor]
    evaluations: dict[str, Evaluation]
    model: nn.Module
    temperature: Temperature
    trials: dict[str, tuple[Trial, ...]]
    arguments: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are told apart."""
        return self.data["train"].classes

    @property
    def is_of_people(self) -> bool:
        """Whether the classes are said of people."""
        return are_of_people(self.classes)

    @property
    def is_drawn(self) -> bool:
        """Whether the pictures are the embedded drawings, which show nobody."""
        return self.config.options.data == DRAWN

    @property
    def shows_pictures(self) -> bool:
        """Whether the page may show the pictures: of people it may not."""
        return self.is_drawn or not self.is_of_people

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
        if self.classes == SEXES:
            return f"Predicting a person's sex from {self.noun}"
        if len(self.classes) <= MOST_COUNTED:
            return f"Telling {', '.join(self.classes[:-1])} and {self.classes[-1]} apart in photos"
        return f"Telling {len(self.classes)} classes apart in photos"

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
    def counts_head(self) -> list[str]:
        """What the columns of `counts` hold."""
        if len(self.classes) <= MOST_COUNTED:
            return ["split", self.noun, *self.classes]
        return ["split", self.noun, "classes", "fewest of one", "most of one"]

    @property
    def counts(self) -> list[list[str]]:
        """Split by split, the number of photos and of those of each class, or of the extremes."""
        rows = []
        for name, photos in self.data.items():
            found = photos.labels.bincount(minlength=len(self.classes))
            numbers = found.tolist()
            if len(self.classes) > MOST_COUNTED:
                numbers = [int((found > 0).sum()), min(numbers), max(numbers)]
            rows.append([name, str(len(photos)), *map(str, numbers)])
        return rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the data."""
        return self.data["train"].notes

    @property
    def skipped(self) -> list[tuple[str, int]]:
        """How many files were left out, by reason, the most frequent first."""
        files = {
            (item.path, item.reason) for photos in self.data.values() for item in photos.skipped
        }
        return Counter(reason for _, reason in files).most_common()
