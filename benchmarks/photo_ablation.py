"""What each choice in `sweep_net` is worth: its variants, trained alike, judged on other photos.

Every variant is trained by the recipe "table" at 64 pixels on the training photos but 1,500, drawn
once, and judged on those 1,500 and on val together, by its log loss and accuracy. Test and cross
play no part. A finished run is kept in its folder and not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from rondo.training.memory import keep_freed_memory

keep_freed_memory()  # before torch takes its first memory

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import nll_loss  # noqa: E402

from rondo import models  # noqa: E402
from rondo.bench.measure import machine_lines  # noqa: E402
from rondo.cells.named import num_parameters  # noqa: E402
from rondo.models import SweptConvolution, count_multiplications, sweep_net  # noqa: E402
from rondo.system.files import write_text  # noqa: E402
from rondo.tasks.photo import build as photo_build  # noqa: E402
from rondo.tasks.photo.build import NETWORKS  # noqa: E402
from rondo.tasks.photo.definition import PHOTO  # noqa: E402
from rondo.tasks.photo.evaluation import predict  # noqa: E402
from rondo.tasks.photo.sets import PhotoSet  # noqa: E402
from rondo.tasks.photo.task import MODELS, PhotoNetwork, fingerprint, load_data  # noqa: E402
from rondo.training import session  # noqa: E402
from rondo.training.fit import fit  # noqa: E402
from rondo.training.request import Request  # noqa: E402
from rondo.training.run_folder import RunFolder  # noqa: E402
from rondo.training.task import Network  # noqa: E402

NUM_HELD_OUT = 1500
NO_SWEEPS = (0, 0, 0, 0, 0)


def random_start(*arguments: Any, **options: Any) -> nn.Module:
    """The network whose sweeps change their maps from the first step."""
    model = sweep_net(*arguments, **options)
    for layer in model.modules():
        if isinstance(layer, SweptConvolution):
            layer.project.reset_parameters()
    return model


def strides_for_pooling(*arguments: Any, **options: Any) -> nn.Module:
    """The network in whose stages without sweeps the last convolution halves the map."""
    model = sweep_net(*arguments, **options)
    layers = list(model.features)
    for place, (before, layer) in enumerate(pairwise(layers)):
        if isinstance(before, nn.Conv2d) and isinstance(layer, nn.MaxPool2d):
            before.stride = (2, 2)
            layers[place + 1] = nn.Identity()
    model.features = nn.Sequential(*layers)
    return model


def late_pooling(*arguments: Any, **options: Any) -> nn.Module:
    """The network that pools after the ReLU of a stage's last convolution, not before its norm."""
    model = sweep_net(*arguments, **options)
    layers = list(model.features)
    for place in [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]:
        layers[place : place + 3] = [*layers[place + 1 : place + 3], layers[place]]
    model.features = nn.Sequential(*layers)
    return model


def mean_pooling(*arguments: Any, **options: Any) -> nn.Module:
    """The network with the mean of 2x2 places in place of their maximum."""
    model = sweep_net(*arguments, **options)
    for name, layer in model.features.named_children():
        if isinstance(layer, nn.MaxPool2d):
            setattr(model.features, name, nn.AvgPool2d(2))
    return model


VARIANTS: dict[str, tuple[str, Callable[..., nn.Module]]] = {
    "cnn_2": ("CNN-2", models.cnn_2),
    "resnet_18": ("ResNet-18", models.resnet_18),
    "ours": ("sweep_net", sweep_net),
    "no_sweeps": ("no sweeps", partial(sweep_net, hidden_sizes=NO_SWEEPS)),
    "gru": ("GRU cells", partial(sweep_net, cell="gru")),
    "lstm": ("LSTM cells", partial(sweep_net, cell="lstm")),
    "stage_4": ("sweeps in stage 4 alone", partial(sweep_net, hidden_sizes=(0, 0, 0, 64, 0))),
    "stage_5": ("sweeps in stage 5 alone", partial(sweep_net, hidden_sizes=(0, 0, 0, 0, 128))),
    "stages_3": ("sweeps in stage 3 too", partial(sweep_net, hidden_sizes=(0, 0, 32, 64, 128))),
    "wide": ("loops twice as wide", partial(sweep_net, hidden_sizes=(0, 0, 0, 128, 256))),
    "blocks": ("blocks of 2x2 places", partial(sweep_net, block_size=2)),
    "single": ("one convolution in each stage", partial(sweep_net, convolutions=(1,) * 5)),
    "random": ("projections start random, not at 0", random_start),
    "strides": ("strides in place of pooling", strides_for_pooling),
    "late": ("pooling after the ReLU", late_pooling),
    "mean": ("mean in place of max pooling", mean_pooling),
}
"""The variants, by name: what differs, and what makes one."""


def part(photos: PhotoSet, indices: list[int]) -> PhotoSet:
    """Some of the photos."""
    some = tuple(photos.photos[i] for i in indices)
    return PhotoSet(photos.pixels[indices], photos.labels[indices], some, photos.classes)


def divide(data: dict[str, PhotoSet]) -> tuple[dict[str, PhotoSet], PhotoSet]:
    """The photos to train on, with val; and those that judge."""
    train, val = data["train"], data["val"]
    if len(train) <= NUM_HELD_OUT:
        raise SystemExit(f"more than {NUM_HELD_OUT} training photos are needed, got {len(train)}")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(7)).tolist()
    held_out = part(train, order[:NUM_HELD_OUT])
    judges = PhotoSet(
        torch.cat([val.pixels, held_out.pixels]),
        torch.cat([val.labels, held_out.labels]),
        val.photos + held_out.photos,
        val.classes,
    )
    kept = {"train": part(train, order[NUM_HELD_OUT:]), "val": val, "test": val}
    return kept, judges  # a run ends with a test, which is to be that of no other photos here


def run(
    name: str, seed: int, arguments: argparse.Namespace, data: dict[str, PhotoSet], judges: PhotoSet
) -> dict[str, Any]:
    """The figures of a variant, read from its folder or made now."""
    folder = arguments.runs / f"{name}-{seed}-{arguments.epochs}-{arguments.size}"
    kept = RunFolder(folder, PHOTO)
    if kept.config_file.exists() and kept.read_config().data_fingerprint != fingerprint(data):
        raise SystemExit(f"{folder} was made with other photos; give another --runs")
    result_file = folder / "ablation.json"
    if result_file.exists():
        return dict(json.loads(result_file.read_text()))
    request = Request(
        {"data": str(arguments.data), "model": name, "image_size": arguments.size},
        recipe_name="table",
        recipe={"num_epochs": arguments.epochs},
        seed=seed,
        threads=torch.get_num_threads(),
    )
    photo_build.load_data = lambda *_, **__: data  # the training photos without those held out
    if kept.config_file.exists():
        prepared = session.resume(PHOTO, folder, None, note)
    else:
        prepared = session.begin(PHOTO, request, folder, note)
    outcome = fit(prepared, say=note)
    if outcome.signal_number is not None:
        raise SystemExit(128 + outcome.signal_number)
    model, recipe = prepared.folder.read_model(), prepared.config.recipe
    found = predict(model, judges.pixels, mirror=recipe.mirror, precision=recipe.precision)
    figures = {
        "loss": nll_loss(found.clamp_min(1e-9).log(), judges.labels).item(),
        "accuracy": (found.argmax(1) == judges.labels).float().mean().item(),
        "parameters": num_parameters(model),
        "multiplications": count_multiplications(model, judges.pixels[:1].float()),
    }
    write_text(result_file, json.dumps(figures))
    return figures


def row(name: str, runs: list[dict[str, Any]]) -> str:
    losses = [found["loss"] for found in runs]
    accuracies = [100 * found["accuracy"] for found in runs]
    each = ", ".join(f"{loss:.3f}" for loss in losses)
    cells = (
        VARIANTS[name][0],
        f"{runs[0]['parameters']:,}",
        f"{runs[0]['multiplications'] / 1e6:.0f}",
        f"{sum(losses) / len(losses):.3f}" + (f" ({each})" if len(losses) > 1 else ""),
        f"{sum(accuracies) / len(accuracies):.1f}",
    )
    return f"| {' | '.join(cells)} |"


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled photos")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--variants", default=",".join(VARIANTS), help="with commas between")
    parser.add_argument("--seeds", default="0", help="with commas between")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    arguments = parser.parse_args()
    names = arguments.variants.split(",")
    if unknown := [name for name in names if name not in VARIANTS]:
        parser.error(f"no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    arguments_of = NETWORKS["sweep_net"].arguments
    for name, (_, build) in VARIANTS.items():
        MODELS[name], NETWORKS[name] = PhotoNetwork(build), Network(build, arguments_of)
    data = load_data(str(arguments.data), arguments.size, layout=None, seed=0, num_drawn=0)
    data, judges = divide(data)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    rows = []
    for name in names:
        found = []
        for seed in seeds:
            found.append(run(name, seed, arguments, data, judges))
            note(f"{name}, seed {seed}: {found[-1]}")
        rows.append(row(name, found))
    print(machine_lines())
    print(f"{len(data['train'])} photos to train on, {len(judges)} to judge")
    print("| network | parameters | million multiplications | log loss | accuracy, % |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
