"""Names what a stick figure does while it does it, and draws the picture of docs/actions.md.

    rondo train actions --run runs/actions
    python examples/actions_stream.py runs/actions docs/images/tasks/actions.svg

Figures that the network has not seen come one frame at a time. The state of the network is kept
from frame to frame, so each answer costs one step; it is the answer that the network would give for
all frames so far, which is checked at the end of each clip.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import torch
from torch import Tensor

from rondo.data.seeds import generator_for
from rondo.data.sources import Example
from rondo.measures.classes import ClassEvaluation
from rondo.measures.intervals import percent
from rondo.tasks.actions.answers import Recogniser
from rondo.tasks.actions.drawn import BONES, draw_clips
from rondo.tasks.actions.evaluate import evaluate
from rondo.tasks.actions.motions import ACTIONS
from rondo.tasks.registry import folder_of

SHOWN = ("squat", "jump", "kick")
NUM_FIGURES, STEP, ROW = 11, 66, 118
LEFT, RIGHT_INK, WRONG_INK, INK = 70, "#1f6e43", "#b3411d", "#1a1a1a"
CELL_WIDTH, CELL_HEIGHT = 58, 22


def answers(recogniser: Recogniser, clip: Example) -> Tensor:
    """The probabilities (T, K) after each frame, one step of the network for each."""
    stream = recogniser.model.stream()
    found = torch.cat([stream(frame[None]).softmax(1) for frame in clip.inputs])
    with torch.no_grad():
        whole = recogniser.model(clip.inputs[None])[0].softmax(1)
    torch.testing.assert_close(found[-1:], whole, atol=1e-4, rtol=1e-4)
    return found


def text(x: float, y: float, words: str, ink: str = INK, anchor: str = "middle") -> str:
    """A line of words."""
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{ink}">{escape(words)}</text>'


def figure(pose: Tensor, x: float, y: float, ink: str) -> Iterator[str]:
    """A stick figure (15, 2) whose belly is at a place."""
    points = 26 * (pose - pose[1]) + torch.tensor([x, y])
    lines = (f"M{points[a, 0]:.1f} {points[a, 1]:.1f}L{points[b, 0]:.1f} {points[b, 1]:.1f}"
             for a, b in BONES)  # fmt: skip
    yield f'<path d="{"".join(lines)}" stroke="{ink}" stroke-width="2" fill="none"/>'
    yield f'<circle cx="{points[2, 0]:.1f}" cy="{points[2, 1]:.1f}" r="4" fill="{ink}"/>'


def strip(name: str, clip: Example, found: Tensor, y: float) -> Iterator[str]:
    """Some frames of a clip with the answer after each."""
    yield text(8, y + 46, name, anchor="start")
    frames = torch.linspace(0, len(clip.inputs) - 1, NUM_FIGURES).round().long().tolist()
    for place, frame in enumerate(frames):
        x, (value, number) = LEFT + STEP * (place + 0.5), found[frame].max(0)
        ink = RIGHT_INK if ACTIONS[int(number)] == name else WRONG_INK
        yield from figure(clip.inputs[frame].view(15, 2), x, y + 42, ink)
        yield text(x, y + 98, ACTIONS[int(number)], ink)
        yield text(x, y + 111, f"{100 * float(value):.0f} %", ink)


def table(evaluation: ClassEvaluation, y: float) -> Iterator[str]:
    """How many test clips of each class (a row) were taken for which (a column)."""
    accuracy = percent(evaluation.accuracy)
    words = f"{evaluation.accuracy.num_photos} other clips: {accuracy} right; row: what was drawn,"
    yield text(8, y, f"{words} column: the answer after the last frame", anchor="start")
    for number, name in enumerate(ACTIONS):
        yield text(LEFT + CELL_WIDTH * (number + 0.5), y + 22, name)
        top = y + 30 + CELL_HEIGHT * number
        yield text(8, top + 15, name, anchor="start")
        row = evaluation.confusion[number]
        for column, count in enumerate(row):
            x, share = LEFT + CELL_WIDTH * column, count / max(1, sum(row))
            fill, ink = ("#1f6e43" if column == number else "#b3411d"), INK
            ink = "white" if share > 0.5 else INK
            yield (f'<rect x="{x}" y="{top}" width="{CELL_WIDTH - 2}" height="{CELL_HEIGHT - 2}" '
                   f'fill="{fill}" fill-opacity="{0.05 + 0.95 * share:.2f}"/>')  # fmt: skip
            if count:
                yield text(x + CELL_WIDTH / 2 - 1, top + 15, str(count), ink)


def picture(recogniser: Recogniser, clips: dict[str, Example]) -> str:
    """Strips of clips with the answers over time, and the confusion of the test, as SVG."""
    title = "What each figure does, and the answer after the frames up to each one shown"
    body = [text(8, 20, title, anchor="start")]
    for place, (name, clip) in enumerate(clips.items()):
        body += strip(name, clip, answers(recogniser, clip), 30 + ROW * place)
    evaluation = evaluate(folder_of(recogniser.path), split="test").evaluations["test"]
    top = 30 + ROW * len(clips) + 24
    body += table(evaluation, top)
    width, height = LEFT + STEP * NUM_FIGURES + 10, top + 40 + CELL_HEIGHT * len(ACTIONS)
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
         f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
         f'<rect width="{width}" height="{height}" fill="white"/>', *body, "</svg>\n"]
    )  # fmt: skip


def main() -> None:
    """Stream new clips, print how the answers come about, and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of `rondo train actions` on drawn figures")
    parser.add_argument("picture", type=Path, nargs="?", help="an .svg file to write")
    arguments = parser.parse_args()
    recogniser = Recogniser(arguments.run)
    clips = dict(zip(ACTIONS, draw_clips(len(ACTIONS), generator_for("example")), strict=True))
    for name, clip in clips.items():
        found = answers(recogniser, clip)
        right = (found.argmax(1) == ACTIONS.index(name)).long()
        settled = int((right.flip(0).cumprod(0)).sum())
        words = f"right from frame {len(right) - settled + 1} on" if settled else "wrong at the end"
        print(f"{name:6} {len(right)} frames, {words}: {100 * float(found[-1].max()):.0f} %")
    if arguments.picture is not None:
        shown = {name: clips[name] for name in SHOWN}
        arguments.picture.write_text(picture(recogniser, shown), encoding="utf-8")


if __name__ == "__main__":
    main()
