"""Follows drawn street scenes frame by frame, and makes the picture of docs/segmentation.md.

    rondo train segmentation --video --run runs/scenes
    python examples/segment_scenes.py runs/scenes docs/images/tasks/segmentation.gif

Scenes that the network has not seen come one frame at a time, and the state of the network is kept
from frame to frame. What it answers with that state is compared with what it answers when it
forgets the frames before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rondo.data.seeds import generator_for
from rondo.tasks.segmentation.answers import Picture, Segmenter, colours
from rondo.tasks.segmentation.drawn import CLASSES, draw_scenes
from rondo.tasks.segmentation.regions import PixelEvaluation, confusion_of

import torch  # isort: skip

NUM_CLIPS, NUM_FRAMES = 20, 12
SCALE, GAP, HEAD, FOOT = 4, 6, 18, 20
TITLES = ("what the network sees", "what it answers", "what is there")


def evaluation(answers: list[np.ndarray], labels: torch.Tensor) -> PixelEvaluation:
    """What answers for some frames are worth."""
    found = torch.from_numpy(np.stack(answers)).long()
    confusion = confusion_of(found, labels, len(CLASSES))
    return PixelEvaluation(CLASSES, tuple(map(tuple, confusion.tolist())), len(answers))


def answers_of(
    segmenter: Segmenter, frames: list[np.ndarray], *, remembers: bool
) -> list[np.ndarray]:
    """The labels of each frame of a clip, with the state of the frames before or without."""
    pictures = (Picture("", frame, remembers and n > 0) for n, frame in enumerate(frames))
    return [item.labels for item in segmenter.segment(pictures) if item.labels is not None]


def panel(frame: np.ndarray, answer: np.ndarray, truth: np.ndarray) -> Image.Image:
    """A frame, the answer for it and the truth side by side, with the colours of the classes."""
    pictures = [Image.fromarray(frame)]
    pictures += [Image.fromarray(colours(len(CLASSES))[labels]) for labels in (answer, truth)]
    width, height = SCALE * frame.shape[1], SCALE * frame.shape[0]
    page = Image.new("RGB", (3 * width + 4 * GAP, HEAD + height + FOOT), "white")
    pen = ImageDraw.Draw(page)
    for number, (picture, title) in enumerate(zip(pictures, TITLES, strict=True)):
        left = GAP + number * (width + GAP)
        pen.text((left, 4), title, fill="black")
        page.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, HEAD))
    step = (3 * width) // len(CLASSES)
    for number, (name, colour) in enumerate(zip(CLASSES, colours(len(CLASSES)), strict=True)):
        left, top = GAP + number * step, HEAD + height + 5
        pen.rectangle((left, top, left + 10, top + 10), fill=tuple(colour.tolist()))
        pen.text((left + 15, top), name, fill="black")
    return page


def main() -> None:
    """Answers and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run of `rondo train segmentation`")
    parser.add_argument("output", type=Path, help="the picture to write, .gif")
    arguments = parser.parse_args()
    segmenter = Segmenter(arguments.run)
    batch = draw_scenes(NUM_CLIPS, NUM_FRAMES, generator_for("shown scenes"))
    clips = [list(clip) for clip in batch.inputs.byte().permute(0, 1, 3, 4, 2).numpy()]
    for words, remembers in (("with its state", True), ("without", False)):
        answers = [answers_of(segmenter, clip, remembers=remembers) for clip in clips]
        flat = [labels for clip in answers for labels in clip]
        found = evaluation(flat, batch.targets.flatten(0, 1))
        print(f"{words:15} mean IoU {100 * found.mean_iou:.1f} %, "
              f"pixels right {100 * found.accuracy:.1f} %")  # fmt: skip
    shown = answers_of(segmenter, clips[0], remembers=True)
    truth = batch.targets[0].numpy().astype(np.uint8)
    pages = [panel(*items) for items in zip(clips[0], shown, truth, strict=True)]
    first, *rest = [page.quantize(32, dither=Image.Dither.NONE) for page in pages]
    first.save(
        arguments.output, save_all=True, append_images=rest, duration=250, loop=0, optimize=True
    )


if __name__ == "__main__":
    main()
