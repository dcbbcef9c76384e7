"""Segmentation: the class of every pixel of a picture, or of every frame of a video.

What is minimised is the cross-entropy of the pixels. Those of a class c are weighted by the median
of the frequencies of all classes over its own, m / f_c, f_c counted in the training pictures where
the class occurs, or by a power of that; pixels without a class count nothing. The data are a folder
in the form of CamVid (`rondo.tasks.segmentation.files`), or street scenes that the program draws,
each anew.

Eigen & Fergus, "Predicting depth, surface normals and semantic labels with a common multi-scale
convolutional architecture", 2015, weight by frequencies in this way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rondo.cells.cell import check_choice
from rondo.data.batch import Batch
from rondo.data.sources import Generated
from rondo.models.checkpoint import Checkpoint, load_checkpoint
from rondo.models.reseg import CONTEXTS, ReSeg
from rondo.tasks.segmentation.augment import Change
from rondo.tasks.segmentation.definition import RECIPES, UNUSED
from rondo.tasks.segmentation.drawn import CLASSES, draw_scenes
from rondo.tasks.segmentation.files import check_classes, read_scenes
from rondo.tasks.segmentation.scenes import VOID, SceneSource, frames_missing
from rondo.tasks.segmentation.show import show_scene
from rondo.training.task import Task

CHANGE = Change(crop=0.8, scale=0.3, light=0.25, gamma=0.4, colour=0.1)
"""How training pictures of a folder are changed."""

WEIGHT_POWER = {"drawn": 1.0, "files": 0.5}
"""The power of the weights of classes; below 1 frequent classes keep more of theirs."""

FRONT_STAGES = {"drawn": 1, "files": 2}
"""The stages of the ResNet in front."""

NUM_FRAMES = 4
"""The frames of a training clip of a video."""

MEMORY_SIZE = {"drawn": 24, "files": 64}
"""The channels of the state that goes from frame to frame."""

NUM_CHECKED, NUM_TESTED = 32, 100
"""Drawn scenes, or clips of them, in a check and in the test."""


def segmentation(
    data: str | None = None,
    *,
    size: str | None = None,
    video: bool = False,
    context: str = "sweeps",
    weights: str | None = None,
) -> Task:
    """The task on the pictures of a folder, or on drawn scenes.

    Args:
        data: A folder with `list.csv` and `classes.csv`, or None for drawn scenes.
        size: Width and height in pixels to which pictures are brought, such as "240x180"; default
            that of the first picture.
        video: Whether a state goes from frame to frame.
        context: "sweeps", or "convolutions" in their place; see :class:`rondo.models.reseg.ReSeg`.
        weights: Weights of a trained ResNet-18 or -50 for the front, a file or a name on the hub.

    Raises:
        ValueError: Where the folder, the size or the weights cannot be used.
    """
    kind = "drawn" if data is None else "files"
    checkpoint = None if weights is None else load_checkpoint(weights)
    check_choice("context", context, dict.fromkeys(CONTEXTS))
    source: Generated | SceneSource
    classes: tuple[str, ...] = CLASSES
    notes: tuple[str, ...] = ()
    if data is None:
        if size is not None:
            raise ValueError("drawn scenes have a size of their own; leave out --size")
        source = Generated(
            partial(_drawn, num_frames=NUM_FRAMES if video else 1), NUM_CHECKED, NUM_TESTED
        )
        counted = source.training_batch(0, 0, NUM_CHECKED).targets
    else:
        sets = read_scenes(Path(data), None if size is None else size_of(size))
        check_classes(Path(data), sets)
        classes = sets.classes
        source = SceneSource(sets, NUM_FRAMES if video else 1, CHANGE)
        counted = torch.stack([scene.labels for scene in sets.splits["train"]])
        counts = ", ".join(f"{name} {len(scenes)}" for name, scenes in sets.splits.items())
        height, width = counted.shape[1:]
        notes = (
            f"{counts} pictures of {width} x {height} pixels; {len(classes)} classes",
            *sets.notes,
            *(frames_missing(sets) if video else ()),
        )
    arguments = {
        "front_stages": FRONT_STAGES[kind],
        "depth": 18 if checkpoint is None else checkpoint.depth,
        "context": context,
        "even_light": data is not None,
        "normalised": data is not None,
        "memory_size": MEMORY_SIZE[kind] if video else 0,
    }
    return Task(
        name="segmentation",
        source=source,
        input_size=3,
        output_size=len(classes),
        distance="cross_entropy",
        recipe=RECIPES[kind],
        recipe_name=kind,
        loss=partial(
            pixel_losses, weights=class_weights(counted, len(classes), WEIGHT_POWER[kind])
        ),
        right=pixels_right,
        unit="nats",
        pixel_classes=classes,
        show=show_scene(len(classes)),
        may_be_shown=data is None,
        model="reseg",
        model_arguments=arguments,
        keeps_last=True,
        unused=UNUSED,
        prepare=None if checkpoint is None else partial(_take, checkpoint=checkpoint),
        notes=notes,
    )


def size_of(text: str) -> tuple[int, int]:
    """Returns the width and height that a text such as "240x180" means.

    Raises:
        ValueError: Where it means none.
    """
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None or min(width_height := (int(found[1]), int(found[2]))) < 32:
        raise ValueError(
            f"the size must be the width and height in pixels, at least 32, such as 240x180, "
            f"but is {text!r}"
        )
    return width_height


def class_weights(
    labels: Tensor | Iterable[Tensor], num_classes: int, power: float = 1.0
) -> Tensor:
    """Returns (m / f_c)^power for each class c: see above; 0 for a class that never occurs.

    Example:
        >>> import torch
        >>> from rondo.tasks.segmentation.task import class_weights
        >>> class_weights(torch.tensor([[[0, 0], [0, 1]]]), 2)
        tensor([0.3333, 1.0000])
    """
    counts, of_pictures = torch.zeros(num_classes), torch.zeros(num_classes)
    for picture in labels:
        known = picture[picture != VOID].flatten().long()
        found = torch.bincount(known, minlength=num_classes)
        counts += found
        of_pictures += (found > 0) * len(known)
    frequencies = counts / of_pictures.clamp_min(1)
    occurs = frequencies > 0
    median = frequencies[occurs].median() if bool(occurs.any()) else torch.tensor(0.0)
    return torch.where(occurs, (median / frequencies.clamp_min(1e-12)) ** power, 0.0)


def pixel_losses(outputs: Tensor, batch: Batch, *, weights: Tensor) -> Tensor:
    """Returns the weighted mean of the cross-entropy over the pixels of each clip (B,).

    Args:
        outputs: Logits (B, T, K, H, W).
        batch: Its targets are (B, T, H, W).
        weights: The weight of each class (K,).
    """
    weights = weights.to(outputs.device)
    losses = cross_entropy(
        outputs.flatten(0, 1), batch.targets.flatten(0, 1), weights,
        ignore_index=VOID, reduction="none",
    )  # fmt: skip
    known = batch.targets != VOID
    total = torch.where(known, weights[batch.targets.where(known, 0)], 0.0).flatten(1).sum(1)
    return losses.view_as(batch.targets).flatten(1).sum(1) / total.clamp_min(1e-12)


def pixels_right(outputs: Tensor, batch: Batch) -> Tensor:
    """Returns the share of the pixels of each clip that are named rightly (B,)."""
    known = (batch.targets != VOID).flatten(1)
    right = (outputs.argmax(2) == batch.targets).flatten(1) & known
    return right.sum(1) / known.sum(1).clamp_min(1)


def _drawn(num_clips: int, generator: torch.Generator, *, num_frames: int) -> Batch:
    return draw_scenes(num_clips, num_frames, generator)


def _take(model: torch.nn.Module, *, checkpoint: Checkpoint) -> None:
    assert isinstance(model, ReSeg)
    model.front.take(checkpoint)
