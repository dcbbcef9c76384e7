"""How answers hold when photos are bad: accuracy and confidence under each corruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from rondo.data.order import spaced
from rondo.measures.calibration import temper
from rondo.measures.corruptions import CORRUPTIONS, corrupt
from rondo.measures.intervals import Share, wilson
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.sets import Photos
from rondo.training.config import RunConfig

NUM_PHOTOS = 300
"""Photos of a split that are corrupted, at most."""

SEED = 0
"""Of the random numbers of corruptions: the same for every run, so that runs can be compared."""

UNCHANGED = "as they are"
"""The name of what stands beside the corruptions: the same photos as they are."""


@dataclass(frozen=True)
class Trial:
    """What a network makes of photos that are corrupted in one way.

    Args:
        corruption: The name of the corruption, or `UNCHANGED`.
        level: 0 for photos as they are, 1 for the weakest strength and so on.
        strength: The strength in the unit of the corruption, None for photos as they are.
        name: The corruption with its strength.
        accuracy: Share of the photos that are answered rightly.
        confidence: Mean probability of the answers; beside the accuracy it tells whether the
            network notices that it sees little.
    """

    corruption: str
    level: int
    strength: float | None
    name: str
    accuracy: Share
    confidence: float


def try_splits(
    model: nn.Module,
    config: RunConfig,
    data: Mapping[str, Photos],
    temperature: float,
    say: Callable[[str], None],
) -> dict[str, tuple[Trial, ...]]:
    """Returns what a network makes of bad photos of every split.

    Args:
        model: The network.
        config: Its settings.
        data: The photos.
        temperature: What divides the logits.
        say: Is given each line for the user.
    """
    trials = {}
    for name, photos in data.items():
        say(f"measuring {name} under blur, noise and other corruptions ...")
        trials[name] = try_photos(model, config, photos, temperature)
    return trials


def try_photos(
    model: nn.Module,
    config: RunConfig,
    photos: Photos,
    temperature: float,
    *,
    num_photos: int = NUM_PHOTOS,
    seed: int = SEED,
) -> tuple[Trial, ...]:
    """Returns what a network makes of photos as they are, and under each of `CORRUPTIONS`.

    Args:
        model: The network.
        config: Its settings.
        photos: The photos of a split; evenly spaced ones are taken.
        temperature: What divides the logits.
        num_photos: How many, at most.
        seed: Of the random numbers of corruptions.
    """
    rows = spaced(len(photos.labels), num_photos)
    labels, recipe = photos.labels[rows], config.recipe
    trials = []
    for pixels, corruption, level, strength, name in _corrupted(photos.pixels[rows], seed):
        found = predict(model, pixels, mirror=recipe.mirror, precision=recipe.precision)
        confidence, answer = temper(found, temperature).max(dim=1)
        accuracy = wilson(int((answer == labels).sum()), len(labels))
        sure = float(confidence.mean())
        trials.append(Trial(corruption, level, strength, name, accuracy, sure))
    return tuple(trials)


def _corrupted(pixels: Tensor, seed: int) -> Iterator[tuple[Tensor, str, int, float | None, str]]:
    """Yields the photos under every corruption, with what a trial says of it."""
    yield pixels, UNCHANGED, 0, None, UNCHANGED
    for corruption in CORRUPTIONS:
        for level, strength in enumerate(corruption.strengths, start=1):
            changed = corrupt(pixels, corruption, strength, seed)
            yield changed, corruption.name, level, strength, corruption.describe(strength)
