"""The pixels of a photo become the answer, where the network looked, and the four sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from rondo.errors import RunError
from rondo.looks.saliency import saliency
from rondo.looks.sweeps import DIRECTIONS, SweepStrength, sweeps
from rondo.report.plots import heat_over_photo_png, photo_png
from rondo.training.config import RunConfig
from rondo.web.pixels import LIMITS, SHOWN_SIZE, Pixels, read_twice

NUM_NAMED = 5
"""So many classes are named at most."""


class Predictor(Protocol):
    """What the page asks of the answers of a run on photos."""

    model: nn.Module
    config: RunConfig
    classes: tuple[str, ...]

    @property
    def notes(self) -> Sequence[str]:
        """What to tell with every answer."""
        ...

    @property
    def is_of_people(self) -> bool:
        """Whether the classes are said of people."""
        ...

    @property
    def warning(self) -> str:
        """What must not be done with the answers, as HTML, or ""."""
        ...

    @property
    def has_drawings(self) -> bool:
        """Whether there are drawings to try."""
        ...

    def drawing(self, number: int) -> bytes:
        """Returns a drawing to try, a PNG file."""
        ...

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Returns the probabilities (N, K) of photos (N, 3, S, S)."""
        ...

    def prediction_of(self, source: str, probabilities: Sequence[float]) -> Any:
        """Returns the answer that probabilities mean."""
        ...

    def likeliest(self, probabilities: dict[str, float]) -> dict[str, float]:
        """Returns the probabilities that are shown."""
        ...


def limits_text() -> str:
    """Returns what a photo may be, in words."""
    return (
        f"{', '.join(LIMITS.formats)}; at most {LIMITS.num_bytes // 10**6} MB and "
        f"{LIMITS.num_pixels // 10**6} million pixels, at least {LIMITS.side} x {LIMITS.side}. "
        "Of an animation the first picture is read, and of any picture the square in the middle."
    )


def look(predictor: Predictor, contents: bytes) -> dict[str, Any]:
    """Returns what the network makes of a photo, for JSON; nothing is kept.

    Args:
        predictor: A trained network.
        contents: The bytes of the file.

    Returns:
        The answer with the probabilities of the likeliest classes as pairs; `photo`, `seen` and
        `saliency` as addresses of embedded pictures; `layers`, for each spatial layer its sweeps.

    Raises:
        PhotoError: Where the bytes are no photo within `LIMITS`.
    """
    return look_at(predictor, read_twice(contents, predictor.config.options.image_size, LIMITS))


def look_at(predictor: Predictor, pixels: Pixels) -> dict[str, Any]:
    """Returns what `look` does, of a photo that is read already."""
    seen, photo = map(torch.from_numpy, pixels)
    batch = seen.unsqueeze(0)
    answer = predictor.prediction_of("", predictor.probabilities(batch)[0].tolist())
    assert answer.probabilities is not None
    likeliest = predictor.likeliest(answer.probabilities)
    where = interpolate(saliency(predictor.model, batch).unsqueeze(0), SHOWN_SIZE, mode="bilinear")
    return {
        "answer": answer.answer,
        "probability": answer.probability,
        "probabilities": list(likeliest.items()),
        "photo": photo_png(photo, size=SHOWN_SIZE),
        "seen": photo_png(seen, size=SHOWN_SIZE),
        "size": seen.shape[-1],
        "saliency": heat_over_photo_png(photo, where[0, 0], size=SHOWN_SIZE),
        "layers": layers_of(sweeps(predictor.model, batch)),
    }


def layers_of(found: list[SweepStrength]) -> list[dict[str, Any]]:
    """Returns the sweeps of one photo, layer by layer, for JSON.

    Strengths are scaled to 0 ... 255 between the least and the greatest of their sweep.
    """
    layers: list[dict[str, Any]] = []
    for first in range(0, len(found), len(DIRECTIONS)):
        four = found[first : first + len(DIRECTIONS)]
        layers.append({"name": four[0].layer, "sweeps": [_sweep(sweep) for sweep in four]})
    return layers


def _sweep(sweep: SweepStrength) -> dict[str, Any]:
    strength = sweep.strength[0]
    low, high = strength.min(), strength.max()
    scaled = 255 * (strength - low) / (high - low).clamp_min(1e-12)
    return {
        "direction": sweep.direction,
        "low": low.item(),
        "high": high.item(),
        "strength": scaled.round().int().tolist(),
    }


def drawing(predictor: Predictor | None, number: int) -> bytes:
    """Returns a drawing to try as a PNG file; another one for each number.

    Raises:
        RunError: If the page was started without a run that has drawings.
    """
    if predictor is None or not predictor.has_drawings:
        raise RunError("there are no drawings to try: the page was started without such a run")
    return predictor.drawing(number)


def about(predictor: Predictor | None) -> dict[str, Any] | None:
    """Returns what the page says of the run; None where there is none."""
    if predictor is None:
        return None
    return {
        "notes": predictor.notes,
        "limits": limits_text(),
        "classes": predictor.classes[:NUM_NAMED],
        "num_classes": len(predictor.classes),
        "is_of_people": predictor.is_of_people,
        "has_drawings": predictor.has_drawings,
        **asdict(LIMITS),
    }
