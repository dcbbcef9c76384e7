"""How large the mirror image should be that a photo is predicted from beside itself.

A prediction is the mean over the photo and its mirror image (`rondo.training.recipe.Recipe`).
The sizes are compared on val by the log loss; test and cross are told for the best of them, and for
a mirror image as large as the photo. The weights are those of a finished run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor
from torch.nn.functional import nll_loss

from rondo.bench.measure import machine_lines
from rondo.measures.intervals import percent, wilson
from rondo.system.columns import markdown_table
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.evaluation import predict
from rondo.tasks.photo.task import load_data
from rondo.training.run_folder import RunFolder

SIZES = (0.0, 0.76, 0.82, 0.88, 0.94, 1.0)
"""Widths of the mirror image in widths of the photo; 0 is the photo alone."""


def log_loss(probabilities: Tensor, labels: Tensor) -> float:
    return float(nll_loss(probabilities.clamp_min(1e-9).log(), labels))


def row(split: str, size: float, probabilities: Tensor, labels: Tensor) -> list[str]:
    share = wilson(int((probabilities.argmax(1) == labels).sum()), len(labels))
    shown = f"{size:g}" if size else "the photo alone"
    return [split, shown, percent(share), f"{log_loss(probabilities, labels):.4f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled photos")
    parser.add_argument("--run", type=Path, required=True, help="a run of `rondo train photo`")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run, PHOTO)
    config, model = folder.read_config(), folder.read_model()
    data = load_data(
        str(arguments.data), config.options.image_size, layout=None, seed=0, num_drawn=0
    )

    def found(split: str, size: float) -> Tensor:
        pixels, precision = data[split].pixels, config.recipe.precision
        probabilities = predict(model, pixels, mirror=size, precision=precision)
        assert probabilities is not None
        return probabilities

    val = {size: found("val", size) for size in SIZES}
    best = min(SIZES, key=lambda size: log_loss(val[size], data["val"].labels))
    rows = [row("val", size, values, data["val"].labels) for size, values in val.items()]
    for split in ("test", "cross"):
        for size in dict.fromkeys([1.0, best]):
            rows.append(row(split, size, found(split, size), data[split].labels))
    head = ["split", "size of the mirror image", "accuracy (95 % interval)", "log loss"]
    print(f"{machine_lines()}\n{markdown_table(head, rows)}")


if __name__ == "__main__":
    main()
