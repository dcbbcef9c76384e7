"""Draw the picture of docs/photo_models.md: new portraits, and the answers of a trained network.

    python examples/portraits_picture.py RUN docs/images/drawn_portraits.png

RUN is a run folder that `rondo train photo` made from drawings (`make demo`). The portraits are
drawn by the program and show nobody; the network has not seen them.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from rondo.tasks.photo.classes import SEXES
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.drawn import draw_portrait
from rondo.training.run_folder import RunFolder

NUM_PORTRAITS = 8
SEED = 30_000


def main() -> None:
    """Draw, predict, and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run, PHOTO)
    size = folder.read_config().options.image_size
    drawn = [draw_portrait(np.random.default_rng([SEED, i]), size) for i in range(NUM_PORTRAITS)]
    pixels = torch.from_numpy(np.stack([pixels for pixels, _, _ in drawn])).float()
    with torch.no_grad():
        probabilities = folder.read_model()(pixels).softmax(1)
    figure, axes = plt.subplots(1, NUM_PORTRAITS, figsize=(1.3 * NUM_PORTRAITS, 1.75), dpi=110)
    for axis, (picture, sex, _), answer in zip(axes, drawn, probabilities, strict=True):
        guess = int(answer.argmax())
        axis.imshow(picture.transpose(1, 2, 0))
        axis.set_title(f"{SEXES[guess]} {100 * answer[guess]:.0f} %", fontsize=9)
        axis.set_xlabel(f"drawn as {SEXES[sex]}", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture)


if __name__ == "__main__":
    main()
