"""One run, from its settings and data to its folder, whatever is trained."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from rondo.training.divergence import DivergedError, check_loss
from rondo.training.engine import Engine, Settings
from rondo.training.loggers import Logger
from rondo.training.progress import check_line, check_record, progress_line, train_record
from rondo.training.ranks import ALONE, Ranks
from rondo.training.records import Record
from rondo.training.run_files import RunFiles
from rondo.training.saving import SaveClock
from rondo.training.stopping import StopRequest
from rondo.training.task import Task
from rondo.training.terminal import StatusLine


class RunSettings(Settings, Protocol):
    """What a run was asked to do."""

    @property
    def num_threads(self) -> int:
        """Threads of torch."""
        ...


class Run(Protocol):
    """A run that is ready to train."""

    @property
    def config(self) -> RunSettings:
        """The settings, as in the folder."""
        ...

    @property
    def folder(self) -> RunFiles[Any]:
        """The run folder, already made."""
        ...

    @property
    def task(self) -> Task:
        """The task that the settings name."""
        ...

    def network(self, *, is_new: bool) -> nn.Module:
        """Returns the network; at its start, where the run is new.

        Raises:
            RunError: If the weights that it is to start from cannot be used.
        """
        ...

    def origin(self) -> dict[str, Any]:
        """Returns what stands beside the weights."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        records: What was written down: of each check, and last of the test.
        signal_number: The signal that interrupted it, if one did.
    """

    records: list[Record]
    signal_number: int | None = None


def fit(
    run: Run,
    *,
    say: Callable[[str], None] = print,
    logger: Logger | None = None,
    ranks: Ranks = ALONE,
    before_step: Callable[[Engine], None] = lambda engine: None,
) -> Outcome:
    """Trains to the end, from where the folder's saved state is, if it has one, and tests.

    Args:
        run: The run.
        say: Is given each line for the user.
        logger: Is given the records too.
        ranks: The processes that train it together, each of which calls this; the first of them
            alone reads and writes the folder, and speaks.
        before_step: Is called before each step.

    Raises:
        RunError: If the saved state, or the weights that the run is to start from, cannot be used,
            another process trains in the folder, or the training diverges.
    """
    torch.set_num_threads(run.config.num_threads)
    line = StatusLine(sys.stderr)

    def tell(text: str) -> None:
        line.clear()
        if ranks.is_first:
            say(text)

    stop = StopRequest(tell)
    with ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(run.folder.held(say))
        stack.enter_context(stop.listening())
        if logger is not None:
            stack.callback(logger.close)
        keeper = Keeper(run, stop, tell, logger if ranks.is_first else None, ranks)
        while keeper.has_work():
            before_step(keeper.engine)
            keeper.step()
            if ranks.is_first:
                line.show(lambda: progress_line(keeper.engine))
        line.clear()
        keeper.finish()
    ended_by = None if keeper.is_finished else stop.signal_number or signal.SIGTERM
    return Outcome(keeper.records, ended_by)


class Keeper:
    """The training of a run, with all that is checked, saved, told and written down of it."""

    def __init__(
        self,
        run: Run,
        stop: StopRequest,
        say: Callable[[str], None],
        logger: Logger | None,
        ranks: Ranks,
    ) -> None:
        self.run, self.stop, self.say, self.logger, self.ranks = run, stop, say, logger, ranks
        (state,) = ranks.of_first((run.folder.read_saved(),) if ranks.is_first else None)
        is_new = state is None
        self.engine = Engine(run.config, run.task, lambda: run.network(is_new=is_new), ranks)
        self.clock = SaveClock(has_saved=not is_new)
        self.records: list[Record] = []
        self.is_finished = False
        for note in self.engine.notes:
            say(note)
        self._catch_up(state)

    def has_work(self) -> bool:
        """Whether there is a step to do, and nobody has asked to end."""
        return not self.engine.is_done and not self._is_to_end()

    def _is_to_end(self) -> bool:
        """Whether any rank was asked to end; all must ask this at the same time."""
        return self.ranks.any(bool(self.stop.requested))

    def _catch_up(self, state: dict[str, Any] | None) -> None:
        """Goes to where a saved state is, and does a check that was interrupted."""
        engine, folder = self.engine, self.run.folder
        if state is not None:
            with folder.loading_state():
                engine.load_state(state)
        seen = engine.progress.num_seen
        records = []
        if self.ranks.is_first:
            records = folder.records_of(
                state, lambda record: int(record.get("num_seen", 0)) <= seen, self.say
            )
        self.records = [record for record in records if record["split"] in ("train", "val")]
        if engine.must_check:
            self._check()

    def step(self) -> None:
        """Saves where that is due, trains for a step, and checks where that is due.

        Raises:
            DivergedError: If the loss is not finite; what was saved stays.
        """
        if self.ranks.any(self.ranks.is_first and self.clock.is_due()):
            self.save()
        engine = self.engine
        engine.train_step()
        try:
            check_loss(engine.last_loss, engine.progress.step, engine.recipe)
        except DivergedError:
            self._write_diverged()
            raise
        if engine.must_check:
            self._check()

    def finish(self) -> None:
        """Tests the weights that are kept, unless the training was interrupted, and saves all."""
        engine = self.engine
        if engine.is_done and not engine.must_check:
            kept = engine.kept_weights()
            last = {name: value.clone() for name, value in engine.last_weights().items()}
            engine.predicting_model.load_state_dict(kept)
            batches = self.run.task.source.test_batches()
            score = engine.measure(
                batches, at_end=True, should_stop=lambda: bool(self.stop.requested)
            )
            engine.predicting_model.load_state_dict(last)
            if score is not None:
                self._note(check_record("test", score, engine))
                self.is_finished = True
        self.save()

    def save(self) -> None:
        """Saves what the run needs to go on, and the weights that predict.

        Raises:
            DivergedError: If the weights are not finite; what was saved stays.
        """
        engine, folder = self.engine, self.run.folder
        engine.check_weights()
        with self.clock.saving():
            state = {**engine.state(), "records": self.records}
            if not self.ranks.is_first:
                return
            if engine.progress.step > 0:
                self._write_weights()
            folder.write_metrics(self.records)
            folder.write_state(state)

    def _write_weights(self) -> None:
        """Writes the weights that predict, and the others where there are such."""
        engine, folder, origin = self.engine, self.run.folder, self.run.origin()
        folder.write_weights(engine.kept_weights(), origin)
        others = engine.other_weights()
        if others is not None:
            file = folder.best_file if engine.keeps_last else folder.last_file
            folder.write_weights(others, origin, file)

    def _check(self) -> None:
        """Measures the network and writes that down, unless it is asked to end meanwhile."""
        if self._is_to_end():
            return
        engine = self.engine
        score = engine.check(lambda: bool(self.stop.requested))
        if score is None:
            return
        train, val = train_record(engine), check_record("val", score, engine)
        engine.check_weights()
        self._note(train, val)
        engine.begin_interval()

    def _note(self, *records: Record) -> None:
        """Writes records down, and tells the last."""
        self.records += records
        if self.ranks.is_first:
            self.run.folder.write_metrics(self.records)
        if self.logger is not None:
            self.logger.write(records)
        self.say(check_line(records, self.engine))

    def _write_diverged(self) -> None:
        """Adds to `metrics.jsonl` where the training diverged; no state counts that line."""
        if not self.ranks.is_first:
            return
        record = {
            **train_record(self.engine),
            "loss": self.engine.last_loss,
            "diverged": True,
        }
        self.run.folder.write_metrics([*self.records, record])
