"""Answers of a run of `rondo train photo`, for photos that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from rondo.data.pictures import PhotoError, name_of, read_pixels
from rondo.errors import RunError
from rondo.measures.abstention import check_min_confidence
from rondo.measures.calibration import temper
from rondo.tasks.photo.classes import SEXES, are_of_people
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.task import DRAWN
from rondo.training.run_folder import RunFolder

EXPECTS = "Each photo must show one face that fills the picture (an aligned crop)."
"""What a photo of a face must be like for a prediction to mean anything."""

NO_BASIS = "It is no basis for any decision about a person."
"""What must be told with every answer about a person."""

PHOTOS_AT_A_TIME = 100
"""Photos that are in memory together."""

NUM_GUESSES = 5
"""The likeliest classes that a table shows, at most."""


@dataclass(frozen=True)
class Prediction:
    """What the network makes of one photo, or why the photo could not be read.

    Args:
        source: The file's path, or "standard input".
        answer: The most probable class; None where that is less sure than was asked for.
        probability: The probability of the most probable class.
        probabilities: The probability of each class.
        error: Why there is no prediction; the three above are then None.
    """

    source: str
    answer: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    error: str | None = None

    @property
    def guesses(self) -> str:
        """The likeliest classes with their probabilities, "cat 91.2 %, dog 5.0 %, ..."."""
        likeliest = likeliest_of(self.probabilities or {})
        return ", ".join(f"{name} {100 * value:.1f} %" for name, value in likeliest.items())


class Predictor:
    """The network of a run that reads image files.

    Args:
        run: The run folder.
        min_confidence: Below this probability of the answer there is none, 0 to 1.

    Attributes:
        columns: The attributes of a prediction that a table shows.

    Raises:
        RunError: If the folder is none, is of another version or has no weights yet, or
            `min_confidence` is none.

    Example:
        ```
        predictor = Predictor(Path("runs/photo-2026-01-31-1"))
        for prediction in predictor.predict([Path("portrait.png")]):
            print(prediction.answer, prediction.probability)
        ```
    """

    columns = ("source", "answer", "probability", "guesses")

    def __init__(self, run: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        folder = RunFolder(run)
        self.config = folder.read_config()
        self.temperature = folder.read_temperature().value
        self.model, origin = folder.read_model_and_origin()
        self.classes = _classes_of(origin)
        self.min_confidence = min_confidence

    @classmethod
    def load(cls, run: Path, min_confidence: float = 0.0) -> Predictor:
        """Returns the predictor of a run folder."""
        return cls(run, min_confidence)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell with every answer."""
        if not are_of_people(self.classes):
            return (
                f"It gives one of its {len(self.classes)} classes to any picture, also to one that "
                "shows none of them.",
            )
        notes: tuple[str, ...] = (EXPECTS, NO_BASIS) if self.classes == SEXES else (NO_BASIS,)
        if self.config.data == DRAWN:
            notes += ("This run was trained on made-up drawings and knows nothing of photos.",)
        return notes

    def predict(self, sources: Sequence[str | Path | BinaryIO]) -> list[Prediction]:
        """Returns a prediction for each source, in order; what cannot be read gets an error."""
        return list(self.iterate(sources))

    def iterate(self, sources: Sequence[str | Path | BinaryIO]) -> Iterator[Prediction]:
        """Yields what `predict` returns, a hundred photos at a time."""
        paths = [Path(source) if isinstance(source, str) else source for source in sources]
        for first in range(0, len(paths), PHOTOS_AT_A_TIME):
            yield from self._predict_together(paths[first : first + PHOTOS_AT_A_TIME])

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Returns the probabilities (N, K) of photos (N, 3, S, S), as the run evaluates them."""
        recipe = self.config.recipe
        result = predict(self.model, pixels, mirror=recipe.mirror, precision=recipe.precision)
        return temper(result, self.temperature)

    def prediction_of(self, source: str, probabilities: Sequence[float]) -> Prediction:
        """Returns the prediction that the probabilities of the classes mean."""
        named = dict(zip(self.classes, probabilities, strict=True))
        best = max(named, key=named.__getitem__)
        answer = best if named[best] >= self.min_confidence else None
        return Prediction(source, answer, named[best], named)

    def _predict_together(self, sources: Sequence[Path | BinaryIO]) -> list[Prediction]:
        read = [self._read(source) for source in sources]
        pixels = [item for item in read if isinstance(item, Tensor)]
        rows = iter(self.probabilities(torch.stack(pixels)).tolist() if pixels else [])
        return [
            Prediction(name_of(source), error=item)
            if isinstance(item, str)
            else self.prediction_of(name_of(source), next(rows))
            for source, item in zip(sources, read, strict=True)
        ]

    def _read(self, source: Path | BinaryIO) -> Tensor | str:
        """Returns the pixels of a source, or why it cannot be read."""
        try:
            return torch.from_numpy(read_pixels(source, self.config.image_size))
        except (PhotoError, OSError) as error:
            return str(error)


def likeliest_of(probabilities: dict[str, float], most: int = NUM_GUESSES) -> dict[str, float]:
    """Returns the likeliest classes, the likeliest first.

    Example:
        >>> from rondo.tasks.photo.answers import likeliest_of
        >>> likeliest_of({"cat": 0.1, "dog": 0.7, "cow": 0.2}, most=2)
        {'dog': 0.7, 'cow': 0.2}
    """
    ordered = sorted(probabilities.items(), key=lambda item: -item[1])
    return dict(ordered[:most])


def _classes_of(origin: dict[str, object]) -> tuple[str, ...]:
    """Returns the classes that stand beside the weights of a run.

    Raises:
        RunError: If there are none.
    """
    classes = origin.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise RunError(
            "the weights do not say which classes they know, so they are of another version of "
            "rondo: train again"
        )
    return tuple(classes)
