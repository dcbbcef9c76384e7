"""Captions drawn pictures of two shapes, and makes the picture of docs/captions.md.

    rondo train captions --run runs/shapes
    python examples/caption_shapes.py runs/shapes docs/images/tasks/captions.png

The pictures were not seen in training. A caption that is not among those that are true of its
picture is written in red; how many are true of all 300 test pictures is printed.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw

from rondo.tasks.captions.answers import Captioner
from rondo.tasks.captions.task import Told, drawn_test

COLUMNS, ROWS, SCALE, GAP, TEXT = 4, 2, 2, 12, 34
WRITTEN_WIDTH = 26


def main() -> None:
    """Captions and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run of `rondo train captions`")
    parser.add_argument("output", type=Path, help="the picture to write, .png")
    arguments = parser.parse_args()
    captioner = Captioner(arguments.run)
    pictures = drawn_test()
    found = captioner.say([told.seen for told in pictures])
    said = [captioner.text_of(best) for best, *_ in found]
    num_true = sum(text in told.captions for text, told in zip(said, pictures, strict=True))
    print(f"{num_true} of {len(pictures)} captions are true")
    page_of(pictures, said).save(arguments.output, optimize=True)


def page_of(pictures: list[Told], said: list[str]) -> Image.Image:
    """The first pictures with what is said of them below."""
    side = SCALE * pictures[0].seen.shape[1]
    step_x, step_y = side + GAP, side + TEXT + GAP
    page = Image.new("RGB", (COLUMNS * step_x + GAP, ROWS * step_y + GAP), "white")
    pen = ImageDraw.Draw(page)
    for number in range(COLUMNS * ROWS):
        told, text = pictures[number], said[number]
        row, column = divmod(number, COLUMNS)
        left, top = GAP + column * step_x, GAP + row * step_y
        picture = Image.fromarray(told.seen.permute(1, 2, 0).numpy())
        page.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
        ink = "black" if text in told.captions else "#b3211d"
        lines = "\n".join(textwrap.wrap(text, WRITTEN_WIDTH))
        pen.multiline_text((left, top + side + 3), lines, fill=ink, font_size=10, spacing=2)
    return page


if __name__ == "__main__":
    main()
