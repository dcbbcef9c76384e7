"""What a run that names pixels is worth: intersection over union of each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rondo.errors import RunError, look_up
from rondo.tasks.segmentation.answers import Segmenter
from rondo.tasks.segmentation.regions import PixelEvaluation, evaluate_pixels, region_table
from rondo.tasks.segmentation.scenes import SceneSource
from rondo.training.measure import options_with
from rondo.training.run_folder import RunFolder
from rondo.training.session import read_task
from rondo.training.task import Task


def evaluate(
    folder: RunFolder,
    *,
    data: str | None = None,
    split: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> PixelsEvaluation:
    """Returns what a run is worth on val and test, or on the split that is named.

    Args:
        folder: The run folder.
        data: Another folder of pictures, or None for the run's own data.
        split: "train", "val" or "test" of a folder, "val" or "test" of drawn scenes.
        say: Is given each line for the user.

    Raises:
        RunError: If the data cannot be used, or have other classes than the run's.
    """
    segmenter = Segmenter(folder.path)
    task = _task(folder, data, say)
    for note in task.notes:
        say(note)
    if task.pixel_classes != segmenter.classes:
        raise RunError(
            f"the data have the classes {', '.join(task.pixel_classes or ())}, but the run "
            f"learnt {', '.join(segmenter.classes)}"
        )
    source = task.source
    splits = {
        "val": lambda: source.check_batches(segmenter.config.seed, 0),
        "test": source.test_batches,
    }
    if isinstance(source, SceneSource):
        splits["train"] = lambda: source.batches("train")
    wanted = ("val", "test") if split is None else (split,)
    batches = {name: look_up("split", name, splits) for name in wanted}
    return PixelsEvaluation(
        {
            name: evaluate_pixels(segmenter.model, make(), segmenter.classes)
            for name, make in batches.items()
        }
    )


@dataclass(frozen=True)
class PixelsEvaluation:
    """What a run is worth.

    Args:
        evaluations: What the answers are worth, by split.
    """

    evaluations: dict[str, PixelEvaluation]

    def values(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {name: item.to_dict() for name, item in self.evaluations.items()}

    def lines(self) -> list[str]:
        """Returns a line for each class, and the means."""
        return region_table(self.evaluations).split("\n")


def _task(folder: RunFolder, data: str | None, say: Callable[[str], None]) -> Task:
    """The task without the weights that the run began with, which nothing is measured by."""
    config = folder.read_config()
    options = replace(config.options, weights=None)
    if data is None:
        return read_task(folder.definition, replace(config, options=options), folder.path, say)
    return folder.definition.make_task(options_with(folder.definition, options, data))
