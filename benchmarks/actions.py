"""Recognising actions: accuracy on poses and on signals, and the speed of training.

Clips are poses or signals (`rondo.tasks.actions.files`: folders of npz files). Networks of one and
of two directions and of several cells are trained with the recipe of the task, three seeds each,
and tested once, at the weights with the smallest loss on the clips held out of the training. Then
the steps of a training are timed, beside the same network with torch.nn's layers: both compute the
same numbers, which is checked first.

Every run is kept under --runs; started again, the program goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from kept_runs import SEEDS, Kept, kept_run, note, write_page
from torch_layers import TorchLayer

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip

from rondo.cells.named import num_parameters
from rondo.measures.intervals import Share, percent, wilson
from rondo.models.action_model import ActionModel
from rondo.system.columns import markdown_table
from rondo.tasks.actions.answers import Recogniser
from rondo.tasks.actions.definition import ACTIONS
from rondo.tasks.actions.evaluate import evaluate
from rondo.tasks.actions.task import actions
from rondo.training.network import arguments_of
from rondo.training.run_folder import RunFolder
from rondo.training.task import Task

CELLS = ("gru", "lstm", "tanh")
NUM_STEPS, NUM_ROUNDS = 6, 15


@dataclass(frozen=True)
class Trained:
    """A network with its runs, one for each seed."""

    cell: str
    bidirectional: bool
    runs: list[Kept]
    num_parameters: int

    @property
    def accuracies(self) -> list[float]:
        return [run.test["right"] for run in self.runs]

    @property
    def best_loss(self) -> float:
        """The mean over the seeds of the smallest loss in a check."""
        return mean(run.best_check for run in self.runs)

    @property
    def share(self) -> Share:
        """The mean accuracy with the interval of that many test clips."""
        num_clips = self.runs[0].test["num_examples"]
        return wilson(mean(self.accuracies) * num_clips, num_clips)


def label_of(data: Path, cell: str, bidirectional: bool, seed: int) -> str:
    return f"{data.name}-{cell}-{'both' if bidirectional else 'one'}-{seed}"


def train(runs: Path, data: Path, cell: str, bidirectional: bool, threads: int) -> Trained:
    """The runs of a network on the clips of a folder."""
    kept = [
        kept_run(
            runs,
            label_of(data, cell, bidirectional, seed),
            "actions",
            data=str(data),
            cell=cell,
            bidirectional=bidirectional or None,
            seed=seed,
            threads=threads,
        )
        for seed in SEEDS
    ]
    first = Recogniser(runs / label_of(data, cell, bidirectional, SEEDS[0]))
    return Trained(cell, bidirectional, kept, num_parameters(first.model))


def accuracy_table(found: Sequence[Trained]) -> str:
    """A line for each network."""
    head = [
        "cell",
        "directions",
        "parameters",
        "val loss, mean",
        "test accuracy, mean",
        "each seed",
    ]
    rows = [
        [
            item.cell,
            "2" if item.bidirectional else "1",
            f"{item.num_parameters:,}",
            f"{item.best_loss:.3f}",
            percent(item.share),
            " / ".join(f"{100 * value:.1f}" for value in item.accuracies),
        ]
        for item in found
    ]
    return markdown_table(head, rows)


def confusion(runs: Path, data: Path, best: Trained) -> str:
    """What was taken for what, summed over the seeds of a network."""
    total: Tensor | None = None
    for seed in SEEDS:
        run = RunFolder(runs / label_of(data, best.cell, best.bidirectional, seed), ACTIONS)
        evaluation = evaluate(run, data=str(data), split="test").evaluations["test"]
        found = torch.tensor(evaluation.confusion)
        total = found if total is None else total + found
    assert total is not None
    rows = [
        [name, *(str(count) if count else "" for count in row), f"{100 * row[n] / sum(row):.1f} %"]
        for n, (name, row) in enumerate(zip(evaluation.classes, total.tolist(), strict=True))
    ]
    return markdown_table(["class, taken for", *evaluation.classes, "right"], rows)


def with_torch_layers(model: ActionModel, cell: str) -> ActionModel:
    """The same network, its recurrent layers run by torch.nn."""
    other = copy.deepcopy(model)
    other.layers = nn.ModuleList(TorchLayer(cell, layer) for layer in model.layers)
    return other


def seconds_of_step(task: Task, models: Sequence[ActionModel]) -> list[float]:
    """The processor time of a training step of each network, median over rounds side by side.

    All of a step but the making of the batch is timed: forward, backward, clipping, Adam.
    """
    source, times = task.source, [[0.0] * 0 for _ in models]
    batches = [source.training_batch(0, step, task.recipe.batch_size) for step in range(NUM_STEPS)]
    optimizers = [torch.optim.Adam(model.parameters(), 1e-3, fused=True) for model in models]
    for number in range(1 + NUM_ROUNDS):
        for model, optimizer, own in zip(models, optimizers, times, strict=True):
            began = time.process_time()
            for batch in batches:
                logits, _ = model(batch.inputs, lengths=batch.lengths)
                loss = nn.functional.cross_entropy(logits, batch.targets)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            if number:
                own.append((time.process_time() - began) / NUM_STEPS)
    return [median(own) for own in times]


def speed_row(task: Task, name: str, cell: str, bidirectional: bool) -> list[str]:
    """The clips a second of a training with Rondo's layers and with torch.nn's."""
    torch.manual_seed(0)
    arguments = arguments_of(ACTIONS, task, task.recipe)
    ours = ACTIONS.network(task.model).build(
        **{**arguments, "cell": cell, "bidirectional": bidirectional, "dropout": 0.0}
    )
    assert isinstance(ours, ActionModel)
    assert task.prepare is not None
    task.prepare(ours)
    theirs = with_torch_layers(ours, cell)
    batch = task.source.training_batch(0, 0, task.recipe.batch_size)
    pair = [model(batch.inputs, lengths=batch.lengths)[0] for model in (ours, theirs)]
    torch.testing.assert_close(*pair, atol=1e-4, rtol=1e-4)
    seconds = seconds_of_step(task, [ours, theirs])
    note(f"{name}, {cell}: {seconds[0] * 1000:.1f} ms, torch.nn {seconds[1] * 1000:.1f} ms")
    speeds = [task.recipe.batch_size / value for value in seconds]
    directions = "2" if bidirectional else "1"
    ratio = f"{speeds[0] / speeds[1]:.2f}"
    return [name, cell, directions, f"{speeds[0]:.0f}", f"{speeds[1]:.0f}", ratio]


NOTES = f"""\
The recipes are those of `rondo train actions`. They were chosen on the clips that are held out of
the training, the last fifth of each class, or those of the file for validation; how signals are
changed in training by the accuracy there, among settings that were all measured on the test too.
Each network was trained with the seeds {", ".join(map(str, SEEDS))}.
In brackets the 95 % interval of Wilson for that many test clips; it does not tell how far seeds
differ, which the last column shows.

Speed: clips a second of forward, backward, clipping and Adam on batches of the task, without
dropout, from the processor time of one thread: the median of {NUM_ROUNDS} rounds of {NUM_STEPS}
steps, both networks in turn. torch.nn's layers get packed sequences; they have the same weights,
and their answers agree to 1e-4. Features of frames, output and optimiser are the same code in both.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of clips")
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sections, speed = [], []
    for data in arguments.data:
        found = [
            train(arguments.runs, data, cell, bidirectional, arguments.threads)
            for cell in arguments.cells
            for bidirectional in (False, True)
        ]
        best = min(found, key=lambda item: item.best_loss)
        task = actions(str(data))
        which = f"{best.cell}, {'two directions' if best.bidirectional else 'one direction'}"
        sections.append(
            f"## {data.name}\n\n{task.source.num_train()} clips to train, "
            f"{len(task.source.val)} for checks, {len(task.source.test)} for the test, "  # type: ignore[attr-defined]
            f"{len(task.classes or ())} classes.\n\n{accuracy_table(found)}\n\nThe smallest "
            f"validation loss: {which}. Its answers on the test, summed over the seeds:\n\n"
            f"{confusion(arguments.runs, data, best)}"
        )
        speed += [
            speed_row(task, data.name, cell, bidirectional)
            for cell in arguments.cells
            for bidirectional in (False, True)
        ]
    head = ["clips", "cell", "directions", "Rondo, clips/s", "torch.nn, clips/s", "ratio"]
    sections.append(f"## Speed of training\n\n{markdown_table(head, speed)}")
    file = arguments.output / "actions.md"
    write_page(file, "Actions", NOTES, sections, arguments.runs, *arguments.data)


if __name__ == "__main__":
    main()
