"""A sweep from its plan to its table: one process for each trial, some at a time.

The folder of a sweep holds

    sweep.json           the plan and all trials
    sweep.md, .html      the table so far
    parallel.svg         the picture
    trial-NNN/           the run folder of a trial
    trial-NNN.log        what its process said
    lock                 held by the process that sweeps

Every file is written under another name and renamed, and a run goes on from its own saved state. So
a sweep that was interrupted in any way goes on where it was.

Successive halving (Jamieson & Talwalkar, 2016) gives each training its whole budget at the start,
so that its learning rate goes the same way whenever it is compared, and interrupts it at the first
check at or after a share of it. What is among the best goes on from its saved state, as
`rondo train --resume` does, and so to the same numbers as if it had never been interrupted; the
rest is left. What ran on for a moment after that check is not counted in the comparison.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from rondo.data.skipped import count_of
from rondo.errors import RunError
from rondo.sweep.plan import FACTOR, Check, Plan, checked_axes, settings_of, words_of
from rondo.sweep.processes import Job, run_jobs
from rondo.sweep.result import Best, Result, Row, read_sweep, rows_of, share_text
from rondo.sweep.trial import (
    STOPPING,
    Trial,
    after_exit,
    fingerprint_of,
    has_reached,
    test_record,
    with_figures,
)
from rondo.system.files import remove_parts
from rondo.system.lock import NAME as LOCK_NAME
from rondo.system.lock import FolderLock, is_held
from rondo.tasks.registry import definition_of
from rondo.training.run_files import holding
from rondo.training.run_paths import NEEDED_BYTES, check_place

Say = Callable[[str], None]

REFUSED = 2
"""A sweep ends when so many trials were refused for one reason before any has begun."""

OTHER_DATA = "The seeds of a setting saw different data, so their spread is that of the data too."


@dataclass(frozen=True)
class Outcome:
    """How far a sweep came.

    Args:
        result: The sweep so far.
        signal_number: The signal that interrupted it, if one did.
    """

    result: Result
    signal_number: int | None


def begin(plan: Plan, folder: Path, check: Check, num_jobs: int, say: Say) -> Outcome:
    """Sweeps in a new folder.

    Args:
        plan: What to do.
        folder: The folder, which is made.
        check: Raises where `rondo train TASK` does not take some words.
        num_jobs: How many trials run at a time.
        say: Is given each line for the user.

    Raises:
        RunError: If a name or a value cannot be used, or the folder cannot.
    """
    axes = checked_axes(plan, check, definition_of(plan.task).unused)
    settings = settings_of(plan, axes)
    seeds = range(plan.seed, plan.seed + plan.num_seeds)
    pairs = [(one, seed) for one in settings for seed in seeds]
    trials = [Trial(number, one, seed) for number, (one, seed) in enumerate(pairs, 1)]
    if folder.exists() and not (folder.is_dir() and _is_unused(folder)):
        raise RunError(
            f"{folder} exists already; give another --sweep, or go on with it by --resume "
            f"--sweep {folder}"
        )
    check_place(folder, "--sweep", NEEDED_BYTES)
    folder.mkdir(parents=True, exist_ok=True)
    with holding(FolderLock(folder), say):
        return Sweep(plan, folder, trials, say).run(num_jobs)


def resume(folder: Path, num_jobs: int, say: Say) -> Outcome:
    """Goes on with a sweep; what has ended is not trained again, what failed is tried again.

    Raises:
        RunError: If there is none in the folder, or another process has to do with it.
    """
    read_sweep(folder)  # before the lock makes a file in a folder that is no sweep
    with holding(FolderLock(folder), say):
        remove_parts(folder)
        plan, trials = read_sweep(folder)
        for trial in trials:
            if is_held(folder / trial.name):
                raise RunError(
                    f"{folder / trial.name} is still trained by another process; let it end, or "
                    "end it, and try again"
                )
        found = [one if one.is_over else replace(one, state="waiting") for one in trials]
        return Sweep(plan, folder, found, say).run(num_jobs)


def _is_unused(folder: Path) -> bool:
    return not {path.name for path in folder.iterdir()} - {LOCK_NAME}


class Sweep:
    """The trials of a sweep while it runs.

    Args:
        plan: What to do.
        folder: The folder, which is locked.
        trials: The trials, by number.
        say: Is given each line for the user.
    """

    def __init__(self, plan: Plan, folder: Path, trials: Sequence[Trial], say: Say) -> None:
        self.plan, self.folder, self.say = plan, folder, say
        self.trials = {trial.number: trial for trial in trials}

    @property
    def result(self) -> Result:
        """The sweep so far."""
        return Result(self.plan, tuple(self.trials.values()), notes=self._notes())

    def run(self, num_jobs: int) -> Outcome:
        """Trains what is not trained yet, rung by rung, and chooses."""
        self.result.write(self.folder)
        self.say(
            f"folder {self.folder}, {count_of(len(self.trials), 'trial')}, {num_jobs} at a time; "
            "Ctrl-C ends after a batch, and can be resumed"
        )
        rows, shares = rows_of(tuple(self.trials.values())), self.plan.shares
        for rung, share in enumerate(shares):
            numbers = [trial.number for row in rows for trial in row.trials]
            if len(shares) > 1:
                words = f"{count_of(len(rows), 'setting')}, to {_of(share)}"
                self.say(f"rung {rung + 1} of {len(shares)}: {words}")
            signal_number = self._train(numbers, rung, share, num_jobs)
            if signal_number is not None:
                return Outcome(self.result, signal_number)
            rows = self._kept(rows) if share < 1 else rows
            if not rows:
                break
        result = self.result
        best = best_of(result, self.folder)
        result = replace(result, best=best)
        result.write(self.folder)
        return Outcome(result, None)

    def _kept(self, rows: Sequence[Row]) -> list[Row]:
        """The best settings of a rung, one of `FACTOR`, in the order of their trials."""
        names = [row.settings for row in rows]
        found = [row for row in self.result.rows if row.settings in names and not row.is_lost]
        kept = found[: max(1, len(rows) // FACTOR)]
        return sorted(kept, key=lambda row: row.trials[0].number)

    def _train(
        self, numbers: Sequence[int], rung: int, share: Fraction, num_jobs: int
    ) -> int | None:
        """Has trials come to a share of their budget."""
        jobs = []
        for number in numbers:
            trial = replace(self.trials[number], rung=rung)
            run = self.folder / trial.name
            is_there = trial.is_over or (share < 1 and has_reached(run, share))
            if is_there and not trial.is_lost:
                state = trial.state if trial.is_over else "stopped"
                trial = with_figures(replace(trial, state=state), run, share)
            self.trials[number] = trial
            if not is_there:
                jobs.append(number)
        places = {number: f"[{place}/{len(jobs)}]" for place, number in enumerate(jobs, 1)}
        try:
            return run_jobs([self._job(n, share, places[n]) for n in jobs], num_jobs, self.say)
        finally:  # what still ran where the sweep failed was ended
            for trial in list(self.trials.values()):
                if trial.state == "running":
                    self._note(replace(trial, state="interrupted"))

    def _job(self, number: int, share: Fraction, place: str) -> Job:
        """Returns the process that has a trial come to a share of its budget."""
        trial = self.trials[number]
        run, log = self.folder / trial.name, self.folder / f"{trial.name}.log"

        def begins() -> None:
            self._note(replace(trial, state="running"))
            goes_on = " goes on" if (run / "config.json").exists() else ""
            self.say(f"{place} {trial.name}{goes_on}: {_words(trial)}")

        def is_enough() -> bool:
            return share < 1 and has_reached(run, share)

        def ends(code: int, was_enough: bool) -> None:
            ended = after_exit(trial, run, code, log)
            if was_enough and code in STOPPING:
                ended = replace(ended, state="stopped")
            ended = with_figures(ended, run, share)
            self._note(ended)
            self.say(f"{trial.name} {_end_words(ended, share)}")
            self._check_refused()

        return Job(self._command(trial, run), log, begins, is_enough, ends)

    def _command(self, trial: Trial, run: Path) -> list[str]:
        """The words that begin a trial, or go on with it."""
        plan, train = self.plan, [sys.executable, "-m", "rondo", "train", self.plan.task]
        if (run / "config.json").exists():
            return [*train, "--resume", str(run)]
        settings = words_of(trial.settings)
        own = ["--seed", str(trial.seed), "--threads", str(plan.num_threads), "--run", str(run)]
        return [*train, *plan.words, *settings, *own]

    def _note(self, trial: Trial) -> None:
        """Keeps what a trial has become."""
        self.trials[trial.number] = trial
        self.result.write(self.folder)

    def _check_refused(self) -> None:
        """Raises `RunError` where trials are refused for one reason, and none has begun."""
        names = [trial for trial in self.trials.values() if trial.state != "waiting"]
        reasons = [trial.reason for trial in names if trial.state == "failed"]
        has_begun = any((self.folder / trial.name / "config.json").exists() for trial in names)
        if not has_begun and len(reasons) >= REFUSED and len(set(reasons)) == 1:
            raise RunError(f"no trial can begin: {reasons[0]}")

    def _notes(self) -> tuple[str, ...]:
        for row in rows_of(tuple(self.trials.values())):
            found = {fingerprint_of(self.folder / trial.name) for trial in row.trials}
            if len(found - {None}) > 1:
                return (OTHER_DATA,)
        return ()


def best_of(result: Result, folder: Path) -> Best | None:
    """Returns the best setting with its test, which is looked at only now; None if all is lost."""
    ended = [row for row in result.rows if row.is_ended]
    if not ended or ended[0] is not result.rows[0]:
        return None
    row = ended[0]
    tests = [test_record(folder / trial.name) or {} for trial in row.trials]
    return Best(
        row.settings,
        tuple(trial.number for trial in row.trials),
        row.val_loss,
        tuple(float(test["loss"]) for test in tests if test.get("loss") is not None),
        tuple(float(test["right"]) for test in tests if test.get("right") is not None),
    )


def _of(share: Fraction) -> str:
    return "the end" if share == 1 else f"{share_text(share)} of the budget"


def _words(trial: Trial) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in trial.settings.items())
    return f"{settings}, seed {trial.seed}"


def _end_words(trial: Trial, share: Fraction) -> str:
    """How a trial ended, for the user."""
    if trial.is_lost:
        return f"{trial.state}: {trial.reason}"
    if trial.state == "interrupted":
        return "was interrupted"
    state = f"stopped at {share_text(share)}" if trial.state == "stopped" else trial.state
    return f"{state}: val loss {trial.figures.val_loss:.4g}"
