"""Several processes that train together: the bits of one alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine_cases import case_run
from ranks_program import NUM_SHARDS, case_of
from rondo.data.batch import Batch
from rondo.errors import RunError
from rondo.training.dealing import Dealt
from rondo.training.ranks import Ranks, check_ranks
from rondo.training.records import read_records
from rondo.training.running_figures import RunningFigures
from rondo.training.score import Tally

TESTS = Path(__file__).parent
NAMES = ("final", "streams", "normalised")
TIMES = ("seconds", "per_second")
CPU = torch.device("cpu")


def together(
    folder: Path, number: int, names: Sequence[str] = NAMES, *, fatal: int | None = None
) -> list[subprocess.CompletedProcess[str]]:
    """Trains cases by several processes; returns how each ended."""
    folder.mkdir(exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    words = [",".join(names), *([] if fatal is None else [str(fatal)])]
    command = [sys.executable, str(TESTS / "ranks_program.py"), str(folder)]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(number), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in range(number)
    ]
    said = [process.communicate(timeout=300) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


def alone(folder: Path, names: Sequence[str] = NAMES) -> Path:
    for name in names:
        case_run(folder / name, case_of(name), num_shards=NUM_SHARDS).fit()
    return folder


def assert_same(first: Path, second: Path, names: Sequence[str] = NAMES) -> None:
    """Fails where two folders hold other weights or other figures."""
    for name in names:
        one, other = (folder / name for folder in (first, second))
        weights = [(path / "model.safetensors").read_bytes() for path in (one, other)]
        assert weights[0] == weights[1], name
        assert records(one) == records(other), name


def records(run: Path) -> list[dict[str, Any]]:
    found = read_records(run / "metrics.jsonl", print)
    return [{name: value for name, value in one.items() if name not in TIMES} for one in found]


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_give_the_bits_of_one(number: int, tmp_path: Path) -> None:
    """Dropout, augmentation, batch normalisation and a state that streams carry included."""
    ended = together(tmp_path / "several", number)
    assert [process.returncode for process in ended] == [0] * number, ended
    assert_same(alone(tmp_path / "one"), tmp_path / "several")


def test_a_run_whose_process_was_killed_goes_on_alone(tmp_path: Path) -> None:
    """The others end, naming what happened; then one process goes on to the same bits."""
    names = ["streams"]
    first, last = together(tmp_path / "several", 2, names, fatal=5)
    assert last.returncode == -9
    assert first.returncode == 1
    assert "RankLostError: rank 0 of 2 cannot go on" in first.stderr
    alone(tmp_path / "several", names)
    assert_same(alone(tmp_path / "one", names), tmp_path / "several", names)


# ---- the parts ----


def test_shards_are_dealt_out_as_subtrees() -> None:
    assert [[*Ranks(4, rank).mine(8)] for rank in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(RunError, match="2 shards of a batch cannot be dealt out evenly to 3"):
        check_ranks(Ranks(3, 0), 2, CPU)
    check_ranks(Ranks(2, 1), 8, CPU)
    with pytest.raises(RunError, match="2 processes train on the CPU alone"):
        check_ranks(Ranks(2, 1), 8, torch.device("meta"))


class Told(Ranks):
    """A rank that is told what others gave."""

    others: Any = None

    def gathered(self, value: Any) -> list[Any]:
        return [value, *self.others]


def test_batches_that_go_on_stay_with_one_rank() -> None:
    batches = [
        Batch(torch.zeros(1, 1), torch.zeros(1), continues=continues)
        for continues in (False, True, False, False, True, True)
    ]
    dealt = [Dealt(batches, Ranks(2, rank)) for rank in range(2)]
    assert [len([*one]) for one in dealt] == [5, 1]
    assert [one.numbers for one in dealt] == [[0, 1, 3, 4, 5], [2]]


def test_what_ranks_measure_is_put_in_the_order_of_the_batches() -> None:
    ranks = Told(2, 0)
    object.__setattr__(ranks, "others", [(False, {1: Tally(2.0)})])
    dealt = Dealt([Batch(torch.zeros(1, 1), torch.zeros(1))] * 3, ranks)
    found = [Tally(float(number)) for number, _ in zip((1, 3), dealt, strict=True)]
    assert dealt.in_order(found) == [Tally(1.0), Tally(2.0), Tally(3.0)]
    object.__setattr__(ranks, "others", [(True, {})])
    assert dealt.in_order(found) is None


def test_running_figures_are_those_of_torch() -> None:
    """Put together shard by shard, they are what calls one after the other make of them."""
    x = torch.randn(4, 6, 3)
    plain, sharded = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    figures = RunningFigures(sharded)
    for shard, part in enumerate(x):
        plain(part)
        with figures.of_shard(shard):
            sharded(part)
    assert sharded.running_mean is not None
    assert not sharded.running_mean.any()
    figures.finish(Ranks())
    torch.testing.assert_close(sharded.state_dict(), plain.state_dict())
    with pytest.raises(RunError, match="without a momentum"):
        RunningFigures(nn.BatchNorm1d(3, momentum=None))


# ---- the command ----

WORDS = [
    *("--sequences", "96", "--hidden-size", "4", "--batch-size", "16", "--threads", "1"),
    *("--report", "false"),
]
SHARDS = ["--set", "recipe.num_shards=4", "--set", "recipe.dropout=0.3", "--set", "check_every=48"]


def command(folder: Path, *before: str, devices: Sequence[str] = ()) -> Path:
    """Runs `rondo train adding`, started by some command; returns the run folder."""
    words = [*(before or ("-m",)), "rondo", "train", "adding", "--run", str(folder), *devices]
    done = subprocess.run(
        [sys.executable, *words, *WORDS, *SHARDS],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_command_starts_processes_or_joins_those_that_torchrun_started(tmp_path: Path) -> None:
    one = command(tmp_path / "one")
    own = command(tmp_path / "own", devices=["--devices", "2"])
    started = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    theirs = command(tmp_path / "theirs", *started)
    weights = [(run / "model.safetensors").read_bytes() for run in (one, own, theirs)]
    assert weights[0] == weights[1] == weights[2]
    assert records(one) == records(own) == records(theirs)
