"""Train and use a network from Python: what `rondo train`, `predict` and `evaluate` do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from rondo.errors import RunError, suggestion
from rondo.tasks.registry import definition_of, folder_of
from rondo.training import session
from rondo.training.answers import Evaluation, Given, ScoreEvaluation
from rondo.training.definition import Definition, at_place
from rondo.training.fit import fit
from rondo.training.loggers import make_logger
from rondo.training.measure import measured
from rondo.training.recipe import Recipe
from rondo.training.records import Record
from rondo.training.request import Request
from rondo.training.run_folder import RunFolder
from rondo.training.run_paths import last_run

SHORT = {"epochs": "num_epochs", "sequences": "num_sequences", "clip": "max_grad_norm"}
"""Short names of fields of a recipe, as on the command line."""


@dataclass(frozen=True)
class TrainedRun:
    """A run folder, and what can be done with its network.

    Args:
        folder: The folder.
    """

    folder: RunFolder

    @property
    def path(self) -> Path:
        """Where the folder is."""
        return self.folder.path

    @property
    def records(self) -> list[Record]:
        """The records of `metrics.jsonl`: of each check, and last of the test."""
        return self.folder.read_metrics()

    @property
    def model(self) -> nn.Module:
        """The network that predicts, in evaluation mode.

        Raises:
            RunError: If there is none yet, or its file is damaged.
        """
        return self.folder.read_model()

    def predict(self, sources: Given | Sequence[Given], **options: Any) -> list[Any]:
        """Returns an answer for each thing that is asked about.

        Args:
            sources: Files, folders, open files, or the word "drawn"; one or several.
            options: Those of `rondo predict RUN --help`, with underscores.

        Returns:
            Dataclasses with `source`, `error` and what the task answers.

        Raises:
            RunError: If the run or an option cannot be used.
        """
        command = self.folder.definition.predict
        if command is None:
            raise RunError(f"runs of {self.folder.definition.name} answer no files")
        answers = at_place(command.place)(self.path, **_known(options, command.options))
        single = isinstance(sources, (str, Path)) or hasattr(sources, "read")
        return list(answers.iterate([sources] if single else list(sources)))  # type: ignore[arg-type]

    def evaluate(
        self, data: str | None = None, split: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Returns what the network is worth on data that it was not trained on, by split.

        Args:
            data: Other data; None: the run's own.
            split: One split; None: all but that of training.
            options: Those of `rondo evaluate RUN --help`, with underscores.

        Raises:
            RunError: If the run, the data or an option cannot be used.
        """
        command, found = self.folder.definition.evaluate, None
        if command is None:
            found = ScoreEvaluation(*measured(self.folder, data=data, split=split))
            return found.values()
        known = _known(options, command.options)
        result: Evaluation = at_place(command.place)(
            self.folder, data=data, split=split, say=_quiet, **known
        )
        return result.values()

    def resume(self, data: str | None = None, say: Callable[[str], None] = print) -> TrainedRun:
        """Goes on with the training where it was interrupted.

        Args:
            data: Where the data are now, if they were moved.
            say: Is given each line for the user.

        Raises:
            RunError: If the folder or the data cannot be used.
        """
        return _fitted(session.resume(self.folder.definition, self.path, data, say), say)


def train(
    task: str,
    *,
    run: str | Path | None = None,
    recipe: str | None = None,
    start_from: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    log: Sequence[str] = (),
    say: Callable[[str], None] = print,
    **options: Any,
) -> TrainedRun:
    """Trains a network on a task; the same as `rondo train TASK`.

    Args:
        task: The name of the task; `rondo train --help` lists them.
        run: The run folder to make; None: `runs/TASK-DATE-N`.
        recipe: One of the task's recipes; None: what its data ask for.
        start_from: A run folder, a file of weights or a name on the hub to start from.
        seed: The seed of all that is random.
        threads: The number of threads; None: torch's.
        device: Where to train: "cpu", "gpu", or "auto", which is the accelerator for photos, where
            there is one, and the processor for all else.
        log: Where records go beside `metrics.jsonl`, such as "csv" or "tensorboard".
        say: Is given each line for the user.
        options: Options of the task, and fields of its recipe, as `rondo train TASK --help` lists
            them, with underscores.

    Returns:
        The run, trained to its end.

    Raises:
        RunError: If an option or the data cannot be used, or the training diverges.
        KeyboardInterrupt: If it is interrupted; `rondo.load(RUN).resume()` goes on.

    Example:
        ```
        run = rondo.train("series", data="sensors.csv", epochs=30)
        for answer in run.predict("new.csv"):
            print(answer)
        ```
    """
    definition = definition_of(task)
    of_task, of_recipe = _parted(definition, options)
    request = Request(
        options=of_task,
        recipe_name=recipe,
        recipe=of_recipe,
        start_from=None if start_from is None else str(start_from),
        seed=seed,
        threads=threads,
        device=device,
    )
    started = session.begin(definition, request, None if run is None else Path(run), say)
    return _fitted(started, say, ",".join(log) or None)


def load(run: str | Path = "last") -> TrainedRun:
    """Returns a run folder, of whatever task it is.

    Args:
        run: The folder, or "last" for the newest one in `./runs`.

    Raises:
        RunError: If it is none.

    Example:
        ```
        rondo.load("runs/text-2026-01-31-1").predict("scans/")
        ```
    """
    return TrainedRun(folder_of(last_run() if run == "last" else Path(run)))


def _fitted(
    started: session.Session, say: Callable[[str], None], log: str | None = None
) -> TrainedRun:
    """A run, trained to its end."""
    with started.folder.held(say):
        logger = make_logger(log, started.folder.path, asdict(started.config), say)
        outcome = fit(started, say=say, logger=logger)
        if outcome.signal_number is not None:
            raise KeyboardInterrupt(f"rondo.load({str(started.folder.path)!r}).resume() goes on")
        if started.definition.finish is not None:
            at_place(started.definition.finish)(started, say)
    sys.stderr.flush()
    return TrainedRun(started.folder)


def _parted(
    definition: Definition, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the task, and the fields of its recipe.

    Raises:
        RunError: If one is neither; it names the nearest.
    """
    of_task = [item.name for item in fields(definition.options)]
    of_recipe = [item.name for item in fields(Recipe) if item.name not in definition.unused]
    named = {SHORT.get(name, name): value for name, value in options.items()}
    for name in named:
        if name not in (*of_task, *of_recipe):
            near = suggestion(name, [*of_task, *of_recipe])
            raise RunError(f"{definition.name} has no option {name!r}; {near}")
    return (
        {name: value for name, value in named.items() if name in of_task},
        {name: value for name, value in named.items() if name not in of_task},
    )


def _known(options: dict[str, Any], kind: type | None) -> dict[str, Any]:
    """The options, if all of them are fields of a dataclass."""
    names = [] if kind is None else [item.name for item in fields(kind)]
    for name in options:
        if name not in names:
            hint = suggestion(name, names) if names else "this task takes none"
            raise RunError(f"there is no option {name!r}; {hint}")
    return options


def _quiet(_text: str) -> None:
    """Says nothing."""
