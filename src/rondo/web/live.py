"""A training on a task that tells, piece by piece, how it goes and how far its gradient reaches."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

from torch import Tensor

from rondo.tasks.registry import definition_of, task_names
from rondo.training import GradientFlow, gradient_flow
from rondo.training.engine import Score
from rondo.training.network import description, new_engine
from rondo.training.request import Request, make_config

PIECE_SECONDS = 0.4
"""How long a piece of the training takes."""

FLOW_SHARE = 0.25
"""Which share of the time goes into measuring the gradient."""

LENGTH = 30
"""The length that the page suggests at most: it asks for memory, and is learnt in minutes."""

NUM_PROBED = 16
"""The sequences that the gradient is measured on."""


@cache
def tasks() -> dict[str, dict[str, Any]]:
    """Returns the tasks that draw their own sequences, with what they say of themselves.

    Example:
        >>> from rondo.web.live import tasks
        >>> tasks()["copy"]["length"]
        20
    """
    found = {}
    for definition in map(definition_of, task_names()):
        if definition.takes_data:
            continue
        length = getattr(definition.options(), "length", None)
        recipe = next(iter(definition.recipes.values()))
        found[definition.name] = {
            "summary": f"{definition.summary[0].upper()}{definition.summary[1:]}.",
            "length": None if length is None else min(LENGTH, length),
            "cell": recipe.cell,
            "hidden_size": recipe.hidden_size,
            "learning_rate": recipe.learning_rate,
        }
    return found


class LiveTraining:
    """A training that goes on as long as somebody asks for its next piece.

    Args:
        name: The task.
        request: What is asked for, as for `rondo train`.

    Raises:
        RunError: Where an option cannot be used.

    Example:
        >>> from rondo.training.request import Request
        >>> from rondo.web.live import LiveTraining
        >>> small = Request({"length": 2}, recipe={"hidden_size": 2, "num_sequences": 64})
        >>> training = LiveTraining("parity", small)
        >>> sorted(training.advance()["flow"])
        ['gates', 'norms']
    """

    def __init__(self, name: str, request: Request) -> None:
        definition = definition_of(name)
        config, task, _ = make_config(definition, request)
        self.description = description(definition, config, task)
        self.trainer = new_engine(definition, config, task)
        self.probe = task.source.training_batch(config.seed + 1, 0, NUM_PROBED)
        self.flow_seconds, self.flow_at = 0.0, -math.inf
        self.diverged = ""

    @property
    def is_done(self) -> bool:
        """Whether it is solved, has seen all sequences that it may, or has diverged."""
        return self.trainer.is_done or bool(self.diverged)

    def advance(self) -> dict[str, Any]:
        """Trains for a piece; returns where the training then stands, for JSON.

        The first piece is the measurement of the gradient before training. A piece in which the
        training diverges says so, and is the last one.
        """
        progress = self.trainer.progress
        losses, checks = ([], []) if progress.step == 0 and self.flow_at < 0 else self._train()
        progress = self.trainer.progress
        return {
            "sequences": self._num_seen,
            "budget": self.trainer.budget,
            "speed": progress.num_seen / max(progress.seconds, 1e-9),
            "loss": _finite(sum(losses) / len(losses)) if losses else None,
            "diverged": self.diverged,
            "checks": checks,
            "unit": self.trainer.task.unit,
            "solved": progress.solved,
            "flow": self._flow() if self._is_flow_due or self.is_done else None,
        }

    def _train(self) -> tuple[list[float], list[dict[str, Any]]]:
        """Trains for a piece; returns the losses of its steps and its checks."""
        losses, checks = [], []
        began = time.monotonic()
        while not self.is_done and time.monotonic() - began < PIECE_SECONDS:
            self.trainer.train_step()
            loss = self.trainer.last_loss
            if not math.isfinite(loss):
                self.diverged = (
                    f"the training has diverged: the loss of step {self.trainer.progress.step} is "
                    f"{loss:g}; take a learning rate below {self.trainer.recipe.learning_rate:g}"
                )
                break
            losses.append(loss)
            score = self.trainer.check() if self.trainer.must_check else None
            if score is not None:
                checks.append(self._check(score))
                self.trainer.begin_interval()
        return losses, checks

    def _check(self, score: Score) -> dict[str, Any]:
        return {"sequences": self._num_seen, "loss": _finite(score.loss), "right": score.right}

    @property
    def _num_seen(self) -> int:
        """The sequences of the budget that were seen; the last batch may go beyond it."""
        return min(self.trainer.progress.num_seen, self.trainer.budget)

    @property
    def _is_flow_due(self) -> bool:
        return time.monotonic() - self.flow_at >= self.flow_seconds / FLOW_SHARE

    def _flow(self) -> dict[str, Any]:
        began = time.monotonic()
        flow = gradient_flow(self.trainer.model, self.probe.inputs, lengths=self.probe.lengths)
        self.flow_at = time.monotonic()
        self.flow_seconds = self.flow_at - began
        return flow_numbers(flow)


def flow_numbers(flow: GradientFlow) -> dict[str, Any]:
    """Returns a gradient flow for JSON: norms, and gates in percent, a line for each unit."""
    return {
        "norms": {name: [_finite(x) for x in norms.tolist()] for name, norms in flow.norms.items()},
        "gates": {name: _lines(values) for name, values in flow.gates.items() if values.numel()},
    }


def _lines(values: Tensor) -> list[list[int]]:
    """A gate (T, H) as lines of percent, those of the lowest mean last."""
    order = values.mean(0).argsort(descending=True)
    return (100 * values[:, order].T).nan_to_num().round().int().tolist()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
