"""Answers of a run of `rondo train photo`, for photos that it was not trained on."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondo.data.given import Unusable, each_file, source_name
from rondo.data.pictures import FILE_ENDINGS, PhotoError, read_pixels
from rondo.errors import RunError
from rondo.measures.abstention import check_min_confidence
from rondo.measures.calibration import temper
from rondo.tasks.photo.classes import SEXES, are_of_people
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.drawn import draw_portrait
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.report.uses import WARNING
from rondo.training.answers import why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import RunFolder

EXPECTS = "Each photo must show one face that fills the picture (an aligned crop)."
"""What a photo of a face must be like for a prediction to mean anything."""

NO_BASIS = "It is no basis for any decision about a person."
"""What must be told with every answer about a person."""

PHOTOS_AT_A_TIME = 100
"""Photos that are in memory together."""

DRAWING_SIZE = 256
"""The side of a drawing to try, in pixels."""

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

    columns = ("source", "answer", "probability", "guesses", "error")

    def __init__(self, run: Path, min_confidence: float = 0.0) -> None:
        check_min_confidence(min_confidence)
        folder = RunFolder(run, PHOTO)
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
        if self.config.options.data == DRAWN:
            notes += ("This run was trained on made-up drawings and knows nothing of photos.",)
        return notes

    @property
    def is_of_people(self) -> bool:
        """Whether the classes are said of people."""
        return are_of_people(self.classes)

    @property
    def warning(self) -> str:
        """What must not be done with the answers, as HTML; "" where they are not of people."""
        return WARNING if self.is_of_people else ""

    @property
    def has_drawings(self) -> bool:
        """Whether there are drawings to try."""
        return self.classes == SEXES

    def likeliest(self, probabilities: dict[str, float]) -> dict[str, float]:
        """Returns the probabilities that are shown: all of few classes, else the greatest."""
        return probabilities if len(probabilities) <= NUM_GUESSES else likeliest_of(probabilities)

    def drawing(self, number: int) -> bytes:
        """Returns a made-up portrait to try as a PNG file; another one for each number."""
        pixels, _, _ = draw_portrait(np.random.default_rng([7, number]), DRAWING_SIZE)
        stream = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(stream, "PNG")
        return stream.getvalue()

    def predict(self, sources: Sequence[str | Path | BinaryIO]) -> list[Prediction]:
        """Returns a prediction for each source, in order; what cannot be read gets an error."""
        return list(self.iterate(sources))

    def iterate(self, sources: Sequence[str | Path | BinaryIO]) -> Iterator[Prediction]:
        """Yields what `predict` returns, a hundred photos at a time; of a folder its pictures."""
        files = each_file(sources, FILE_ENDINGS, "image")
        while together := list(islice(files, PHOTOS_AT_A_TIME)):
            yield from self._predict_together(together)

    @property
    def head(self) -> str:
        """A column for each of two classes, one for the likeliest of more."""
        if len(self.classes) > 2:
            return f"{'answer':{self._width}}  photo: likeliest classes"
        names = (f"{name:>8}" for name in self.classes)
        return " ".join((f"{'answer':{self._width}}", *names, " photo"))

    def line(self, prediction: Prediction) -> str:
        """Returns a prediction, or why there is none, in a line."""
        classes, found = self.classes, prediction.probabilities
        if found is None:
            cells, last = ["-"] * len(classes), why_not(prediction.source, prediction.error)
        else:
            cells, last = [f"{100 * found[name]:.1f} %" for name in classes], prediction.source
        answer = "unread" if found is None else prediction.answer or "not sure"
        if len(classes) > 2:
            return f"{answer:{self._width}}  {last}" + (f": {prediction.guesses}" if found else "")
        widths = (max(8, len(name)) for name in classes)
        shown = (f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
        return " ".join((f"{answer:{self._width}}", *shown, f" {last}"))

    @property
    def _width(self) -> int:
        """How wide an answer is at most."""
        return max(8, *map(len, self.classes))

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

    def _predict_together(
        self, files: Sequence[Path | BinaryIO | Unusable]
    ) -> Iterator[Prediction]:
        read = [self._read(file) for file in files]
        pixels = [item for item in read if isinstance(item, Tensor)]
        rows = iter(self.probabilities(torch.stack(pixels)).tolist() if pixels else [])
        for file, item in zip(files, read, strict=True):
            if isinstance(item, str):
                yield Prediction(source_name(file), error=item)
            else:
                yield self.prediction_of(source_name(file), next(rows))

    def _read(self, file: Path | BinaryIO | Unusable) -> Tensor | str:
        """Returns the pixels of a file, or why it cannot be read."""
        if isinstance(file, Unusable):
            return file.error
        try:
            return torch.from_numpy(read_pixels(file, self.config.options.image_size))
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
