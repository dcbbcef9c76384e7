"""Timing in turn, and what machine it is."""

from __future__ import annotations

import datetime
import math
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import rondo
from rondo.compiler.c_compiler import NoCompilerError, compiler, compiler_version
from rondo.system.processor import processor_names

Run = Callable[[], object]

FEW_ROUNDS = 8
"""Of fewer rounds the quartiles say little, and all of the spread is shown."""

BUSY = 0.5
"""The mean number of other processes that wait for a core, for each core, from which on times say
little."""


@dataclass(frozen=True)
class Spread:
    """A number that was measured once in each round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the values lie."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def shown(self) -> tuple[float, float]:
        """What is shown of the spread: the quartiles; of few rounds the lowest and the highest."""
        if len(self.values) < FEW_ROUNDS:
            return min(self.values), max(self.values)
        return self.quartiles

    @property
    def tells_nothing(self) -> bool:
        """Whether a ratio may as well be 1: what is shown of its spread covers 1."""
        low, high = self.shown
        return low <= 1 <= high

    def over(self, other: Spread) -> Spread:
        """The ratio to what was measured in the same rounds."""
        pairs = zip(self.values, other.values, strict=True)
        return Spread(tuple(a / b for a, b in pairs))

    def minus(self, other: Spread) -> Spread:
        """The difference to what was measured in the same rounds."""
        pairs = zip(self.values, other.values, strict=True)
        return Spread(tuple(a - b for a, b in pairs))

    def scaled(self, factor: float) -> Spread:
        """Every value times a factor."""
        return Spread(tuple(factor * value for value in self.values))


class Turns:
    """Times all in turn, so that a noisy machine hits all alike; every second round backwards.

    Args:
        runs: What to time, by name. Each is first called twice to warm up.
        turn_s: How long a turn takes at least, in seconds: what is quicker is called repeatedly.
        pause_s: How long nothing runs before a turn, where threads of others stay awake.
    """

    def __init__(self, runs: Mapping[str, Run], turn_s: float = 0.0, pause_s: float = 0.0) -> None:
        self.runs = runs
        self.pause_s = pause_s
        self.num_calls = {name: _num_calls(run, turn_s) for name, run in runs.items()}
        self.times: dict[str, list[float]] = {name: [] for name in runs}
        self.num_rounds = 0

    def take(self) -> None:
        """Gives each its turn."""
        for name in reversed(list(self.runs)) if self.num_rounds % 2 else self.runs:
            time.sleep(self.pause_s)
            self.times[name].append(_turn(self.runs[name], self.num_calls[name]))
        self.num_rounds += 1

    def spreads(self) -> dict[str, Spread]:
        """The time of one call in each round, in seconds."""
        return {name: Spread(tuple(values)) for name, values in self.times.items()}


def take_turns(
    runs: Mapping[str, Run], num_rounds: int, turn_s: float = 0.0, pause_s: float = 0.0
) -> dict[str, Spread]:
    """Returns the time of one call in each of so many rounds, in seconds; see `Turns`."""
    turns = Turns(runs, turn_s, pause_s)
    for _ in range(num_rounds):
        turns.take()
    return turns.spreads()


def take_turns_for(
    runs: Mapping[str, Run],
    seconds: float,
    turn_s: float,
    least: int,
    most: int,
    pause_s: float = 0.0,
) -> dict[str, Spread]:
    """Returns the same of as many rounds as fit some time, in seconds; the warm-up is not counted.

    Args:
        runs: What to time, by name.
        seconds: The time.
        turn_s: How long a turn takes at least.
        least: How many rounds there are, however long they take.
        most: Of more rounds nothing is learnt.
        pause_s: How long nothing runs before a turn.
    """
    turns = Turns(runs, turn_s, pause_s)
    end = time.perf_counter() + seconds
    while turns.num_rounds < least or (turns.num_rounds < most and time.perf_counter() < end):
        turns.take()
    return turns.spreads()


def _num_calls(run: Run, turn_s: float) -> int:
    run()
    return max(1, math.ceil(turn_s / _turn(run, 1)))


def _turn(run: Run, num_calls: int) -> float:
    """The mean time of some calls in seconds; of several, one more goes before them."""
    if num_calls > 1:
        run()
    began = time.perf_counter()
    for _ in range(num_calls):
        run()
    return (time.perf_counter() - began) / num_calls


def machine() -> dict[str, str]:
    """Processor, threads, versions, compiler, date and command, as every result states them."""
    flags = "AVX-512 bf16" if torch.cpu._is_avx512_bf16_supported() else "no AVX-512 bf16"
    names, num_threads = processor_names(), torch.get_num_threads()
    return {
        "machine": f"{names[0]}, {len(names)} cores, {flags}; torch uses "
        f"{num_threads} thread{'s' if num_threads > 1 else ''}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"rondo {rondo.__version__}",
        "kernels": _kernels(),
        "date": datetime.date.today().isoformat(),
        "command": f"`{_command()}`",
    }


def busy_note() -> str | None:
    """Returns a line where other processes use the machine, as of the last minute; or None."""
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < BUSY * cores:
        return None
    return (
        f"the machine was busy before: a mean of {load:.1f} processes ran on {cores} cores; times "
        "and ratios may be those of the other processes"
    )


def machine_lines() -> str:
    """The same as a list in Markdown."""
    return "".join(f"- {name}: {text}\n" for name, text in machine().items())


def _kernels() -> str:
    """What compiles them; without a compiler all is Rondo's reference engine."""
    try:
        return f"compiled by {compiler_version(compiler()).partition(chr(10))[0]}"
    except NoCompilerError as error:
        return f"none, the reference engine runs: {error}"


def _command() -> str:
    """What was typed, but for where the program is installed."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        words = ["python", "-m", program.parent.name]
    elif program.suffix == ".py":
        words = ["python", program.name if program.is_absolute() else str(program)]
    else:
        words = [program.name]
    return shlex.join([*words, *sys.argv[1:]])
