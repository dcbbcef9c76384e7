"""Training speed of the photo networks side by side: photos a second of one training step.

A step is that of the recipe "table": augmentation, forward, backward, optimiser and moving average
of the weights, on 64 photos. Each network has its turn in every round; the median counts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from rondo.training.memory import keep_freed_memory

keep_freed_memory()  # before torch takes its first memory

from rondo.bench.measure import machine_lines, take_turns  # noqa: E402
from rondo.cells.named import num_parameters  # noqa: E402
from rondo.models import count_multiplications  # noqa: E402
from rondo.tasks.photo.build import NETWORKS  # noqa: E402
from rondo.tasks.photo.drawn import draw_photos  # noqa: E402
from rondo.tasks.photo.sets import Photos  # noqa: E402
from rondo.tasks.photo.task import MODELS, RECIPES, photo_task  # noqa: E402
from rondo.training.engine import Engine  # noqa: E402
from rondo.training.precision import resolved_precision  # noqa: E402
from rondo.training.recipe import Recipe  # noqa: E402


@dataclass(frozen=True)
class Settings:
    """What the loop must know of a run."""

    recipe: Recipe
    seed: int = 0
    device: str = "auto"


def make_engine(name: str, photos: Photos) -> Engine:
    """A network of `MODELS` as the recipe trains it; transfer learning on a ResNet-18."""
    size = photos.pixels.shape[-1]
    depth = {"depth": 18} if MODELS[name].takes_weights else {}
    recipe = replace(RECIPES["table"], precision=resolved_precision("auto"), batch_size=len(photos))
    task = replace(
        photo_task({"train": photos, "val": photos}, size, recipe),
        model=name,
        model_arguments={"image_size": size, "num_classes": 2, **depth},
    )
    network = NETWORKS[name]
    return Engine(Settings(recipe), task, lambda: network.build(**network.arguments(task, recipe)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--models", default=",".join(MODELS), help="with commas between")
    arguments = parser.parse_args()
    photos = draw_photos(arguments.size, num_train=arguments.batch_size, num_val=1, num_test=1)
    made = {name: make_engine(name, photos["train"]) for name in arguments.models.split(",")}
    steps = {name: engine.train_step for name, engine in made.items()}
    times = take_turns(steps, arguments.rounds)
    print(machine_lines())
    print("| network | parameters | million multiplications a photo | photos/s | quartiles |")
    print("|---|---|---|---|---|")
    for name, spread in times.items():
        model = made[name].model
        products = count_multiplications(model, photos["val"].pixels.float()) / 1e6
        low, high = (arguments.batch_size / time for time in reversed(spread.quartiles))
        speed = f"{arguments.batch_size / spread.median:.0f} | {low:.0f} to {high:.0f}"
        print(f"| {name} | {num_parameters(model):,} | {products:.1f} | {speed} |")


if __name__ == "__main__":
    main()
