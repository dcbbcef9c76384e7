"""Tiny tasks and networks for the tests of the one training loop, and runs of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from photo_runs import SIZE, TinyNetwork, photo_data
from rondo.data.batch import Batch
from rondo.data.sources import Collection, Example, Generated
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.characters.task import Text
from rondo.tasks.photo.task import RECIPES, photo_task
from rondo.training.engine import Engine
from rondo.training.fit import Outcome, fit
from rondo.training.ranks import ALONE, Ranks
from rondo.training.recipe import Recipe, recipe_from
from rondo.training.run_files import RunFiles
from rondo.training.task import Task, is_likeliest

RECIPE = Recipe(
    optimizer="sgd", learning_rate=0.1, max_grad_norm=None, batch_size=6, num_sequences=60,
    check_every=12,
)  # fmt: skip
"""Plain steps, so that a difference in the gradient stays as small as it was."""

NUM_CLASSES = 3


@dataclass(frozen=True)
class Config:
    """The settings of a run."""

    recipe: Recipe
    seed: int = 3
    num_threads: int = 1
    device: str = "auto"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Case:
    """A task with what makes its network.

    Args:
        task: The task.
        build: Makes the network.
    """

    task: Task
    build: Callable[[], nn.Module]

    def engine(self, **changes: Any) -> Engine:
        recipe = replace(self.task.recipe, **changes)
        return Engine(Config(recipe), replace(self.task, recipe=recipe), self.build)


def steps_case(num_train: int = 10) -> Case:
    """A class at every step of ragged sequences."""

    def examples(number: int, seed: int) -> list[Example]:
        draw = torch.Generator().manual_seed(seed)
        lengths = [n % 4 + 2 + 3 * (n == 1) for n in range(number)]
        return [
            Example(torch.randn(n, 2, generator=draw), torch.randint(3, (n,), generator=draw))
            for n in lengths
        ]

    source = Collection(examples(num_train, 1), examples(7, 2), examples(7, 3))
    task = Task("steps", source, 2, NUM_CLASSES, "cross_entropy", RECIPE, classes=("a", "b", "c"))
    return Case(task, lambda: sequence_model(2, NUM_CLASSES))


def final_case(num_train: int = 10) -> Case:
    """A class after the last step of ragged sequences; the first class is the most frequent."""

    def examples(number: int, seed: int) -> list[Example]:
        draw = torch.Generator().manual_seed(seed)
        return [
            Example(torch.randn(n % 5 + 2, 2, generator=draw), torch.tensor(max(0, n % 5 - 2)))
            for n in range(number)
        ]

    source = Collection(examples(num_train, 1), examples(7, 2), examples(7, 3))
    task = Task(
        "final", source, 2, NUM_CLASSES, "cross_entropy", RECIPE, final=True,
        right=is_likeliest, classes=("a", "b", "c"),
    )  # fmt: skip
    return Case(task, lambda: sequence_model(2, NUM_CLASSES, final=True))


def drawn_case() -> Case:
    """A number after the last step of sequences that are drawn anew."""

    def draw(number: int, generator: torch.Generator) -> Batch:
        inputs = torch.rand(number, 5, 1, generator=generator)
        lengths = torch.randint(2, 6, (number,), generator=generator)
        return Batch(inputs, inputs[:, 0], lengths)

    task = Task(
        "drawn", Generated(draw, 20, 20), 1, 1, "euclidean", RECIPE, final=True, goal=2.0,
        right=lambda outputs, batch: ((outputs - batch.targets).abs() < 0.15).all(-1),
    )  # fmt: skip
    return Case(task, lambda: sequence_model(1, 1, final=True))


def streams_case() -> Case:
    """Streams of symbols whose state goes from step to step."""
    draw = torch.Generator().manual_seed(1)
    parts = [torch.randint(4, (size,), generator=draw) for size in (1300, 300, 300)]
    task = Task("streams", Text(*parts), 4, 4, "cross_entropy", replace(RECIPE, batch_size=5))
    return Case(task, lambda: sequence_model(4, 4, embedding_size=3))


class PlainNetwork(nn.Module):
    """A network on photos whose rows know nothing of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 8, stride=8)
        self.head = nn.Linear(4, 2)

    def forward(self, photos: Tensor) -> Tensor:
        maps = self.convolution(photos / 128).relu()
        found: Tensor = self.head(maps.mean((2, 3)))
        return found


def photos_case(build: Callable[[], nn.Module] = PlainNetwork) -> Case:
    """Photos, with the whole default recipe but for its dropout."""
    recipe = replace(
        RECIPES["default"], num_epochs=2, batch_size=6, precision="float32", learning_rate=0.01
    )
    return Case(photo_task(photo_data(), SIZE, recipe), build)


def normalised_photos_case() -> Case:
    """The same with dropout and batch normalisation."""
    return photos_case(TinyNetwork)


def sequence_model(input_size: int, output_size: int, **others: Any) -> SequenceModel:
    return SequenceModel(
        "gru", input_size=input_size, hidden_size=5, output_size=output_size, **others
    )


CASES: dict[str, Callable[[], Case]] = {
    "steps": steps_case,
    "final": final_case,
    "drawn": drawn_case,
    "streams": streams_case,
    "photos": photos_case,
}
"""Cases whose rows know nothing of each other."""


class Folder(RunFiles[Config]):
    """A run folder of a case."""

    command = "rondo train case"

    def __init__(self, path: Path, case: Case) -> None:
        super().__init__(path)
        self.case = case

    def parse_config(self, text: str) -> Config:
        values = json.loads(text)
        return Config(**{**values, "recipe": recipe_from(values["recipe"])})

    def build_model(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        return self.case.build()

    def expected_origin(self, config: Config) -> dict[str, Any]:
        return {"model": self.case.task.name}


@dataclass
class CaseRun:
    """A run of a case."""

    case: Case
    config: Config
    folder: Folder
    lines: list[str] = field(default_factory=list)

    @property
    def task(self) -> Task:
        return self.case.task

    def network(self, *, is_new: bool) -> nn.Module:
        return self.case.build()

    def origin(self) -> dict[str, Any]:
        return {"model": self.task.name, "arguments": {}}

    def fit(
        self,
        before_step: Callable[[Engine], None] = lambda engine: None,
        ranks: Ranks = ALONE,
    ) -> Outcome:
        return fit(self, say=self.lines.append, before_step=before_step, ranks=ranks)


def case_run(path: Path, case: Case, **changes: Any) -> CaseRun:
    """A run in its folder, which may be there already."""
    config = Config(replace(case.task.recipe, **changes))
    folder = Folder(path, case)
    if not folder.config_file.exists():
        folder.create(config, lambda text: None)
    return CaseRun(case, config, folder)
