"""A range test for the learning rate: what the loss does while the rate rises.

In goes an engine at its start; out come rates, the losses of steps with them, smoothed, and the
rate at which the loss fell fastest. The rate of each step is the one before times a constant. The
test ends where the loss is not finite or has risen to several times its least. Afterwards the
engine is as it was, so what it does then is what it would have done.

Smith, "Cyclical learning rates for training neural networks", 2017, who raises the rate linearly
and reads the rate off a picture; the exponential rise, the smoothing and the end at four times the
least loss are those of fast.ai. Known limits: a few dozen steps tell nothing of the end of a
training; and on a task whose loss falls only after thousands of steps there is no suggestion.
"""

from __future__ import annotations

import copy
import math
import statistics
from dataclasses import dataclass

import torch

from rondo.errors import RunError
from rondo.training.engine import Engine

LOWEST, HIGHEST = 1e-7, 10.0
"""The rates of the first and the last step, if not told."""

NUM_STEPS = 100
"""Steps of the test, if not told."""

SMOOTHING = 0.9
"""The share of the mean so far in each smoothed loss."""

MOST_RISE = 4.0
"""The multiple of its least at which the loss has risen far enough."""

NOISE_SHARE = 0.2
"""The share of the steps whose losses, at rates too low to learn, tell how much batches differ."""

NUM_LINES = 20
"""Lines of the table at most."""

BAR_WIDTH = 30
"""The most signs of a bar of the table."""


@dataclass(frozen=True)
class RateSearch:
    """What a range test has found.

    Args:
        rates: The rates of its steps.
        losses: The losses of these steps, smoothed.
        suggestion: The rate at which the loss fell fastest; None where it never fell by more than
            the losses of batches differ at the lowest rates.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None

    def __str__(self) -> str:
        """A table of rates and losses with bars, and what is suggested."""
        num_rows = len(self.rates)
        rows = sorted({row * num_rows // NUM_LINES for row in range(NUM_LINES)} - {num_rows})
        most = max((self.losses[row] for row in rows), default=1.0)
        lines = ["    rate        loss"]
        for row in rows:
            bar = "#" * round(BAR_WIDTH * self.losses[row] / most) if most > 0 else ""
            lines.append(f"{self.rates[row]:8.1e}  {self.losses[row]:10.4g}  {bar}".rstrip())
        return "\n".join([*lines, self.words])

    @property
    def words(self) -> str:
        """What is suggested, in a line."""
        if self.suggestion is None:
            return (
                "no suggestion: the loss fell by no more than batches differ; try more steps, or "
                "the task's own rate"
            )
        return f"the loss falls fastest at {self.suggestion:.1e}: try --learning-rate with that"


def find_learning_rate(
    engine: Engine,
    *,
    num_steps: int = NUM_STEPS,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
) -> RateSearch:
    """Returns what steps at rising rates give; the engine is afterwards as it was before.

    Args:
        engine: The loop of a task, at its start.
        num_steps: Steps at most.
        lowest: The rate of the first step.
        highest: The rate of the last step, if the test gets there.

    Raises:
        RunError: If the numbers are none of a test.
    """
    _check(num_steps, lowest, highest)
    before, loss = copy.deepcopy(engine.state()), engine.last_loss
    generator = torch.get_rng_state()
    try:
        rates, raw = _tried(engine, num_steps, lowest, highest)
    finally:
        engine.load_state(before)
        engine.last_loss = loss
        torch.set_rng_state(generator)
    losses = _smoothed(raw)
    first = raw[: max(2, int(NOISE_SHARE * num_steps))]
    noise = statistics.pstdev(first) if first else 0.0
    suggestion = _steepest(rates, losses, noise, after=len(first))
    return RateSearch(tuple(rates), tuple(losses), suggestion)


def _tried(
    engine: Engine, num_steps: int, lowest: float, highest: float
) -> tuple[list[float], list[float]]:
    """The rates that were tried and the losses of their steps."""
    rates: list[float] = []
    losses: list[float] = []
    growth = (highest / lowest) ** (1 / (num_steps - 1))
    for step in range(num_steps):
        num_done, rate = engine.progress.num_steps, lowest * growth**step
        engine.train_step(rate)
        if engine.progress.num_steps == num_done:
            continue  # the batch was empty
        if not math.isfinite(engine.last_loss):
            break
        rates.append(rate)
        losses.append(engine.last_loss)
        smoothed = _smoothed(losses)
        if smoothed[-1] > MOST_RISE * min(smoothed):
            break
    return rates, losses


def _smoothed(losses: list[float]) -> list[float]:
    """The mean of the losses so far, in which each counts 0.9 of the one after it."""
    found, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = SMOOTHING * total + loss, SMOOTHING * weight + 1
        found.append(total / weight)
    return found


def _steepest(rates: list[float], losses: list[float], noise: float, *, after: int) -> float | None:
    """The rate at which the loss fell fastest on the way to its least, or None where it did not.

    The first losses are means over few batches, so their slopes are those of chance; they are left
    out.
    """
    if not losses:
        return None
    least = losses.index(min(losses))
    if max(losses[: least + 1]) - losses[least] <= noise:
        return None
    slopes = {row: losses[row + 1] - losses[row - 1] for row in range(after, least)}
    return rates[min(slopes, key=slopes.__getitem__)] if slopes else None


def _check(num_steps: int, lowest: float, highest: float) -> None:
    if num_steps < 3:
        raise RunError(f"a search for a learning rate needs 3 steps or more, not {num_steps}")
    if not 0 < lowest < highest < math.inf:
        raise RunError(
            f"the learning rates must rise from above 0, but go from {lowest:g} to {highest:g}"
        )
