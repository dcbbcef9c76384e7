"""What a training run was asked to do, as data that is written to `config.json` and read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rondo.errors import (
    RunError,
    check_from_0,
    check_from_1,
    look_up,
)
from rondo.system.json_text import dataclass_text
from rondo.tasks.photo.task import DRAWN, MODELS
from rondo.training.precision import PRECISIONS
from rondo.training.recipe import SIZE_STEP, Recipe, recipe_from
from rondo.training.versions import current_versions, from_json

FORMAT = 2
"""Changes whenever a run folder of an older version could no longer be read."""


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to build the model and the data of a run again.

    Args:
        data: Path of the photos, or "drawn".
        layout: How the photos are labelled (`rondo.tasks.photo.files.LAYOUTS`), or None: find out.
        data_fingerprint: Digest of the photos and labels (`rondo.tasks.photo.task.fingerprint`).
        num_drawn: Number of training drawings, where the data are drawn.
        image_size: Side of the photos.
        model: Name in `rondo.tasks.photo.task.MODELS`.
        model_arguments: Arguments of that function.
        recipe_name: Name in `rondo.tasks.photo.task.RECIPES` from which the recipe was made.
        recipe: How to train, with every change the user asked for.
        seed: Seed of the new weights, the order of the photos and their augmentation.
        num_threads: Threads of torch; other numbers of threads round differently.
        data_seed: Seed of the drawings, or of the split where the labels name none; None is `seed`.
        classes: The classes that it learns; None where the data are not read yet.
        weights: File or hub name of the weights that the network started from, or None.
        weights_fingerprint: Their digest (`rondo.models.Checkpoint.fingerprint`).
        versions: Versions of what computed the run.
        format: Form of the run folder.
    """

    data: str
    layout: str | None
    data_fingerprint: str
    num_drawn: int
    image_size: int
    model: str
    model_arguments: dict[str, Any]
    recipe_name: str
    recipe: Recipe
    seed: int
    num_threads: int
    data_seed: int | None = None
    classes: tuple[str, ...] | None = None
    weights: str | None = None
    weights_fingerprint: str | None = None
    versions: dict[str, str] = field(default_factory=current_versions)
    format: int = FORMAT

    def check(self) -> None:
        """Raises `RunError` where a value cannot be used."""
        if self.image_size < SIZE_STEP or self.image_size % SIZE_STEP:
            raise RunError(
                f"the image size must be a multiple of {SIZE_STEP}, but is {self.image_size}; "
                f"try {max(1, round(self.image_size / SIZE_STEP)) * SIZE_STEP}"
            )
        look_up("model", self.model, MODELS)
        self.recipe.check()
        check_from_1(number_of_drawn_portraits=self.num_drawn, number_of_threads=self.num_threads)
        if self.recipe.precision not in PRECISIONS:
            raise RunError(
                f"the precision must be {' or '.join(PRECISIONS)}, but is {self.recipe.precision!r}"
            )
        check_from_0(seed=self.seed)
        self._check_batches()

    def _check_batches(self) -> None:
        """Raises `RunError` where a batch would be too small to be normalised."""
        recipe, num_epochs = self.recipe, self.recipe.num_epochs or 1
        sizes = [recipe.image_size(self.image_size, n / num_epochs) for n in range(num_epochs)]
        least = MODELS[self.model].least_batch_size(min(sizes))
        for name, count in (
            ("batch size", recipe.batch_size),
            ("number of drawn portraits", self.num_drawn if self.data == DRAWN else least),
        ):
            if count < least:
                raise RunError(
                    f"the {name} must be {least} or more, but is {count}: {self.model} normalises "
                    f"over the batch, and one photo of {min(sizes)} pixels is too few for that"
                )

    def to_json(self) -> str:
        """Returns the text of `config.json`."""
        return dataclass_text(self)


def config_from_json(text: str) -> RunConfig:
    """Returns the settings that `RunConfig.to_json` wrote.

    Raises:
        RunError: If the text is none, or is of another version of the run folder.
    """
    return from_json(
        text,
        "photo",
        FORMAT,
        lambda values: RunConfig(
            **{
                **values,
                "recipe": recipe_from(values["recipe"]),
                "classes": tuple(values["classes"]),
            }
        ),
    )
