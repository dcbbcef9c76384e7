"""How long `rondo predict` takes for one photo, and how long each photo takes in a batch.

The command is run as a user runs it: a new process, which imports torch, loads the weights of the
run, compiles the loops, reads the photo, and ends. What torch alone takes to be imported is timed
in turn with it. The batch is read and predicted by `rondo.Predictor` in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rondo.bench.measure import Spread, machine_lines, take_turns
from rondo.tasks.photo.answers import Predictor

BATCH_SIZE = 64


def command(words: Sequence[str]) -> None:
    """Run Python with some arguments to its end."""
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def row(what: str, times: Spread, unit: str, factor: float) -> str:
    scaled = times.scaled(factor)
    low, high = scaled.quartiles
    return f"| {what} | {scaled.median:.2f} {unit} | {low:.2f} to {high:.2f} {unit} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run of `rondo train photo`")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEG photos")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.rglob("*.jpg"))[:BATCH_SIZE]
    if len(photos) < BATCH_SIZE:
        parser.error(f"{arguments.photos} holds {len(photos)} photos, {BATCH_SIZE} are needed")
    predictor = Predictor.load(arguments.run)
    predict = ["-m", "rondo", "predict", str(arguments.run), str(photos[0])]
    processes = {
        "command": partial(command, predict),
        "torch": partial(command, ["-c", "import torch"]),
    }
    times = take_turns(processes, arguments.rounds)
    batch = take_turns({"batch": partial(predictor.predict, photos)}, arguments.rounds)["batch"]
    config = predictor.config
    lines = [
        f"# Prediction of photos\n\n{machine_lines()}"
        f"- network: {config.options.model}, photos of {config.options.image_size} pixels\n",
        "Medians and quartiles over the rounds. Everything that a user waits for is in them:\n"
        "the start of the process, the weights, the photo and its mirror image. Kernels lie in\n"
        "the cache on disk, as from the second prediction of a network on.\n",
        "| what | time | quartiles |",
        "|---|---|---|",
        row("`rondo predict RUN PHOTO`, in all", times["command"], "s", 1),
        row("of that: Python, and `import torch`", times["torch"], "s", 1),
        row(f"a photo of {BATCH_SIZE} in a batch", batch, "ms", 1000 / BATCH_SIZE),
    ]
    page = "\n".join([*lines, ""])
    for path in (arguments.run, arguments.photos):
        page = page.replace(str(path), "PATH")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "photo_prediction.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
