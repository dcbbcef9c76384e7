"""`rondo sweep`: what is swept over, trials in processes of their own, and what is made of them."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from commands import Run, check_answered_in_one_line, command_that_is_ended
from rondo.errors import RunError
from rondo.report.plots import standalone
from rondo.sweep.files import page
from rondo.sweep.parallel import loss_scale, parallel, scale_of
from rondo.sweep.plan import Plan, checked_axes, make_plan, plan_from, settings_of
from rondo.sweep.processes import Job, run_jobs
from rondo.sweep.result import Best, Result, read_sweep, spread
from rondo.sweep.run import OTHER_DATA, Sweep, resume
from rondo.sweep.space import Choices, Range, axes_of, axis_of, drawn, grid
from rondo.sweep.table import lines_of, markdown
from rondo.sweep.trial import Figures, Trial, after_exit, figures_of, num_parameters_of
from rondo.system.lock import FolderLock
from run_records import without_times

PLAN = Plan(
    "adding", ("--length", "20"), ("recipe.cell=gru,lstm", "recipe.learning_rate=log:1e-4:1e-1"),
    "random", 3, 1, 0, 1,
)  # fmt: skip


def silent(line: str) -> None:
    pass


def nothing_refused(words: Any) -> None:
    pass


# --- what is swept over


def test_lists_and_ranges_are_read_from_words() -> None:
    assert axis_of("model=cnn_1, cnn_2") == Choices("model", ("cnn_1", "cnn_2"))
    sizes = "recipe.image_sizes=((0.5, 0.5), (0.5, 1)),((1, 1),)"
    assert axis_of(sizes) == Choices("recipe.image_sizes", ("((0.5, 0.5), (0.5, 1))", "((1, 1),)"))
    assert axis_of("recipe.dropout=0.0:0.5") == Range("recipe.dropout", 0, 0.5, False, False)
    assert axis_of("length=20:100") == Range("length", 20, 100, False, True)
    assert axis_of("recipe.learning_rate=log:1e-4:1e-2").is_log  # type: ignore[union-attr]
    assert axis_of("data=a:b") == Choices("data", ("a:b",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("recipe.dropout", "takes NAME=VALUES, .* but is 'recipe.dropout'"),
        ("=1,2", "takes NAME=VALUES"),
        ("recipe.dropout=", "a value of recipe.dropout is empty"),
        ("recipe.cell=gru,", "a value of recipe.cell is empty in 'gru,'"),
        ("recipe.cell=gru,lstm,gru", "has the value gru twice"),
        ("recipe.dropout=0.5:0.1", "from its lower to its higher end, .* is 0.5:0.1"),
        ("recipe.dropout=0.5:0.5", "from its lower to its higher end"),
        ("recipe.learning_rate=log:0:1", "must begin above 0, .* begins at 0"),
        ("recipe.learning_rate=log:1e-3", "must be log:LOW:HIGH, two numbers"),
        ("recipe.learning_rate=1:1e999", "must be finite, but are 1 and 1e999"),
    ],
)
def test_what_is_no_list_and_no_range_is_refused(words: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        axis_of(words)


def test_a_name_is_swept_over_once() -> None:
    with pytest.raises(RunError, match="given twice for hidden-size"):
        axes_of(["hidden_size=8", "hidden-size=16"])
    with pytest.raises(RunError, match="given twice for dropout"):
        axes_of(["recipe.dropout=0:0.5", "dropout=0.1"])


def test_a_grid_is_all_combinations() -> None:
    assert grid(axes_of(["a=1,2", "b=x,y"])) == [
        {"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "2", "b": "x"}, {"a": "2", "b": "y"},
    ]  # fmt: skip
    with pytest.raises(RunError, match="a grid takes lists, and a is a range"):
        grid(axes_of(["a=1:2"]))


def test_draws_lie_in_their_ranges_and_depend_on_the_name_the_seed_and_the_number() -> None:
    axes = axes_of(["rate=log:1e-4:1e-1", "size=4:6", "cell=gru,lstm"])
    found = drawn(axes, 200, seed=0)
    rates = [float(settings["rate"]) for settings in found]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    shares = [sum(low <= rate < 10 * low for rate in rates) for low in (1e-4, 1e-3, 1e-2)]
    assert all(40 < share < 95 for share in shares)  # each power of ten about as often
    assert {settings["size"] for settings in found} == {"4", "5", "6"}
    assert {settings["cell"] for settings in found} == {"gru", "lstm"}
    assert found[:5] == drawn(axes, 5, seed=0)
    assert found[:5] != drawn(axes, 5, seed=1)
    alone = drawn(axes[:1], 5, seed=0)
    assert [settings["rate"] for settings in alone] == [s["rate"] for s in found[:5]]


def test_no_setting_is_drawn_twice() -> None:
    lists = axes_of(["a=1,2", "b=1,2,3"])
    assert drawn(lists, 10, seed=0) == grid(lists)
    found = drawn(lists, 5, seed=0)
    assert len({tuple(settings.items()) for settings in found}) == 5
    assert len(drawn(axes_of(["a=1:3"]), 10, seed=0)) == 3


# --- the plan


def plan_of(*over: str, **given: Any) -> Plan:
    rest = {"method": None, "num_trials": None, "num_seeds": 1, "seed": 0, "num_threads": 1}
    return make_plan("adding", ["--length", "20"], over, **{**rest, **given})


def test_the_method_follows_from_what_is_swept_over() -> None:
    assert plan_of("recipe.cell=gru,lstm").method == "grid"
    assert plan_of("recipe.dropout=0:0.5").method == "random"
    assert plan_of("recipe.dropout=0:0.5").num_trials == 16
    assert plan_of("recipe.cell=gru,lstm", num_trials=2).method == "random"


@pytest.mark.parametrize(
    ("num_trials", "shares"), [(1, ["1"]), (4, ["1/3", "1"]), (9, ["1/9", "1/3", "1"]),
                               (26, ["1/9", "1/3", "1"]), (27, ["1/27", "1/9", "1/3", "1"])],
)  # fmt: skip
def test_the_rungs_of_halving(num_trials: int, shares: list[str]) -> None:
    plan = plan_of("recipe.dropout=0:0.5", method="halving", num_trials=num_trials)
    assert plan.shares == tuple(map(Fraction, shares))
    assert plan_of("recipe.dropout=0:0.5").shares == (1,)


@pytest.mark.parametrize(
    ("over", "given", "message"),
    [
        ((), {}, "nothing is swept over"),
        (("a=1",), {"method": "gird"}, "there is no method 'gird'; did you mean 'grid'"),
        (("a=1",), {"method": "grid", "num_trials": 2}, "leave out --trials"),
        (("recipe.num_epochs=1,2",), {"method": "halving"}, "halving deals out the budget itself"),
        (("epochs=1,2",), {"method": "halving"}, "so epochs cannot be swept over"),
        (("seed=1,2",), {}, "--seed is not for the trials of a sweep"),
        (("a=1",), {"seed": -1}, "the seed must be 0 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(
    over: tuple[str, ...], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        plan_of(*over, **given)
    with pytest.raises(RunError, match="--run is not for the trials"):
        make_plan(
            "adding", ["--run=x"], ["a=1"],
            method=None, num_trials=None, num_seeds=1, seed=0, num_threads=1,
        )  # fmt: skip


def test_ends_written_as_whole_numbers_are_whole_where_training_wants_that() -> None:
    plan = plan_of("recipe.dropout=0:0.9", "recipe.hidden_size=4:8", "recipe.weight_decay=0:1")
    axes = checked_axes(plan, nothing_refused, ())
    assert [axis.is_whole for axis in axes if isinstance(axis, Range)] == [False, True, False]
    with pytest.raises(RunError, match=r"there is no recipe.droput; did you mean 'dropout'"):
        checked_axes(plan_of("recipe.droput=0:0.9"), nothing_refused, ())
    with pytest.raises(RunError, match="the dropout must be at least 0 and below 1, but is 1"):
        checked_axes(plan_of("recipe.dropout=0:1"), nothing_refused, ())
    with pytest.raises(RunError, match=r"this task does not use recipe\.mirror"):
        checked_axes(plan_of("recipe.mirror=0,1"), nothing_refused, ("mirror",))


def test_a_plan_survives_its_file() -> None:
    values = json.loads(json.dumps(Result(PLAN, ()).to_dict()))["plan"]
    assert plan_from(values) == PLAN
    with pytest.raises(TypeError, match="its plan must have"):
        plan_from({**values, "more": 1})


# --- the figures of a run


def run_folder(path: Path, losses: list[float | None], **recipe: Any) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"recipe": recipe}))
    records = []
    for number, loss in enumerate(losses, 1):
        place = {"num_seen": 100 * number, "seconds": float(number), "epoch": number}
        records.append({"split": "train", "loss": 9.0, **place})
        records.append({"split": "val", "loss": loss, "right": number / 10, **place})
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return path


def test_the_figures_are_those_of_the_best_check_up_to_a_share_of_the_budget(
    tmp_path: Path,
) -> None:
    epochs = run_folder(tmp_path / "a", [0.5, 0.4, 0.6, 0.1], num_epochs=4, num_sequences=9)
    assert figures_of(epochs, Fraction(1, 4)) == Figures(0.5, 0.1, 100, 1.0, 0.25)
    assert figures_of(epochs, Fraction(3, 4)) == Figures(0.4, 0.2, 300, 3.0, 0.75)
    assert figures_of(epochs, Fraction(1)) == Figures(0.1, 0.4, 400, 4.0, 1.0)
    examples = run_folder(tmp_path / "b", [None, 0.4], num_epochs=None, num_sequences=200)
    assert figures_of(examples, Fraction(1, 3)) == Figures(math.inf, None, 100, 1.0, 0.5)
    thirds = run_folder(tmp_path / "c", [0.5, 0.4], num_epochs=None, num_sequences=300)
    assert figures_of(thirds, Fraction(1, 3)).val_loss == 0.5
    assert figures_of(tmp_path / "none", Fraction(1)) == Figures()


def test_seeds_that_saw_different_data_are_told_of(tmp_path: Path) -> None:
    trials = [Trial(number, {"a": "1"}, number) for number in (1, 2)]
    for trial, digest in zip(trials, ("x", "x"), strict=True):
        run_folder(tmp_path / trial.name, [])
        (tmp_path / trial.name / "config.json").write_text(f'{{"data_fingerprint": "{digest}"}}')
    assert Sweep(PLAN, tmp_path, trials, silent).result.notes == ()
    (tmp_path / "trial-002" / "config.json").write_text('{"data_fingerprint": "y"}')
    assert Sweep(PLAN, tmp_path, trials, silent).result.notes == (OTHER_DATA,)


def test_how_a_process_ended_is_told(tmp_path: Path) -> None:
    log, run = tmp_path / "log", run_folder(tmp_path / "a", [0.5], num_epochs=1)
    log.write_text("rondo: there is no cell 'x'\nmore words\n")
    trial = Trial(1, {}, 0)
    found = after_exit(trial, run, 2, log)
    assert (found.state, found.reason) == ("failed", "there is no cell 'x'")
    assert after_exit(trial, run, 0, log).state == "ended"
    assert after_exit(trial, run, 143, log).state == "interrupted"
    killed = after_exit(trial, run, -9, log)
    assert killed.reason == "it was ended by SIGKILL; is there enough memory?"
    log.write_text("Traceback\nKeyError: 'x'\n")
    assert after_exit(trial, run, 1, log).reason == "KeyError: 'x'"
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"split": "train", "loss": null, "diverged": true}\n')
    assert after_exit(trial, run, 2, log).state == "diverged"


# --- processes


def job(folder: Path, name: str, code: str, told: list[Any], is_enough: Any = bool) -> Job:
    return Job(
        [sys.executable, "-c", code],
        folder / f"{name}.log",
        lambda: told.append(f"{name} begins"),
        is_enough,
        lambda code, was_enough: told.append((name, code, was_enough)),
    )


def test_no_more_processes_run_than_are_asked_for(tmp_path: Path) -> None:
    told: list[Any] = []
    jobs = [job(tmp_path, name, f"print('{name}'); raise SystemExit(3)", told) for name in "abc"]
    assert run_jobs(jobs, 1, silent) is None
    assert told == [
        "a begins", ("a", 3, False), "b begins", ("b", 3, False), "c begins", ("c", 3, False),
    ]  # fmt: skip
    assert (tmp_path / "b.log").read_text() == "b\n"


def test_a_process_that_has_done_enough_is_asked_to_end(tmp_path: Path) -> None:
    told: list[Any] = []
    began = time.monotonic()
    jobs = [job(tmp_path, "a", "import time; time.sleep(60)", told, lambda: True)]
    assert run_jobs(jobs, 1, silent) is None
    assert told[1] == ("a", -signal.SIGTERM, True)
    assert time.monotonic() - began < 50


def test_ctrl_c_is_passed_on_first_as_a_request_and_then_to_end_at_once(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))"
        "; print('ready', flush=True); time.sleep(60); time.sleep(60)"
    )
    log, told, said = tmp_path / "a.log", list[Any](), list[str]()
    sent: list[str] = []

    def is_enough() -> bool:
        heard = log.read_text().split()
        if len(sent) < len(heard) < 3:  # Ctrl-C when it is ready, and again once it was asked
            sent.append(heard[-1])
            os.kill(os.getpid(), signal.SIGINT)
        return False

    jobs = [job(tmp_path, "a", code, told, is_enough), job(tmp_path, "b", "", told)]
    assert run_jobs(jobs, 1, said.append) == signal.SIGINT
    assert sent == ["ready", "asked"]
    assert told == ["a begins", ("a", -signal.SIGINT, False)]  # and b never began
    assert said == ["ending after the batches that are computed; press Ctrl-C again to end at once"]


def test_processes_are_ended_where_the_sweep_itself_fails(tmp_path: Path) -> None:
    def fails() -> bool:
        raise RunError("it is a test")

    pid_file = tmp_path / "pid"
    code = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(RunError, match="it is a test"):
        run_jobs([job(tmp_path, "a", code, [], lambda: pid_file.exists() and fails())], 1, silent)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


# --- the table, the picture and the page


def result() -> Result:
    def trial(number: int, rate: str, loss: float, **more: Any) -> Trial:
        settings = {"recipe.cell": "gru", "recipe.learning_rate": rate}
        return Trial(number, settings, 0, figures=Figures(loss, 0.5, 100, 2.0, 1.0), **more)

    trials = (
        trial(1, "0.01", 0.5, state="ended", num_parameters=1234),
        trial(2, "0.0001", 0.02, state="ended"),
        trial(3, "0.1", math.inf, state="diverged", reason="the loss of step 3 is inf"),
    )
    best = Best(trials[1].settings, (2,), 0.02, (0.03,), (0.6,))
    return Result(PLAN, trials, best)


def test_the_table_is_sorted_by_val_and_shows_the_test_of_the_best_alone() -> None:
    lines = lines_of(result())
    assert [line.split()[0] for line in lines[:4]] == ["trial", "2", "1", "3"]
    assert lines[2].split() == ["1", "gru", "0.01", "0.5", "50.0", "%", "100", "2.0", "1,234",
                                "ended"]  # fmt: skip
    assert lines[3].split() == ["3", "gru", "0.1", "-", "-", "-", "-", "-", "diverged"]
    assert lines[5] == (
        "best: recipe.cell gru, recipe.learning_rate 0.0001 (trial 2); test: loss 0.03, right "
        "60.0 %"
    )
    assert "chosen by their val loss alone" in lines[6]
    assert lines[7] == "trial-003 diverged: the loss of step 3 is inf"
    text = markdown(result())
    assert text.startswith("# Sweep of adding\n\nrondo train adding --length 20, over recipe.cell")
    assert "| 2 | gru | 0.0001 | 0.02 | 50.0 % | 100 | 2.0 | - | ended |" in text


def test_seeds_of_a_setting_share_a_row_with_their_mean_and_spread() -> None:
    trials = tuple(
        Trial(n, {"a": value}, n % 2, "ended", figures=Figures(loss, 0.5, 10, 1.0, 1.0))
        for n, (value, loss) in enumerate([("x", 0.3), ("x", 0.1), ("y", 0.25), ("y", 0.19)], 1)
    )
    found = Result(PLAN, trials)
    assert [row.settings["a"] for row in found.rows] == ["x", "y"]
    assert "0.2 (0.1 to 0.3)" in lines_of(found)[1]
    assert "1,2" in lines_of(found)[1]
    lost = Trial(1, {"a": "x"}, 1, "diverged", "it is a test", figures=trials[0].figures)
    found = Result(PLAN, (lost, *trials[1:]))
    assert [row.settings["a"] for row in found.rows] == ["y", "x"]
    assert lines_of(found)[2].endswith("1 diverged, 1 ended")
    assert spread([1.0], "{:g}".format) == "1"


def test_the_picture_of_a_sweep() -> None:
    svg = parallel(result())
    root = ElementTree.fromstring(standalone(svg))
    assert root.tag.endswith("svg")
    assert "prefers-color-scheme: dark" in standalone(svg)
    for text in ("cell", "learning_rate", "val loss", "gru", "0.001", "best", "failed or diverged"):
        assert f">{text}<" in svg
    assert ElementTree.fromstring(parallel(Result(PLAN, result().trials[2:]))) is not None


def test_a_log_range_has_a_log_axis() -> None:
    scale = scale_of(Range("recipe.learning_rate", 1e-4, 1e-2, True, False))
    assert scale.place("1e-3") == pytest.approx(0.5)
    assert [text for _, text in scale.ticks] == ["0.0001", "0.001", "0.01"]
    whole = scale_of(Range("size", 4, 16, False, True))
    assert all(text.isdecimal() for _, text in whole.ticks)
    assert whole.place("10") == pytest.approx(0.5)
    places = [at for at, _ in loss_scale([0.001, 0.00101, 4.0]).ticks]
    assert min(b - a for a, b in pairwise(places)) > 0.05
    assert loss_scale([0.3]).place("0.3") == 0.5
    assert [at for at, _ in scale_of(Choices("a", ("x", "y", "z"))).ticks] == [0, 0.5, 1]


def test_the_page_of_a_sweep_stands_alone() -> None:
    text = page(result(), parallel(result()))
    assert not re.search(r"(src|href)=['\"]?(http|/|\w+\.)", text)
    for part in ("Sweep of adding", "<svg", "the loss of step 3 is inf", "test: loss 0.03"):
        assert part in text


# --- real trainings


FIXED = (
    *("--length", "20", "--sequences", "1536", "--hidden-size", "4"),
    *("--set", "recipe.check_every=512"),
)
OVER = ("--over", "recipe.learning_rate=1e-2,1e30,3e-2")
WORDS = ("sweep", "adding", *FIXED, *OVER, "--jobs", "2", "--threads", "1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rondo import cli

    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    assert cli.main([*WORDS, "--sweep", str(folder)]) == 1
    return folder


def records_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return without_times([json.loads(line) for line in lines])


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "sweep.json").read_text())
    return found


def test_a_whole_sweep(whole: Path) -> None:
    found = read(whole)
    assert [trial["state"] for trial in found["trials"]] == ["ended", "diverged", "ended"]
    assert "diverged" in found["trials"][1]["reason"]
    first, _, third = (trial["figures"] for trial in found["trials"])
    best = 1 if first["val_loss"] < third["val_loss"] else 3
    assert found["best"]["trials"] == [best]
    records = records_of(whole / f"trial-{best:03}")
    assert found["best"]["test_losses"] == [records[-1]["loss"]]
    assert first["val_loss"] == min(
        r["loss"] for r in records_of(whole / "trial-001") if r["split"] == "val"
    )
    config = json.loads((whole / "trial-003" / "config.json").read_text())
    assert (config["recipe"]["hidden_size"], config["recipe"]["learning_rate"]) == (4, 3e-2)
    assert (config["seed"], config["num_threads"]) == (0, 1)
    assert num_parameters_of(whole / "trial-001") == 4 * 4 * (2 + 4 + 1) + 4 + 1
    assert {path.name for path in whole.iterdir() if path.is_file()} == {
        *("lock", "parallel.svg", "sweep.html", "sweep.json", "sweep.md"),
        *(f"trial-00{number}.log" for number in range(1, 4)),
    }


def test_what_has_ended_is_not_trained_again(rondo: Run, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    code, out, err = rondo(
        "sweep", "adding", *FIXED, *OVER, "--resume", "--sweep", "copy", "--json"
    )
    assert code == 1
    assert "[1/" not in err
    assert json.loads(out)["trials"] == read(whole)["trials"]
    code, out, err = rondo("sweep", "adding", "--resume", "--sweep", "copy", "--seeds", "2")
    assert (code, out) == (2, "")
    assert "was begun with --seeds 1, and asked for is 2" in err
    code, _, err = rondo("sweep", "reber", "--resume", "--sweep", "copy")
    assert code == 2
    assert "copy is a sweep of adding, and not of reber" in err
    code, _, err = rondo(*WORDS, "--sweep", "copy")
    assert code == 2
    assert "copy exists already; give another --sweep, or go on with it by --resume" in err


@pytest.mark.slow
def test_a_sweep_that_is_interrupted_goes_on_to_the_same_numbers(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    words = [*WORDS, "--sweep", str(folder)]
    code, rest = command_that_is_ended(
        words, signal.SIGINT, 0.0, lambda line: line.startswith("trial-002")
    )
    assert code == 130
    assert f"go on with: rondo sweep adding --resume --sweep {folder}" in rest
    states = [trial["state"] for trial in read(folder)["trials"]]
    assert states[1] == "diverged"
    assert {"interrupted", "waiting"} & set(states)
    assert read(folder)["best"] is None
    for run in folder.glob("trial-*/"):
        with FolderLock(run).held(silent):  # no process holds it any more
            pass
    command = [sys.executable, "-m", "rondo", "sweep", "adding", "--resume", "--sweep", str(folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert read(folder)["best"] == read(whole)["best"]
    for name in ("trial-001", "trial-003"):
        assert records_of(folder / name) == records_of(whole / name)


def test_halving_goes_on_with_the_best_to_the_same_numbers(
    rondo: Run, whole: Path, tmp_path: Path
) -> None:
    code, out, err = rondo(*WORDS, "--method", "halving", "--trials", "3", "--sweep", "halved")
    assert code == 1
    assert "rung 1 of 2: 3 settings, to 1/3 of the budget" in err
    assert "rung 2 of 2: 1 setting, to the end" in err
    found = read(tmp_path / "halved")
    trials = {trial["name"]: trial for trial in found["trials"]}
    (best,) = found["best"]["trials"]
    kept, left = ("trial-001", "trial-003") if best == 1 else ("trial-003", "trial-001")
    first = {
        name: next(r for r in records_of(whole / name) if r["split"] == "val") for name in trials
        if trials[name]["state"] != "diverged"
    }  # fmt: skip
    assert first[kept]["loss"] < first[left]["loss"]
    assert trials[left]["figures"]["val_loss"] == first[left]["loss"]
    assert trials[left]["figures"]["num_seen"] == 512
    assert (trials[kept]["state"], trials[kept]["rung"]) == ("ended", 1)
    assert records_of(tmp_path / "halved" / kept) == records_of(whole / kept)
    assert out.splitlines()[1].split()[0] == str(best)
    assert trials[left]["state"] in ("stopped", "ended")  # it may have been faster than the look


def test_a_sweep_that_no_trial_can_begin_ends(rondo: Run, tmp_path: Path) -> None:
    code, out, err = rondo(
        "sweep", "adding", "--length", "5", "--over", "recipe.hidden_size=4,8,16", "--jobs", "2",
        "--sweep", "x",
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert "no trial can begin: the length must be 20 or more, but is 5" in err.splitlines()[-1]
    states = [trial["state"] for trial in read(tmp_path / "x")["trials"]]
    assert states.count("failed") == 2
    assert {"waiting", "interrupted"} & set(states)


# --- wrong use


def test_a_sweep_is_written_by_one_process_at_a_time(whole: Path) -> None:
    with FolderLock(whole).held(silent), pytest.raises(RunError, match="is in use by this proc"):
        resume(whole, 1, silent)
    with (
        FolderLock(whole / "trial-001").held(silent),
        pytest.raises(RunError, match="trial-001 is still trained by another process"),
    ):
        resume(whole, 1, silent)


def test_a_damaged_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no sweep in .*; leave out --resume"):
        read_sweep(tmp_path)
    for text, message in (
        ("{", "cannot be read"),
        ('{"format": 9}', "is of format 9, and this version goes on with format 1"),
        ('{"format": 1, "plan": {}}', "cannot be read .*its plan must have"),
    ):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(RunError, match=message):
            read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sweep", "rondo sweep needs TASK; see"),
        ("sweep --over a=1 adding", "needs TASK before --over"),
        ("sweep addin --over a=1", "there is no task 'addin'; did you mean 'adding'"),
        ("sweep adding", "nothing is swept over; give --over NAME=VALUES"),
        ("sweep adding --over recipe.learning_rat=1", "there is no recipe.learning_rat; did you"),
        ("sweep adding --over recipe.mirror=0,1", "this task does not use recipe.mirror"),
        ("sweep adding --over hiden-size=8,16", "--hiden-size'; did you mean '--hidden-size'"),
        ("sweep adding --lenght 20 --over recipe.cell=gru", "did you mean '--length'"),
        ("sweep adding --set recipe.x=1 --over recipe.cell=gru", "there is no recipe.x"),
        ("sweep adding --over recipe.cell=gru,lst", "there is no cell 'lst'"),
        ("sweep adding --over recipe.hidden_size=8,x", "must be a whole number, but is 'x'"),
        ("sweep adding --over recipe.cell=gru --jobs 99999", "--jobs must be from 1 to .* 99999"),
        ("sweep adding --over recipe.cell=gru --jobs 0", "must be a whole number of 1 or more"),
        ("sweep adding --over recipe.cell=gru --run x", "--run is not for the trials"),
        ("sweep adding --resume", "there is no sweep of adding in .*runs; name its folder"),
        ("sweep adding --resume --sweep file", "there is no sweep in file"),
        ("sweep adding --over recipe.cell=gru --sweep file", "file exists already"),
        ("sweep adding --over recipe.cell=gru --sweep file/x", "cannot make .*another --sweep"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_settings_follow_from_the_plan() -> None:
    plan = plan_of("a=1,2", "b=1,2", num_trials=3)
    assert settings_of(plan, plan.axes) == drawn(plan.axes, 3, seed=0)
    assert settings_of(plan_of("a=1,2"), axes_of(["a=1,2"])) == [{"a": "1"}, {"a": "2"}]
