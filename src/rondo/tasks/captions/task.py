"""Captions: say in words what a picture shows, one word after another.

The network gets the picture and the words so far, and gives the probability of the next one; what
is minimised is the cross-entropy of the words and of the end. Words are in lower case and without
punctuation; those that are rare in the training captions are one symbol. The data are a folder in
one of the forms of Flickr8k (`rondo.tasks.captions.files`), or pictures of two shapes that the
program draws, each anew. Of photos some hundred features are taken once: fixed ones
(`rondo.tasks.captions.features`), or the means of the last map of a trained ResNet. Of drawn
pictures the network sees the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rondo.data.batch import Batch
from rondo.data.order import Order
from rondo.data.pictures import read_many
from rondo.data.seeds import generator_for
from rondo.data.skipped import Skipped, named_skipped
from rondo.data.sources import EVALUATED_TOGETHER, TEST_SEED
from rondo.models.checkpoint import load_checkpoint
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.models.resnet_front import NUM_STAGES, ResNetFront
from rondo.tasks.captions.definition import RECIPES
from rondo.tasks.captions.drawn import DrawnScene, draw_scene
from rondo.tasks.captions.features import SIDE, picture_features
from rondo.tasks.captions.files import Captioned, CaptionSets, read_captions
from rondo.tasks.captions.show import show_caption
from rondo.tasks.captions.vocabulary import END, Vocabulary
from rondo.training.task import Task

MULTIMODAL_SIZE = {"drawn": 192, "files": 512}
"""The width of the layer in which words meet the picture."""

LEAST_COUNT = 3
"""A word is known that occurs so often in the training captions."""

RESNET_SIDE = 224
"""The side of the photos that a ResNet sees."""

NUM_CHECKED, NUM_TESTED = 100, 300
"""Drawn pictures in a check and in the test."""

NUM_VOCABULARY = 200
"""Drawn pictures from whose captions the words are taken."""


@dataclass(frozen=True, eq=False)
class Told:
    """A picture as the network sees it, with what is told of it.

    Attributes:
        name: Where it comes from.
        seen: Features (F,) or pixels (3, S, S).
        captions: What is told of it.
    """

    name: str
    seen: Tensor
    captions: tuple[str, ...]


def batch_of(pairs: Sequence[tuple[Tensor, str]], vocabulary: Vocabulary) -> Batch:
    """Returns pictures with a caption each as a batch: the words so far, and the next ones."""
    captions = [vocabulary.encoded(caption) for _, caption in pairs]
    inputs = [nn.functional.pad(words, (1, 0), value=END) for words in captions]
    targets = [nn.functional.pad(words, (0, 1), value=END) for words in captions]
    return Batch(
        pad_sequence(inputs, batch_first=True),
        pad_sequence(targets, batch_first=True),
        torch.tensor([len(words) for words in inputs]),
        pictures=torch.stack([seen for seen, _ in pairs]),
    )


@dataclass(frozen=True, eq=False)
class CaptionSource:
    """Captions of given pictures; an epoch sees each training caption once, in a new order.

    Args:
        splits: The pictures of train, val and test.
        vocabulary: The words.
    """

    splits: dict[str, list[Told]]
    vocabulary: Vocabulary

    def pairs(self, split: str) -> list[tuple[Tensor, str]]:
        """Each caption of a split with its picture."""
        return [(told.seen, text) for told in self.splits[split] for text in told.captions]

    def num_train(self) -> int | None:
        """How many training captions there are."""
        return len(self.pairs("train"))

    @cached_property
    def order(self) -> Order:
        """The order of the training captions."""
        number = self.num_train()
        assert number is not None
        return Order(number)

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The captions of a step."""
        pairs = self.pairs("train")
        rows = self.order.rows(seed, step, batch_size)
        return batch_of([pairs[row] for row in rows], self.vocabulary)

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """The captions of val."""
        yield from self._batches("val")

    def test_batches(self) -> Iterator[Batch]:
        """The captions of test."""
        yield from self._batches("test")

    def _batches(self, split: str) -> Iterator[Batch]:
        pairs = self.pairs(split)
        for first in range(0, len(pairs), EVALUATED_TOGETHER):
            yield batch_of(pairs[first : first + EVALUATED_TOGETHER], self.vocabulary)


@dataclass(frozen=True)
class DrawnSource:
    """Captions of pictures that are drawn anew for every batch.

    Args:
        vocabulary: The words.
    """

    vocabulary: Vocabulary

    def num_train(self) -> int | None:
        """None: every training picture is new."""
        return None

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """New pictures, each with one of its captions."""
        return self._batch(batch_size, generator_for("train", seed, step))

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """Fresh pictures, which depend on the seed and the step alone."""
        yield self._batch(NUM_CHECKED, generator_for("check", seed, step))

    def test_batches(self) -> Iterator[Batch]:
        """The test pictures, the same in every run."""
        yield self._batch(NUM_TESTED, generator_for("test", TEST_SEED))

    def _batch(self, number: int, generator: torch.Generator) -> Batch:
        pairs = []
        for scene in drawn_scenes(number, generator):
            place = int(torch.randint(len(scene.captions), (), generator=generator))
            pairs.append((scene.pixels, scene.captions[place]))
        return batch_of(pairs, self.vocabulary)


def drawn_scenes(number: int, generator: torch.Generator) -> list[DrawnScene]:
    """Draws some pictures."""
    return [draw_scene(generator) for _ in range(number)]


def drawn_test() -> list[Told]:
    """Returns the drawn pictures that are captioned in an evaluation, the same at every call."""
    scenes = drawn_scenes(NUM_TESTED, generator_for("test", TEST_SEED, 1))
    return [Told(f"drawn#{n}", s.pixels, s.captions) for n, s in enumerate(scenes)]


def captions(data: str | None = None, *, weights: str | None = None, split_seed: int = 0) -> Task:
    """The task on the photos of a folder, or on drawn pictures.

    Args:
        data: A folder of photos with captions, or None for drawn pictures.
        weights: Weights of a trained ResNet-18 or -50 that makes the features of photos, a file or
            a name on the hub; None for fixed features.
        split_seed: Chooses the held-out photos where no splits are named.

    Raises:
        ValueError: Where the folder or the weights cannot be used.
    """
    kind = "drawn" if data is None else "files"
    source: CaptionSource | DrawnSource
    notes: tuple[str, ...] = ()
    num_skipped = 0
    prepare = None
    if data is None:
        if weights is not None:
            raise ValueError("drawn pictures are seen by a front of their own; leave out --weights")
        vocabulary = drawn_vocabulary()
        source = DrawnSource(vocabulary)
        shape: tuple[int, ...] = (3, SIDE, SIDE)
    else:
        sets = read_captions(Path(data), seed=split_seed)
        look = Looker(weights)
        splits, skipped = look_at(sets, look)
        vocabulary = Vocabulary.of(
            (text for told in splits["train"] for text in told.captions), LEAST_COUNT
        )
        if not vocabulary.words:
            raise ValueError(
                f"no word occurs {LEAST_COUNT} times or more in the training captions of {data}, "
                "so there is none to learn; add captions"
            )
        source = CaptionSource(splits, vocabulary)
        shape = (look.num_features,)
        found = CaptionSets(sets.splits, (*sets.skipped, *skipped))
        notes = (f"{found}; {len(vocabulary.words)} words", *named_skipped(found.skipped))
        num_skipped = len(found.skipped)
        prepare = partial(_fit, features=torch.stack([told.seen for told in splits["train"]]))
    return Task(
        name="captions",
        source=source,
        input_size=len(vocabulary),
        output_size=len(vocabulary),
        distance="cross_entropy",
        recipe=RECIPES[kind],
        recipe_name=kind,
        unit="nats a word",
        words=vocabulary.words,
        show=show_caption(vocabulary),
        may_be_shown=data is None,
        model="multimodal_rnn",
        model_arguments={"picture_shape": list(shape), "multimodal_size": MULTIMODAL_SIZE[kind]},
        prepare=prepare,
        notes=notes,
        num_skipped=num_skipped,
    )


class Looker:
    """Makes the features of photos.

    Args:
        weights: Weights of a trained ResNet, or None for fixed features.

    Raises:
        ValueError: Where the weights cannot be used.
    """

    def __init__(self, weights: str | None) -> None:
        self.front: ResNetFront | None = None
        if weights is not None:
            checkpoint = load_checkpoint(weights)
            self.front = ResNetFront(checkpoint.depth, NUM_STAGES).eval()
            self.front.take(checkpoint)
        self.side = SIDE if self.front is None else RESNET_SIDE
        self.num_features = 300 if self.front is None else self.front.channels

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray) -> Tensor:
        """The features (N, F) of photos (N, 3, S, S)."""
        pictures = torch.from_numpy(pixels)
        if self.front is None:
            return picture_features(pictures)
        return torch.cat([self.front(some.float()).mean((2, 3)) for some in pictures.split(16)])


def look_at(sets: CaptionSets, look: Looker) -> tuple[dict[str, list[Told]], list[Skipped]]:
    """Returns the photos of each split with their features, and those that cannot be read.

    Raises:
        ValueError: Where no photo of a split can be read.
    """
    splits: dict[str, list[Told]] = {}
    skipped: list[Skipped] = []
    for split, photos in sets.splits.items():
        pixels, errors = read_many([photo.path for photo in photos], look.side)
        kept = [photo for number, photo in enumerate(photos) if number not in errors]
        skipped += [Skipped(photos[number].name, error.reason) for number, error in errors.items()]
        if not kept:
            raise ValueError(
                f"no photo of the split {split} can be read; for example {photos[0].path}"
            )
        features = look(pixels)
        splits[split] = [_told(*pair) for pair in zip(kept, features, strict=True)]
    return splits, skipped


def drawn_vocabulary() -> Vocabulary:
    """Returns the words of the captions of drawn pictures."""
    scenes = drawn_scenes(NUM_VOCABULARY, generator_for("words", 0))
    return Vocabulary.of(text for scene in scenes for text in scene.captions)


def _told(photo: Captioned, features: Tensor) -> Told:
    return Told(photo.name, features, photo.captions)


def _fit(model: nn.Module, *, features: Tensor) -> None:
    assert isinstance(model, MultimodalRNN)
    model.fit_features(features)
