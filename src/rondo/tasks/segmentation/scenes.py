"""Pictures whose every pixel has a class, in the order in which a camera saw them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby

import torch
from torch import Tensor

from rondo.data.batch import Batch
from rondo.data.lost_frames import SHOWN, gaps_in, numbers_text, runs_of
from rondo.data.order import Order
from rondo.data.seeds import generator_for
from rondo.tasks.segmentation.augment import Change, changed

VOID = 255
"""The label of a pixel that has no class: nothing is learnt from it or measured on it."""

EVALUATED_TOGETHER = 8
"""Pictures, or frames of a video, in a batch of a check or a test."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A labelled picture.

    Attributes:
        name: The file.
        pixels: uint8 (3, H, W).
        labels: uint8 (H, W), numbers of classes and `VOID`.
        sequence: The video that it is of, such as "0016E5".
        frame: Its place there; scenes of a sequence are in this order.
    """

    name: str
    pixels: Tensor
    labels: Tensor
    sequence: str = ""
    frame: int = 0


@dataclass(frozen=True, eq=False)
class SceneSets:
    """The scenes of a folder.

    Attributes:
        classes: The names of the classes.
        splits: The scenes of train, val and test.
        notes: What the user should know of the reading.
    """

    classes: tuple[str, ...]
    splits: dict[str, list[Scene]]
    notes: tuple[str, ...] = ()


def frames_missing(sets: SceneSets) -> tuple[str, ...]:
    """Returns a note for the user where sequences have gaps in the numbers of their frames."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for scene in chain.from_iterable(sets.splits.values()):
        numbers[scene.sequence].append(scene.frame)
    missing = {name: runs_of(gaps_in(some)) for name, some in sorted(numbers.items())}
    words = [f"{name}: {numbers_text(runs)}" for name, runs in missing.items() if runs]
    if not words:
        return ()
    some = "; ".join(words[:SHOWN])
    return (f"clips go on over frames that are missing in the sequences {some}",)


def clips_of(scenes: Sequence[Scene], num_frames: int) -> list[list[Scene]]:
    """Returns each sequence cut into clips of so many frames; a shorter rest is one too."""
    clips = []
    for _, group in groupby(scenes, key=lambda scene: scene.sequence):
        frames = list(group)
        clips += [frames[i : i + num_frames] for i in range(0, len(frames), num_frames)]
    return clips


def batch_of(clips: Sequence[Sequence[Scene]], *, continues: bool = False) -> Batch:
    """Returns clips of as many frames side by side: (B, T, 3, H, W) and (B, T, H, W)."""
    return Batch(
        torch.stack([torch.stack([scene.pixels for scene in clip]) for clip in clips]),
        torch.stack([torch.stack([scene.labels for scene in clip]) for clip in clips]).long(),
        continues=continues,
    )


@dataclass(frozen=True, eq=False)
class SceneSource:
    """Batches of scenes: single pictures, or clips of a video.

    Training clips are changed at random. A video is checked and tested clip after clip, with the
    state carried on.

    Args:
        sets: The scenes.
        num_frames: The frames of a clip; 1 for single pictures.
        change: How training clips are changed.
    """

    sets: SceneSets
    num_frames: int = 1
    change: Change = field(default_factory=Change)

    def __post_init__(self) -> None:
        """Raises `ValueError` where a training video has too few frames for a clip."""
        lengths = Counter(scene.sequence for scene in self.sets.splits["train"])
        for name, length in lengths.items():
            if length < self.num_frames:
                raise ValueError(
                    f"the sequence {name} has fewer than {self.num_frames} frames to train on"
                )

    def num_train(self) -> int | None:
        """How many training scenes there are: a clip begins at each."""
        return len(self.sets.splits["train"])

    @cached_property
    def order(self) -> Order:
        """The order of the training scenes."""
        number = self.num_train()
        assert number is not None
        return Order(number)

    def training_batch(self, seed: int, step: int, batch_size: int) -> Batch:
        """The clips of a step; an epoch begins one at each scene, in a new order."""
        scenes = self.sets.splits["train"]
        rows = self.order.rows(seed, step, batch_size)
        batch = batch_of([self._clip_from(scenes, row) for row in rows])
        generator = generator_for("augment", seed, step)
        pairs = zip(batch.inputs, batch.targets, strict=True)
        clips = [changed(frames, labels, self.change, generator) for frames, labels in pairs]
        return Batch(
            torch.stack([frames for frames, _ in clips]),
            torch.stack([labels for _, labels in clips]),
        )

    def check_batches(self, seed: int, step: int) -> Iterator[Batch]:
        """The validation scenes."""
        yield from self.batches("val")

    def test_batches(self) -> Iterator[Batch]:
        """The test scenes."""
        yield from self.batches("test")

    def batches(self, split: str) -> Iterator[Batch]:
        """The scenes of a split in order."""
        scenes = self.sets.splits[split]
        if self.num_frames == 1:
            for first in range(0, len(scenes), EVALUATED_TOGETHER):
                yield batch_of([[scene] for scene in scenes[first : first + EVALUATED_TOGETHER]])
            return
        before = None
        for clip in clips_of(scenes, EVALUATED_TOGETHER):
            yield batch_of([clip], continues=clip[0].sequence == before)
            before = clip[0].sequence

    def _clip_from(self, scenes: Sequence[Scene], row: int) -> list[Scene]:
        """The clip that begins at a scene; at the end of a sequence the last one that there is."""
        after = row + self.num_frames
        while after > len(scenes) or scenes[after - 1].sequence != scenes[row].sequence:
            after -= 1
        return list(scenes[after - self.num_frames : after])
