"""The main job on the embedded default: train on drawings, predict new ones, write a report.

Run by `make demo`. The portraits are drawn by the program and show no real person.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from rondo.cli import main
from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.drawn import draw_portrait
from rondo.training.run_paths import last_run

NUM_PORTRAITS = 4
TRAINING = ["--image-size", "32", "--num-drawn", "3000", "--epochs", "5"]
SEED = 20_000  # other portraits than those that training and test draw


def draw_new_portraits(folder: Path) -> list[str]:
    """Save portraits that the network has never seen, their label in the name."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(NUM_PORTRAITS):
        pixels, sex, _ = draw_portrait(np.random.default_rng([SEED, number]), image_size=32)
        path = folder / f"drawn-{SEXES[sex]}-{number}.png"
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
        paths.append(str(path))
    return paths


def demo() -> int:
    """Train, then predict; return the exit status."""
    began = time.monotonic()
    status = main(["train", "photo", "--data", "drawn", *TRAINING])
    if status:
        return status
    print("\nnew drawings, their label in the name:", flush=True)
    status = main(["predict", "last", *draw_new_portraits(last_run() / "new-drawings")])
    print(f"\nreport: {(last_run() / 'report.html').resolve().as_uri()}")
    print(f"the demo took {(time.monotonic() - began) / 60:.1f} minutes")
    return status


if __name__ == "__main__":
    sys.exit(demo())
