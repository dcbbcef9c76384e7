"""What may happen to a run folder, of photos and of sequences alike: both must answer the same."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cases import slow_beyond
from commands import STUCK_S, Run
from rondo.system import files
from rondo.system.digests import digest_file
from rondo.tasks.registry import definition_of, folder_of
from rondo.training import divergence, fit, run_files, saving
from rondo.training.divergence import DivergedError
from rondo.training.engine import Engine, is_empty
from rondo.training.request import Request, make_config
from rondo.training.run_paths import make_run_path
from run_records import TIMES

PHOTO = (
    *("train", "photo", "--num-drawn", "16", "--image-size", "32", "--model", "fcnn_1"),
    *("--epochs", "2", "--batch-size", "4", "--threads", "1", "--precision", "float32"),
)
SEQUENCES = (
    *("train", "adding", "--length", "20", "--hidden-size", "4", "--batch-size", "32"),
    *("--sequences", "4096", "--threads", "1"),
)
WORDS = {"photo": PHOTO, "adding": SEQUENCES}

both = pytest.mark.parametrize("task", WORDS)
both_slowly = pytest.mark.parametrize("task", slow_beyond(WORDS, ["adding"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each task."""
    found = {}
    for task, words in WORDS.items():
        path = tmp_path_factory.mktemp(task) / "run"
        command = [sys.executable, "-m", "rondo", *words, "--run", str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=STUCK_S)
        found[task] = path
    return found


@pytest.fixture
def copied(finished: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copies the finished run of a task to the folder `mine`."""

    def copy(task: str) -> Path:
        return Path(shutil.copytree(finished[task], tmp_path / "mine"))

    return copy


def records_in(path: Path) -> list[dict[str, Any]]:
    """The records, which must be JSON that any program can read."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    return [{key: value for key, value in r.items() if key not in TIMES} for r in records]


def assert_same_run(one: Path, other: Path) -> None:
    assert records_in(one) == records_in(other)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def last_line(err: str) -> str:
    return err.splitlines()[-1]


# --- the lock


@both
def test_a_second_training_in_a_folder_is_refused(
    rondo: Run, copied: Callable[[str], Path], task: str
) -> None:
    path = copied(task)
    with folder_of(path).held(print):
        code, out, err = rondo("train", task, "--resume", str(path))
    assert (code, out) == (2, "")
    assert last_line(err) == (
        f"rondo: {path} is in use by this process; let it end, or end it, and try again"
    )
    assert rondo("train", task, "--resume", str(path))[0] == 0


@both
def test_a_resume_beside_a_training_names_its_process(
    rondo: Run, tmp_path: Path, task: str
) -> None:
    """The training stands still in a signal handler's place, holding its folder."""
    more = ("--epochs", "1000") if task == "photo" else ("--sequences", "100000000")
    command = [sys.executable, "-m", "rondo", *WORDS[task], *more, "--run", "mine"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("run folder mine" in line for line in process.stderr)
        code, _, err = rondo("train", task, "--resume", "mine")
        assert code == 2
        assert f"in use by process {process.pid} on {os.uname().nodename}; let it end" in err
        process.kill()
    assert (tmp_path / "mine" / "lock").exists()
    with folder_of(tmp_path / "mine").held(print):
        pass


@both
def test_a_folder_without_locks_is_trained_in_and_told(
    rondo: Run, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    from rondo.system import lock

    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    code, _, err = rondo("train", task, "--resume", str(copied(task)))
    assert code == 0
    assert "mine cannot be locked (Function not implemented): see to it" in err


@both
def test_a_folder_that_cannot_be_written_is_told(
    rondo: Run, copied: Callable[[str], Path], task: str
) -> None:
    path = copied(task)
    (path / "lock").unlink()
    (path / "lock").mkdir()  # opening it fails, for root too
    code, _, err = rondo("train", task, "--resume", str(path))
    assert code == 2
    assert last_line(err) == f"rondo: cannot write {path}: Is a directory"


def test_two_new_runs_never_get_one_folder(tmp_path: Path) -> None:
    paths = [make_run_path("adding", tmp_path / "runs") for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(path.is_dir() for path in paths)


# --- records


@both_slowly
@pytest.mark.parametrize("torn", ['{"split": "va', '{"split": "val"', "\0\0\0", '"text"\n', "\x80"])
def test_a_torn_last_line_is_dropped_and_told(
    rondo: Run, finished: dict[str, Path], copied: Callable[[str], Path], task: str, torn: str
) -> None:
    path = copied(task)
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(torn.encode("latin-1"))
    number = len((finished[task] / "metrics.jsonl").read_text().splitlines()) + 1
    code, _, err = rondo("train", task, "--resume", str(path))
    assert code == 0
    assert f"mine/metrics.jsonl: the last line, {number}, is torn and is dropped" in err
    assert_same_run(finished[task], path)


@both
def test_a_line_that_was_torn_is_written_again_from_the_state(
    rondo: Run, finished: dict[str, Path], copied: Callable[[str], Path], task: str
) -> None:
    path = copied(task)
    metrics = path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    assert rondo("train", task, "--resume", str(path))[0] == 0
    assert_same_run(finished[task], path)


@both_slowly
@pytest.mark.parametrize("damage", ['{"split": "va\n', "[]\n", '{"loss": 1}\n', "\x80\n"])
def test_a_damaged_line_in_the_middle_is_named(
    rondo: Run, copied: Callable[[str], Path], task: str, damage: str
) -> None:
    path = copied(task)
    metrics = path / "metrics.jsonl"
    first, rest = metrics.read_bytes().split(b"\n", 1)
    metrics.write_bytes(first + b"\n" + damage.encode("latin-1") + rest)
    code, _, err = rondo("train", task, "--resume", str(path))
    assert code == 2
    assert re.match(rf"rondo: {metrics}: line 2 is damaged \(.*\); mend or remove", last_line(err))


# --- weights


@pytest.fixture
def readers() -> dict[str, list[tuple[str, ...]]]:
    """The commands that read the weights of each task, but for what they are to read."""
    photo = [("evaluate", "mine"), ("predict", "mine", "a.png"), ("web", "mine", "--port", "0")]
    return {
        "photo": [*photo, ("train", "photo", "--resume", "mine")],
        "adding": [("evaluate", "mine"), ("train", "adding", "--resume", "mine")],
    }


def flip(path: Path, where: float) -> None:
    contents = bytearray(path.read_bytes())
    contents[int(where * (len(contents) - 1))] ^= 1
    path.write_bytes(contents)


@both_slowly
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: flip(path, 0.0),
        lambda path: flip(path, 0.5),
        lambda path: flip(path, 1.0),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
    ],
    ids=["first byte", "middle byte", "last byte", "truncated", "empty"],
)
def test_damaged_weights_are_refused_by_all_that_read_them(
    rondo: Run,
    copied: Callable[[str], Path],
    readers: dict[str, list[tuple[str, ...]]],
    task: str,
    spoil: Callable[[Path], None],
) -> None:
    spoil(copied(task) / "model.safetensors")
    for words in readers[task]:
        code, out, err = rondo(*words)
        assert (code, out) == (2, "")
        assert re.match(
            r"rondo: mine/model\.safetensors is not the file that the run wrote: its SHA-256 is "
            rf".* names .*: it was damaged or replaced; put back .* `rondo train {task} --resume",
            last_line(err),
        )


@both_slowly
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(
    rondo: Run,
    copied: Callable[[str], Path],
    readers: dict[str, list[tuple[str, ...]]],
    task: str,
    value: float,
) -> None:
    folder = folder_of(copied(task))
    model, origin = folder.read_model_and_origin()
    weights = model.state_dict()
    name = next(iter(weights))
    weights[name].view(-1)[-1] = value
    folder.write_weights(weights, origin)
    for words in readers[task]:
        code, _, err = rondo(*words)
        assert code == 2
        assert f"mine/model.safetensors holds NaN or infinite numbers in {name}" in last_line(err)


def test_weights_of_another_run_are_refused(
    rondo: Run, copied: Callable[[str], Path], finished: dict[str, Path], tmp_path: Path
) -> None:
    """Of another task, or of other sizes, brought along with their digest."""
    path = copied("adding")
    rondo(*SEQUENCES, "--hidden-size", "5", "--sequences", "64", "--run", "wider")
    rondo("train", "reber", "--hidden-size", "4", "--sequences", "64", "--run", "reber")
    for other, message in (
        (tmp_path / "wider", "its hidden size is 5, and the run's 4"),
        (tmp_path / "reber", "its task is reber, and the run's adding"),
        (finished["photo"], "its task is photo, and the run's adding"),
    ):
        for name in ("model.safetensors", "model.safetensors.sha256"):
            shutil.copy(other / name, path / name)
        code, _, err = rondo("train", "adding", "--resume", "mine")
        assert code == 2
        assert re.search(message, last_line(err))
        assert "mine/model.safetensors" in last_line(err)


@both
def test_weights_that_were_removed_are_written_again(
    rondo: Run, finished: dict[str, Path], copied: Callable[[str], Path], task: str
) -> None:
    path = copied(task)
    (path / "model.safetensors").unlink()
    assert rondo("train", task, "--resume", "mine")[0] == 0
    assert_same_run(finished[task], path)


@both_slowly
@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_damaged_state_is_refused(
    rondo: Run, finished: dict[str, Path], copied: Callable[[str], Path], task: str, where: float
) -> None:
    path = copied(task)
    flip(path / "resume" / "state.pt", where)
    code, _, err = rondo("train", task, "--resume", "mine")
    assert code == 2
    assert "mine/resume/state.pt is not the file that the run wrote" in last_line(err)
    assert "or remove mine/resume to begin the run from its start" in last_line(err)
    shutil.rmtree(path / "resume")
    assert rondo("train", task, "--resume", "mine")[0] == 0
    assert_same_run(finished[task], path)


@both
def test_a_state_of_another_network_is_refused(
    rondo: Run, copied: Callable[[str], Path], task: str
) -> None:
    folder = folder_of(copied(task))
    saved = folder.read_saved()
    assert saved is not None
    saved["model"] = {"other": torch.zeros(3)}
    folder.write_state(saved)
    code, _, err = rondo("train", task, "--resume", "mine")
    assert code == 2
    assert "mine/resume/state.pt is the state of another network than that of" in last_line(err)


def test_runs_of_older_versions_have_no_digests_and_no_records_in_their_state(
    rondo: Run, finished: dict[str, Path], copied: Callable[[str], Path]
) -> None:
    folder = folder_of(copied("adding"))
    state = folder.read_state()
    assert state is not None
    folder.write_state(state)
    for file in (folder.state_file, folder.model_file):
        digest_file(file).unlink()
    assert rondo("train", "adding", "--resume", "mine")[0] == 0
    assert_same_run(finished["adding"], folder.path)


@both_slowly
@pytest.mark.parametrize("place", ["safetensors", "torch.load", "load_state_dict"])
def test_a_lack_of_memory_says_nothing_against_a_file(
    rondo: Run,
    copied: Callable[[str], Path],
    finished: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    place: str,
) -> None:
    """Nobody is told to remove what is whole."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    path = copied(task)
    with monkeypatch.context() as patch:
        if place == "safetensors":
            patch.setattr(run_files, "load", fail)
        elif place == "torch.load":
            patch.setattr(torch, "load", fail)
        else:
            (path / "model.safetensors").unlink()
            patch.setattr(torch.nn.Module, "load_state_dict", fail)
        code, _, err = rondo("train", task, "--resume", "mine")
    assert code == 2
    assert last_line(err) == (
        "rondo: there is not enough memory (DefaultCPUAllocator: can't allocate memory: you tried "
        "to allocate 9); nothing saved before is lost"
    )
    assert rondo("train", task, "--resume", "mine")[0] == 0
    assert_same_run(finished[task], path)


# --- kills

KILLED = """
import os, sys
from rondo import cli
from rondo.system import files
replace, left = files.Path.replace, [int(sys.argv[1])]
def replace_or_die(self, target):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)
    found = replace(self, target)
    if left[0] == 1 and sys.argv[2] == "after":
        os.kill(os.getpid(), 9)
    return found
files.Path.replace = replace_or_die
sys.exit(cli.main(sys.argv[3:]))
"""
"""Runs a command that is killed before or after one of the files that it writes gets its name."""


@pytest.mark.slow
@both_slowly
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_of_its_files_goes_on_to_the_same_numbers(
    rondo: Run, finished: dict[str, Path], tmp_path: Path, task: str, when: str
) -> None:
    for number in range(1, 100):
        path = tmp_path / f"run-{number}"
        command = [
            sys.executable,
            "-c",
            KILLED,
            str(number),
            when,
            *WORDS[task],
            "--run",
            str(path),
        ]
        done = subprocess.run(command, check=False, capture_output=True, timeout=STUCK_S)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        if (path / "config.json").exists():
            code, _, err = rondo("train", task, "--resume", str(path))
        else:
            code, _, err = rondo(*WORDS[task], "--run", str(path))
        assert code == 0, err
        assert_same_run(finished[task], path)
        assert not list(path.rglob(f"{files.PREFIX}*"))
    assert 10 < number < 99


@both
def test_a_run_is_saved_before_its_first_step(
    rondo: Run,
    finished: dict[str, Path],
    tmp_path: Path,
    task: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "train_step", die)
        with pytest.raises(Killed):
            rondo(*WORDS[task], "--run", "mine")
    state = folder_of(tmp_path / "mine").read_state()
    assert state is not None
    assert state["progress"]["step"] == 0
    assert rondo("train", task, "--resume", "mine")[0] == 0
    assert_same_run(finished[task], tmp_path / "mine")


@both
def test_a_folder_in_which_nothing_was_saved_can_be_begun_again(
    rondo: Run, tmp_path: Path, task: str
) -> None:
    path = tmp_path / "mine"
    (path / "resume").mkdir(parents=True)
    (path / "lock").touch()
    (path / f"{files.PREFIX}0{files.ENDING}").write_text("{")
    code, _, err = rondo("train", task, "--resume", "mine")
    assert code == 2
    assert f"nothing was saved in it; begin with `rondo train {task} --run mine`" in last_line(err)
    assert rondo(*WORDS[task], "--run", "mine")[0] == 0


# --- numbers that are not finite


@both_slowly
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_training_that_diverges_stops_and_keeps_what_was_saved(
    rondo: Run,
    copied: Callable[[str], Path],
    finished: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    value: float,
) -> None:
    """A run whose settings ask for more, and whose loss is not finite from its fourth step on."""
    path = copied(task)
    config = json.loads((path / "config.json").read_text())
    config["recipe"] |= {"num_epochs": 4} if task == "photo" else {"num_sequences": 5000}
    (path / "config.json").write_text(json.dumps(config))
    kept = {
        file: file.read_bytes() for file in (path / "model.safetensors", path / "resume/state.pt")
    }
    check, count = divergence.check_loss, [0]

    def check_loss(loss: float, *others: Any) -> None:
        count[0] += 1
        check(value if count[0] == 4 else loss, *others)

    monkeypatch.setattr(fit, "check_loss", check_loss)
    code, out, err = rondo("train", task, "--resume", "mine")
    assert (code, out) == (2, "")
    assert re.match(
        rf"rondo: the training has diverged: the loss of step \d+ is {value}\. What was saved "
        r"before it stays as it was\. Begin a new run with a --learning-rate below [\d.]+ or "
        r"a --clip below [12]$",
        last_line(err),
    )
    assert {file: file.read_bytes() for file in kept} == kept
    *before, last = records_in(path)
    assert before == [r for r in records_in(finished[task]) if r["split"] != "test"]
    assert (last["split"], last["diverged"]) == ("train", True)


def test_a_learning_rate_that_is_far_too_high_diverges(rondo: Run, tmp_path: Path) -> None:
    code, _, err = rondo(*SEQUENCES, "--learning-rate", "1e30", "--run", "mine")
    assert code == 2
    assert "the training has diverged: the loss of step 2 is inf" in err
    assert "a --learning-rate below 1e+30 or a --clip below 1" in err
    (record,) = records_in(tmp_path / "mine")
    assert record["loss"] is None
    code, _, err = rondo(*PHOTO, "--learning-rate", "1e38", "--run", "other")
    assert code == 2
    assert "the training has diverged" in err


@both
def test_weights_that_are_not_finite_are_never_saved(
    rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", math.inf)
    step = Engine.train_step

    def spoil(self: Engine) -> None:
        step(self)
        if self.progress.step > 1:
            self.parameters[0].data.view(-1)[0] = math.nan

    def unused_loss(*_: object) -> None:
        pass

    monkeypatch.setattr(Engine, "train_step", spoil)
    monkeypatch.setattr(fit, "check_loss", unused_loss)
    code, _, err = rondo(*WORDS[task], "--run", "mine")
    assert code == 2
    assert re.search(r"diverged: after step \d+ \S+ holds NaN or infinite numbers", last_line(err))
    state = folder_of(tmp_path / "mine").read_state()
    assert state is not None
    assert divergence.first_not_finite(state["model"]) is None


@both
def test_steps_without_a_finite_gradient_are_skipped_and_told(
    rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    backward, count = torch.Tensor.backward, [0]

    def spoiled(self: torch.Tensor, *args: Any, **keywords: Any) -> None:
        count[0] += 1
        factor = math.inf if count[0] in (2, 3) else 1.0
        backward(self, torch.full_like(self, factor), **keywords)

    monkeypatch.setattr(torch.Tensor, "backward", spoiled)
    code, _, err = rondo(*WORDS[task], "--run", "mine")
    assert code == 0
    assert "2 steps changed nothing: no finite gradient, or an empty batch" in err
    assert re.search(r"  2 steps skipped$", err, re.MULTILINE)
    last = [r for r in records_in(tmp_path / "mine") if "skipped_steps" in r][-1]
    assert last["skipped_steps"] == 2
    assert (
        divergence.first_not_finite(folder_of(tmp_path / "mine").read_model().state_dict()) is None
    )


def test_an_empty_batch_is_a_skipped_step() -> None:
    _, task, _ = make_config(definition_of("adding"), Request({"length": 20}, threads=1))
    batch = task.source.training_batch(0, 0, 4)
    assert not is_empty(batch)
    assert batch.lengths is not None
    assert is_empty(type(batch)(batch.inputs, batch.targets, torch.zeros_like(batch.lengths)))
    assert is_empty(type(batch)(batch.inputs[:0], batch.targets[:0], batch.lengths[:0]))


def test_the_error_says_what_to_change() -> None:
    config, _, _ = make_config(definition_of("adding"), Request({"length": 20}, threads=1))
    with pytest.raises(
        DivergedError, match=r"loss of step 7 is nan.*below 0\.005 or a --clip below 1$"
    ):
        divergence.check_loss(math.nan, 7, config.recipe)
    divergence.check_loss(0.0, 7, config.recipe)


# --- threads


@pytest.mark.parametrize(
    "words", ["train photo", "train adding", "train characters", "sweep adding", "bench"]
)
@pytest.mark.parametrize("number", ["1000", "0", "-1", "many"])
def test_a_number_of_threads_is_refused_by_every_command(
    rondo: Run, tmp_path: Path, words: str, number: str
) -> None:
    code, out, err = rondo(*words.split(), "--threads", number)
    assert (code, out) == (2, "")
    assert f"must be from 1 to {os.cpu_count()}, the processors of this machine, but is" in err
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_a_larger_machine_can_be_resumed(
    rondo: Run, copied: Callable[[str], Path]
) -> None:
    path = copied("adding")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(
        json.dumps({**config, "num_threads": 1 + (os.cpu_count() or 1)})
    )
    assert rondo("train", "adding", "--resume", "mine")[0] == 0
