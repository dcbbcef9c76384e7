"""What the trials of a sweep gave: settings in order, the best first, chosen by validation alone.

In go a plan and its trials, out comes a row for each setting. The test of a run is read for the
best setting alone, and only when all trials are over.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from rondo.errors import RunError
from rondo.sweep.plan import Plan, plan_from
from rondo.sweep.space import Settings
from rondo.sweep.trial import Figures, Trial
from rondo.system.files import write_text
from rondo.system.json_text import json_text
from rondo.training.run_paths import RUNS

FORMAT = 1
"""Changes whenever a sweep of an older version could no longer be gone on with."""

FILE = "sweep.json"
"""The file that holds a sweep."""


@dataclass(frozen=True)
class Row:
    """A setting with its trials, one for each seed.

    Args:
        settings: The value of each name that is swept over.
        trials: Its trials.
    """

    settings: Settings
    trials: tuple[Trial, ...]

    @property
    def is_lost(self) -> bool:
        """Whether a trial gave nothing, so that there is no fair mean."""
        return any(trial.is_lost for trial in self.trials)

    @property
    def is_ended(self) -> bool:
        """Whether all trials have ended."""
        return all(trial.state == "ended" for trial in self.trials)

    @property
    def rung(self) -> int:
        """The last comparison that all of its trials took part in."""
        return min(trial.rung for trial in self.trials)

    @property
    def val_losses(self) -> list[float]:
        """The smallest loss in a check of each trial that has one."""
        return self._known(lambda trial: trial.figures.val_loss)

    @property
    def val_loss(self) -> float:
        """Their mean; infinite where a trial has none."""
        losses = self.val_losses
        return statistics.mean(losses) if len(losses) == len(self.trials) else math.inf

    @property
    def val_right(self) -> float | None:
        """The mean share of right answers in these checks."""
        shares = [trial.figures.val_right for trial in self.trials]
        known = [share for share in shares if share is not None]
        return statistics.mean(known) if known else None

    @property
    def seconds(self) -> float:
        """The mean time of the training steps, in seconds."""
        return statistics.mean(trial.figures.seconds for trial in self.trials)

    @property
    def num_seen(self) -> float:
        """The mean number of training examples seen."""
        return statistics.mean(trial.figures.num_seen for trial in self.trials)

    @property
    def num_parameters(self) -> int | None:
        """The parameters of the network."""
        return next((one.num_parameters for one in self.trials if one.num_parameters), None)

    def _known(self, value: Callable[[Trial], float]) -> list[float]:
        return [found for found in map(value, self.trials) if math.isfinite(found)]


@dataclass(frozen=True)
class Best:
    """The best setting, and what the test of each of its trials gave.

    Args:
        settings: The value of each name.
        trials: The numbers of its trials.
        val_loss: The mean of the smallest losses in a check.
        test_losses: The loss of the test, for each trial.
        test_rights: The share of right answers in the test, where the task has one.
    """

    settings: Settings
    trials: tuple[int, ...]
    val_loss: float
    test_losses: tuple[float, ...]
    test_rights: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """A sweep so far.

    Args:
        plan: What it is to do.
        trials: The trials, by number.
        best: The best setting, once all trials are over.
        notes: What must be known to read it.
    """

    plan: Plan
    trials: tuple[Trial, ...]
    best: Best | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The settings: those that came furthest first, of these the smallest loss first."""
        found = rows_of(self.trials)
        return tuple(sorted(found, key=lambda row: (row.is_lost, -row.rung, row.val_loss)))

    @property
    def num_lost(self) -> int:
        """How many trials failed or diverged."""
        return sum(trial.is_lost for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Returns the sweep as dictionaries and lists, for JSON."""
        return {
            "format": FORMAT,
            "plan": asdict(self.plan),
            "trials": [_trial_dict(trial) for trial in self.trials],
            "best": None if self.best is None else asdict(self.best),
            "notes": self.notes,
        }

    def write(self, folder: Path) -> None:
        """Keeps the sweep in its folder."""
        write_text(folder / FILE, json_text(self.to_dict(), indent=2) + "\n")


def rows_of(trials: Sequence[Trial]) -> list[Row]:
    """Returns a row for each setting, in the order of the trials."""
    settings: list[Settings] = []
    for trial in trials:
        if trial.settings not in settings:
            settings.append(trial.settings)
    return [Row(one, tuple(t for t in trials if t.settings == one)) for one in settings]


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Returns the mean of some values, and of several the least and most in brackets."""
    mean = text(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ({text(min(values))} to {text(max(values))})"


def share_text(share: Fraction) -> str:
    """Returns for example `1/9`, or `all` for the whole."""
    return "all" if share == 1 else str(share)


def read_sweep(folder: Path) -> tuple[Plan, tuple[Trial, ...]]:
    """Returns the plan and the trials of a sweep.

    Raises:
        RunError: If there is none, it cannot be read, or is of another version.
    """
    path = folder / FILE
    if not path.exists():
        raise RunError(f"there is no sweep in {folder}; leave out --resume to begin one")
    try:
        values = json.loads(path.read_text())
        if values["format"] != FORMAT:
            raise RunError(
                f"{path} is of format {values['format']}, and this version goes on with format "
                f"{FORMAT}; begin another sweep"
            )
        return plan_from(values["plan"]), tuple(map(_trial_from, values["trials"]))
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path} cannot be read ({error}); begin another sweep") from error


def newest_sweep(task: str, runs: Path = RUNS) -> Path:
    """Returns the folder of the newest sweep of a task.

    Raises:
        RunError: If there is none.
    """
    found = sorted(runs.glob(f"{task}-sweep-*/{FILE}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RunError(
            f"there is no sweep of {task} in {runs.resolve()}; name its folder with --sweep, or "
            "leave out --resume to begin one"
        )
    return found[-1].parent


def _trial_dict(trial: Trial) -> dict[str, Any]:
    return {"name": trial.name, **asdict(trial)}


def _trial_from(values: dict[str, Any]) -> Trial:
    figures = values["figures"]
    if figures["val_loss"] is None:  # JSON knows no infinity
        figures = {**figures, "val_loss": math.inf}
    rest = {key: value for key, value in values.items() if key not in ("name", "figures")}
    return Trial(**rest, figures=Figures(**figures))
