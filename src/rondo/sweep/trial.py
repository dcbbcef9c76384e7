"""A trial of a sweep: what it was given, how it ended, and its figures, read from its run folder.

The run folder is that of `rondo train`: of `config.json` the recipe is read, of `metrics.jsonl` the
checks. The test, which is measured once at the end of a training, is read by `test_record` alone.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rondo.errors import RunError
from rondo.sweep.space import Settings
from rondo.training.records import Record, read_records

STOPPING = {code for number in (signal.SIGINT, signal.SIGTERM) for code in (-number, 128 + number)}
"""The exit codes of a training that was asked to end."""

COUNTED_NOT = ("running_mean", "running_var", "num_batches_tracked")
"""What stands among the weights and is no parameter: the last word of its name."""

LONGEST = 300
"""Letters of a reason."""


@dataclass(frozen=True)
class Figures:
    """What a training gave so far on the validation data.

    Args:
        val_loss: The smallest loss in a check; infinite before the first.
        val_right: The share of right answers in that check, where the task has one.
        num_seen: Training examples seen.
        seconds: The time of the training steps, in seconds.
        share: The share of the budget that is spent.
    """

    val_loss: float = math.inf
    val_right: float | None = None
    num_seen: int = 0
    seconds: float = 0.0
    share: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A training with some settings.

    Args:
        number: Its number, from 1 on.
        settings: The value of each name that is swept over.
        seed: Its seed.
        state: "waiting", "running", "ended", "stopped" after a part of the budget, "interrupted",
            "diverged" or "failed".
        reason: Why it failed or diverged.
        rung: The last comparison that it took part in, from 0 on.
        figures: What it gave.
        num_parameters: The parameters of its network, where there are weights to count.
    """

    number: int
    settings: Settings
    seed: int
    state: str = "waiting"
    reason: str = ""
    rung: int = 0
    figures: Figures = Figures()
    num_parameters: int | None = None

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return f"trial-{self.number:03}"

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or cannot be gone on with."""
        return self.state in ("ended", "diverged")

    @property
    def is_lost(self) -> bool:
        """Whether it gave nothing that can be compared."""
        return self.state in ("diverged", "failed")


def after_exit(trial: Trial, run: Path, code: int, log: Path) -> Trial:
    """Returns a trial as it is once its process has ended.

    Args:
        trial: The trial.
        run: Its run folder.
        code: The exit code.
        log: The file that holds what the process said.
    """
    records = _records(run)
    if code == 0:
        return replace(trial, state="ended", reason="")
    if records and records[-1].get("diverged"):
        return replace(trial, state="diverged", reason=_reason(log, code))
    if code in STOPPING:
        return replace(trial, state="interrupted", reason="")
    return replace(trial, state="failed", reason=_reason(log, code))


def with_figures(trial: Trial, run: Path, share: Fraction) -> Trial:
    """Returns a trial with the figures of its run up to a share of the budget."""
    figures, num_parameters = figures_of(run, share), num_parameters_of(run)
    return replace(trial, figures=figures, num_parameters=num_parameters)


def figures_of(run: Path, share: Fraction) -> Figures:
    """Returns the figures of the checks up to the first one that is at a share of the budget."""
    recipe, best = _recipe(run), Figures()
    for record in _records(run):
        if record["split"] != "val":
            continue
        loss = math.inf if record.get("loss") is None else float(record["loss"])
        is_better = loss < best.val_loss
        best = Figures(
            loss if is_better else best.val_loss,
            record.get("right") if is_better else best.val_right,
            int(record.get("num_seen", 0)),
            float(record.get("seconds", 0.0)),
            _spent(record, recipe),
        )
        if _is_at(best, share):
            break
    return best


def has_reached(run: Path, share: Fraction) -> bool:
    """Whether a run has a check at a share of its budget, or after it."""
    return (run / "config.json").exists() and _is_at(figures_of(run, share), share)


def _is_at(figures: Figures, share: Fraction) -> bool:
    """Whether so much of the budget is spent; 512 of 1536 examples, a float, are a third."""
    return figures.share >= float(share) - 1e-9


def test_record(run: Path) -> Record | None:
    """Returns what the test of a run gave; it is for the best trial alone."""
    records = [record for record in _records(run) if record["split"] == "test"]
    return records[-1] if records else None


def fingerprint_of(run: Path) -> str | None:
    """Returns the digest of the data that a run has read, where it says one."""
    try:
        return json.loads((run / "config.json").read_text()).get("data_fingerprint")
    except (OSError, ValueError, AttributeError):
        return None


def num_parameters_of(run: Path) -> int | None:
    """Returns how many parameters the weights of a run hold; None where there are none yet."""
    try:
        with (run / "model.safetensors").open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head: dict[str, Any] = json.loads(file.read(min(length, 2**26)))
        return sum(
            math.prod(tensor["shape"])
            for name, tensor in head.items()
            if name != "__metadata__" and name.rpartition(".")[2] not in COUNTED_NOT
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _spent(record: Record, recipe: Mapping[str, Any]) -> float:
    """The share of the budget that is spent at a check."""
    if recipe.get("num_epochs") is not None and "epoch" in record:
        return float(record["epoch"]) / float(recipe["num_epochs"])
    return float(record["num_seen"]) / float(recipe["num_sequences"])


def _records(run: Path) -> list[Record]:
    return read_records(run / "metrics.jsonl", lambda text: None)


def _recipe(run: Path) -> dict[str, Any]:
    """The recipe of a run; empty where there is no run yet."""
    path = run / "config.json"
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text())["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); remove {run} to have its trial begin again"
        ) from error


def _reason(log: Path, code: int) -> str:
    """What a process said last, or by what it was ended."""
    if code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else str(-code)
        more = "; is there enough memory?" if -code == getattr(signal, "SIGKILL", 9) else ""
        return f"it was ended by {name}{more}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("rondo: ")] or lines
    words = said[-1].removeprefix("rondo: ").strip() if said else f"exit code {code}"
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."
