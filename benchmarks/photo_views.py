"""Whether a photo is better predicted from several views of it: at other scales, and mirrored.

The probabilities of the views are averaged. The sets of scales are compared on val; the other
splits are told for the best set on val and for the photo as it is, which is what Rondo predicts
from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, nll_loss, pad

from rondo.bench.measure import machine_lines
from rondo.tasks.photo import load_data
from rondo.training.evaluation import predict
from rondo.training.run_folder import RunFolder
from rondo.training.shares import percent, wilson

SETS = ((1.0,), (0.88,), (1.12,), (0.88, 1.0), (1.0, 1.12), (0.88, 1.0, 1.12))
"""The sets of scales; below 1 the borders of the photo are repeated around it."""


def scaled(photos: Tensor, scale: float) -> Tensor:
    """The photos larger and cut, or smaller with a border."""
    side = photos.shape[-1]
    if scale == 1:
        return photos.float()
    if scale > 1:
        shown = int(side / scale)
        first = (side - shown) // 2
        cut = photos[..., first : first + shown, first : first + shown].float()
        return interpolate(cut, (side, side), mode="bilinear", antialias=True)
    shown = int(side * scale)
    small = interpolate(photos.float(), (shown, shown), mode="bilinear", antialias=True)
    first, rest = (side - shown) // 2, side - shown - (side - shown) // 2
    return pad(small, (first, rest, first, rest), mode="replicate")


def probabilities(
    model: nn.Module, photos: Tensor, scales: tuple[float, ...], precision: str
) -> Tensor:
    """The mean over the views at some scales and their mirror images."""
    views = []
    for scale in scales:
        found = predict(model, scaled(photos, scale), mirror=True, precision=precision)
        assert found is not None
        views.append(found)
    return torch.stack(views).mean(0)


def row(name: str, scales: tuple[float, ...], found: Tensor, labels: Tensor) -> str:
    share = wilson(int((found.argmax(1) == labels).sum()), len(labels))
    loss = nll_loss(found.clamp_min(1e-9).log(), labels).item()
    return f"| {name} | {', '.join(f'{s:g}' for s in scales)} | {percent(share)} | {loss:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled photos")
    parser.add_argument("--run", type=Path, required=True, help="a run of `rondo train photo`")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run)
    config, model = folder.read_config(), folder.read_model()
    data = load_data(str(arguments.data), config.image_size, layout=None, seed=0, num_drawn=0)
    precision = config.recipe.precision
    val = data["val"]
    found = {scales: probabilities(model, val.pixels, scales, precision) for scales in SETS}
    right = {s: (p.argmax(1) == val.labels).float().mean().item() for s, p in found.items()}
    best = max(SETS, key=lambda scales: right[scales])
    print(machine_lines())
    print("| split | scales | accuracy (95 % interval) | log loss |\n|---|---|---|---|")
    for scales, values in found.items():
        print(row("val", scales, values, val.labels))
    for name in ("test", "cross"):
        photos = data[name]
        for scales in dict.fromkeys([SETS[0], best]):
            values = probabilities(model, photos.pixels, scales, precision)
            print(row(name, scales, values, photos.labels))


if __name__ == "__main__":
    main()
