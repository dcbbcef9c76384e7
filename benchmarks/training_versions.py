"""Times trainings of this version beside those of another one.

Processes of both versions take turns. Each trains on a task for a short while; what counts are the
examples a second that `metrics.jsonl` tells, and the time from the start of the process to the
first step, before which the state is saved. What was measured becomes
benchmarks/results/training_versions.md; with --output it is written to a folder instead.

    git worktree add ../before COMMIT
    python benchmarks/training_versions.py ../before/src [--turns 5] [--only NAMES] [--output DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rondo.bench.measure import Spread, machine_lines

RESULTS = Path(__file__).parent / "results" / "training_versions.md"
OURS = Path(__file__).parents[1] / "src"

COMMANDS = {
    "photo64": "photo --num-drawn 512 --epochs 2 --image-size 64",
    "photo128": "photo --num-drawn 192 --epochs 2 --image-size 128",
    "adding": "adding --sequences 6400 --set check_every=3200",
    "reber": "reber --sequences 4096 --set check_every=2048",
    "text": "text --sequences 640 --set check_every=320",
    "actions": "actions --sequences 1920 --set check_every=960",
    "captions": "captions --sequences 1280 --set check_every=640",
}
"""What is trained."""

HEAD = """# Trainings beside those of an earlier version

Processes of the version `{other}` and of this one take turns, {turns} times, each with
`rondo train` and the options of the table and `--threads 2`. Examples a second are those of the
last interval of a training; the first step is told in seconds from the start of the process, with
kernels that were compiled before. Medians over the turns, in brackets the least and the greatest;
a ratio above 1 says that this version is faster.

{machine}
| options | measured | earlier | now | ratio |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Measured:
    """What a training told: examples a second, and seconds to the first step."""

    per_second: float
    first_step: float


def train(source: Path, words: str) -> Measured:
    """Trains in a process of the version that lies in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        began = time.time()
        command = [sys.executable, "-m", "rondo", "train", *words.split(), "--threads", "2"]
        process = subprocess.Popen(
            [*command, "--run", str(run)],
            env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        state = run / "resume" / "state.pt"
        while not state.exists() and process.poll() is None:
            time.sleep(0.005)
        first = time.time() - began
        lines: list[dict[str, object]] = []
        while process.poll() is None:  # the end, with its report, is not what is measured
            lines = records(run / "metrics.jsonl")
            if sum(line["split"] == "train" for line in lines) >= 2:
                process.terminate()
                process.wait()
            time.sleep(0.05)
        lines = records(run / "metrics.jsonl") or lines
    last = [line for line in lines if line["split"] == "train"][-1]
    return Measured(float(str(last["per_second"])), first)


def records(path: Path) -> list[dict[str, object]]:
    """The records that a run has written so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rows(words: str, earlier: list[Measured], now: list[Measured]) -> list[str]:
    """The rows of the table for one training."""
    found = []
    for name, of, is_speed in (
        ("examples a second", lambda one: one.per_second, True),
        ("seconds to the first step", lambda one: one.first_step, False),
    ):
        sides = [Spread(tuple(of(one) for one in side)) for side in (earlier, now)]
        ratio = sides[1].median / sides[0].median
        told = " | ".join(
            f"{one.median:.4g} ({min(one.values):.4g}–{max(one.values):.4g})" for one in sides
        )
        ratio = ratio if is_speed else 1 / ratio
        found.append(f"| `{words}` | {name} | {told} | **{ratio:.2f}** |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="the src folder of another version")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", help="names of trainings with commas between", metavar="NAMES")
    parser.add_argument("--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    lines = []
    wanted = COMMANDS if options.only is None else options.only.split(",")
    for words in (COMMANDS[name] for name in wanted):
        sides: dict[Path, list[Measured]] = {options.other: [], OURS: []}
        for source in sides:
            train(source, words)  # compiles
        for turn in range(options.turns):
            for source in reversed(sides) if turn % 2 else sides:
                sides[source].append(train(source, words))
        lines += rows(words, *sides.values())
        print("\n".join(lines[-2:]), flush=True)
    command = ["git", "-C", str(options.other), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    folder = options.output or RESULTS.parent
    folder.mkdir(parents=True, exist_ok=True)
    head = HEAD.format(
        other=commit or options.other.name, turns=options.turns, machine=machine_lines()
    )
    (folder / RESULTS.name).write_text(head + "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
