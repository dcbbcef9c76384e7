"""Reinforcement learning with a recurrent policy: torch's LSTM and Rondo's, in turn.

RecurrentPPO of sb3-contrib on CartPole, with its default policy: an actor and a critic with an LSTM
of 256 units each. `rondo.accelerate` gives the same policy Rondo's layers. A turn plays and learns
for some steps of the environment; the policy steps one row at a time while it plays, and learns
from sequences of many lengths. What plays and learns apart is timed too.

    pip install sb3-contrib
    python benchmarks/recurrent_ppo.py [--rounds 5] [--steps 1024] [--threads 1] [--output DIR]
"""

from __future__ import annotations

import argparse
import textwrap
import time
from pathlib import Path
from typing import Any

import torch
from sb3_contrib import RecurrentPPO

import rondo
from kept_runs import note, write_page
from rondo.bench.measure import Spread, busy_note

PARTS = ("playing", "learning")


class Side:
    """A policy that learns, and the time that each part of it takes.

    Args:
        is_ours: Whether its layers are Rondo's.
        num_steps: Steps of the environment between two changes of the policy.
    """

    def __init__(self, *, is_ours: bool, num_steps: int) -> None:
        self.model: Any = RecurrentPPO(
            "MlpLstmPolicy", "CartPole-v1", n_steps=num_steps, seed=0, device="cpu"
        )
        if is_ours:
            rondo.accelerate(self.model.policy)
        self.model.learn(num_steps)  # compiles; and sets up what a turn continues
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def take(self, num_steps: int) -> None:
        """Plays and learns once more."""
        model = self.model
        begin = time.perf_counter()
        model.collect_rollouts(model.env, _callback(model), model.rollout_buffer, num_steps)
        middle = time.perf_counter()
        model.train()
        end = time.perf_counter()
        for part, seconds in zip(PARTS, (middle - begin, end - middle), strict=True):
            self.seconds[part].append(seconds)


def _callback(model: Any) -> Any:
    callback = model._init_callback(None)
    callback.on_training_start(locals(), globals())
    return callback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    busy = busy_note()
    ours, theirs = (Side(is_ours=own, num_steps=arguments.steps) for own in (True, False))
    for number in range(arguments.rounds):
        for side in (ours, theirs):
            side.take(arguments.steps)
        note(f"round {number + 1} of {arguments.rounds}")
    rows = [row_of(part, ours, theirs, arguments.steps) for part in PARTS]
    sections = ["\n".join([HEAD, *rows])]
    if busy is not None:
        sections.append(textwrap.fill(f"Not quiet: {busy}.", 98))
    title = "A recurrent policy that plays and learns"
    write_page(arguments.output / "recurrent_ppo.md", title, NOTES, sections, None)


def row_of(part: str, ours: Side, theirs: Side, num_steps: int) -> str:
    """One row of the table."""
    times = [Spread(tuple(side.seconds[part])).scaled(1e3 / num_steps) for side in (ours, theirs)]
    ratio = times[1].over(times[0])
    low, high = ratio.shown
    return (
        f"| {part} | {times[0].median:.3g} | {times[1].median:.3g} | {ratio.median:.2f} "
        f"({low:.2f} to {high:.2f}) |"
    )


HEAD = (
    "| what | Rondo, ms a step | torch.nn, ms a step | torch.nn over Rondo (range) |\n"
    "|---|---|---|---|"
)

NOTES = """\
RecurrentPPO of sb3-contrib on CartPole with its default policy: an actor and a critic, each with an
LSTM of 256 units; batches of 128 steps, 10 passes over what was played. Both sides take turns in
one process. Times are of one step of the environment, medians over the rounds; above 1, Rondo is
faster.
"""


if __name__ == "__main__":
    main()
