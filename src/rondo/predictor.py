"""Predictions of a trained run on image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from rondo.data.pictures import PhotoError, name_of, read_pixels
from rondo.measures.abstention import check_min_confidence
from rondo.measures.calibration import temper
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.faces import SEXES
from rondo.tasks.photo.task import DRAWN
from rondo.training.config import RunConfig
from rondo.training.run_folder import RunFolder

EXPECTS = "Each photo must show one face that fills the picture (an aligned crop)."
"""What a photo must be like for a prediction to mean anything."""

PHOTOS_AT_A_TIME = 100
"""Photos that are in memory together."""


@dataclass(frozen=True)
class Prediction:
    """What the network makes of one photo, or why the photo could not be read.

    Args:
        source: The file's path, or "standard input".
        sex: The more probable class; None where that is less sure than was asked for.
        probability: The probability of the more probable class.
        probabilities: The probability of each class.
        error: Why there is no prediction; the three above are then None.
    """

    source: str
    sex: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    error: str | None = None


class Predictor:
    """A trained network that reads image files.

    Args:
        model: The network.
        config: The settings of the run that trained it.
        temperature: What divides the logits of its answers (`rondo.measures.calibration`).
        min_confidence: Below this probability of the answer there is none, 0 to 1.

    Raises:
        RunError: If `min_confidence` is none.

    Example:
        ```
        predictor = Predictor.load(Path("runs/photo-2026-01-31-1"))
        for prediction in predictor.predict([Path("portrait.png")]):
            print(prediction.sex, prediction.probability)
        ```
    """

    def __init__(
        self,
        model: nn.Module,
        config: RunConfig,
        temperature: float = 1.0,
        min_confidence: float = 0.0,
    ) -> None:
        check_min_confidence(min_confidence)
        self.model = model
        self.config = config
        self.temperature = temperature
        self.min_confidence = min_confidence

    @classmethod
    def load(cls, run: Path, min_confidence: float = 0.0) -> Predictor:
        """Returns the predictor of a run folder.

        Raises:
            RunError: If the folder is none, is of another version or has no weights yet.
        """
        folder = RunFolder(run, PHOTO)
        config = folder.read_config()
        temperature = folder.read_temperature().value
        return cls(folder.read_model(), config, temperature, min_confidence)

    @property
    def notes(self) -> list[str]:
        """What to tell with every answer."""
        notes = [EXPECTS, "It is no basis for any decision about a person."]
        if self.config.options.data == DRAWN:
            notes.append("This run was trained on made-up drawings and knows nothing of photos.")
        return notes

    def predict(self, sources: Sequence[Path | BinaryIO]) -> list[Prediction]:
        """Returns a prediction for each source, in order; what cannot be read gets an error."""
        return list(self.iterate(sources))

    def iterate(self, sources: Sequence[Path | BinaryIO]) -> Iterator[Prediction]:
        """Yields what `predict` returns, a hundred photos at a time."""
        for first in range(0, len(sources), PHOTOS_AT_A_TIME):
            yield from self._predict_together(sources[first : first + PHOTOS_AT_A_TIME])

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Returns the probabilities (N, 2) of photos (N, 3, S, S), as the run evaluates them."""
        recipe = self.config.recipe
        result = predict(self.model, pixels, mirror=recipe.mirror, precision=recipe.precision)
        return temper(result, self.temperature)

    def _predict_together(self, sources: Sequence[Path | BinaryIO]) -> list[Prediction]:
        read = [self._read(source) for source in sources]
        pixels = [item for item in read if isinstance(item, Tensor)]
        rows = iter(self.probabilities(torch.stack(pixels)).tolist() if pixels else [])
        return [
            Prediction(name_of(source), error=item)
            if isinstance(item, str)
            else prediction_of(name_of(source), next(rows), self.min_confidence)
            for source, item in zip(sources, read, strict=True)
        ]

    def _read(self, source: Path | BinaryIO) -> Tensor | str:
        """Returns the pixels of a source, or why it cannot be read."""
        try:
            return torch.from_numpy(read_pixels(source, self.config.options.image_size))
        except (PhotoError, OSError) as error:
            return str(error)


def prediction_of(
    source: str, probabilities: list[float], min_confidence: float = 0.0
) -> Prediction:
    """Returns the prediction that the probabilities of the classes mean."""
    named = dict(zip(SEXES, probabilities, strict=True))
    sex = max(named, key=named.__getitem__)
    answer = sex if named[sex] >= min_confidence else None
    return Prediction(source, answer, named[sex], named)
