import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.summary.writer.record_writer import RecordWriter

from commands import Run, check_answered_in_one_line
from photo_runs import SIZE, TinyNetwork, add_network, photo_data, run_config, trained_run
from rondo.extras import how_to_install
from rondo.training.run_folder import RunFolder


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    add_network(monkeypatch, TinyNetwork)


def train(rondo: Run, *words: str) -> tuple[int, str, str]:
    return rondo(
        *("train", "photo", "--num-drawn", "16", "--image-size", str(SIZE), "--model", "tiny"),
        *("--epochs", "2", "--batch-size", "8", "--threads", "1", *words),
    )


@pytest.fixture
def last_run(rondo: Run, tmp_path: Path) -> Path:
    return trained_run(tmp_path / "runs" / "photo-1", run_config(photo_data())).path


def image(path: Path, brightness: int = 90) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (40, 40), (brightness, 80, 70)).save(path)
    return path


# --- in a process of its own


def in_process(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rondo", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_reads_like_a_manual() -> None:
    done = in_process("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for part in ("commands:", "examples:", "data:", "a run folder", "exit codes:", "must not be"):
        assert part in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_help_imports_nothing_of_the_photo_extra() -> None:
    program = (
        "import sys; from rondo import cli; cli.build_parser().format_help(); "
        "print([name for name in cli.PHOTO_PACKAGES if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout.replace("'", '"'))) <= {"numpy"}  # torch takes numpy along


def test_a_wrong_word_is_answered_in_one_line() -> None:
    done = in_process("trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "rondo: there is no 'trian' here; did you mean 'train'?; see `rondo --help`\n"
    )


def test_a_missing_package_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['safetensors'] = None; from rondo import cli; "
        "sys.exit(cli.main(['predict', 'x', 'y']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"rondo: safetensors is not installed; {how_to_install('photo')}\n"


def test_keeping_freed_memory_does_no_harm() -> None:
    program = (
        "from rondo.training.memory import keep_freed_memory; keep_freed_memory(); "
        "import torch; print(torch.ones(10_000_000).sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "10000000.0\n"


# --- wrong use


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train foto", "there is no task 'foto'; did you mean 'photo'.*see `rondo train --help`"),
        ("train photo --epcohs 3", "does not take '--epcohs'; did you mean '--epochs'"),
        (
            "train photo --epochs three",
            "--epochs must be a whole number, but is 'three'",
        ),
        ("train photo --epochs 0", "the number of epochs must be 1 or more, but is 0"),
        ("train photo --batch-size -3", "the batch size must be 1 or more, but is -3"),
        ("train photo --num-drawn -1", "number of drawn portraits must be 1 or more, but is -1"),
        ("train photo --image-size 100", "must be a multiple of 32, but is 100; try 96"),
        ("train photo --seed -1", "the seed must be 0 or more, but is -1"),
        ("train photo --model lecture_rn1", "did you mean 'lecture_rnn1'"),
        ("train photo --recipe lectur", "there is no recipe 'lectur'; did you mean 'lecture'"),
        ("train photo --data absent", "absent does not exist: name a folder"),
        ("train photo --resume absent", "there is no run folder absent"),
        ("train photo --resume last", "there is no run in .*`rondo train TASK` makes one"),
        ("train photo --resume x --seed 1 --run y", "leave out --seed, --run"),
        ("train photo --run .", r"\. exists already; give another --run"),
        ("evaluate absent", "there is no run folder absent"),
        ("evaluate .", "is not a run folder"),
        ("predict last", "there is no run in"),
        ("predict --json", "rondo predict needs RUN first; see `rondo predict --help`"),
        ("evaluate --split test", "rondo evaluate needs RUN first; see `rondo evaluate --help`"),
        ("train --epochs 3 photo", "rondo train needs TASK before --epochs; see `rondo train"),
        ("--threads 3 bench", "rondo does not take '--threads'; options of a command stand after"),
        ("TRAIN", "there is no 'TRAIN' here; did you mean 'train'"),
        ("cache list", "rondo cache does not take 'list'; did you mean '--list'"),
        ("train photo --threads 1000", "threads must be from 1 to .*, but is '1000'"),
        ("sample last", "there is no run in .*`rondo train TASK` makes one"),
        ("predict last a.jpg", "there is no run in"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


def test_without_a_command_the_manual_is_shown(rondo: Run) -> None:
    code, out, _ = rondo()
    assert code == 2
    assert "examples:" in out


def test_the_version_is_told(rondo: Run) -> None:
    code, out, _ = rondo("--version")
    assert code == 0
    assert out.startswith("rondo 0.")


def test_a_run_of_another_version_is_refused(rondo: Run, last_run: Path) -> None:
    config = json.loads((last_run / "config.json").read_text())
    (last_run / "config.json").write_text(json.dumps({**config, "format": 0}))
    code, _, err = rondo("predict", "last", "a.png")
    assert code == 2
    assert "cannot use the run runs/photo-1: the run has folder format 0" in err


# --- train


def test_training_ends_with_the_table_and_the_report(rondo: Run, tmp_path: Path) -> None:
    code, out, err = train(rondo)
    assert code == 0
    ended, header, *rows = out.splitlines()
    assert re.match(r"ended after \d+ photos; test: [\d.]+ % right, [\d.]+ nats", ended)
    assert header.split()[:3] == ["split", "photos", "accuracy"]
    assert [row.split()[0] for row in rows[:3]] == ["val", "test", "cross"]
    (run,) = (tmp_path / "runs").iterdir()
    assert rows[-1] == f"report: {(run / 'report.html').as_uri()}"
    assert "What this must not be used for" in (run / "report.html").read_text()
    assert len([line for line in err.splitlines() if line.startswith("epoch ")]) == 3


def test_training_says_nothing_of_its_tools(rondo: Run) -> None:
    _, _, err = train(rondo)
    for word in ("GPU", "TPU", "Warning", "warn", "num_workers", "Tip", "`Trainer", "litlogger"):
        assert word not in err


def test_a_finished_run_can_be_resumed_and_says_the_same(rondo: Run) -> None:
    _, first, _ = train(rondo, "--run", "mine")
    code, second, _ = rondo("train", "photo", "--resume", "mine")
    assert (code, second) == (0, first)


def test_a_full_disk_is_told_in_one_line(rondo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: RunFolder, *args: object) -> None:
        raise OSError(28, "No space left on device", "runs/model")

    monkeypatch.setattr(RunFolder, "write_weights", write)
    code, _, err = train(rondo)
    assert code == 2
    assert err.splitlines()[-1] == (
        "rondo: runs/model: No space left on device; nothing saved before is lost"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (
            RuntimeError("alloc_cpu: can't allocate memory: 4 bytes\nat line 1"),
            "alloc_cpu: .* bytes",
        ),
    ],
    ids=["Python", "threads", "torch"],
)
def test_a_lack_of_memory_is_told_in_one_line(
    rondo: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def write(self: RunFolder, *args: object) -> None:
        raise error

    monkeypatch.setattr(RunFolder, "write_weights", write)
    code, _, err = train(rondo)
    assert code == 2
    assert re.fullmatch(
        rf"rondo: there is not enough memory \({said}\); nothing saved before is lost",
        err.splitlines()[-1],
    )


def test_ctrl_c_when_all_is_done_ends_python_quietly() -> None:
    program = (
        "import atexit, os, sys; from rondo.cli import program; sys.argv = ['rondo', '--version']; "
        "atexit.register(lambda: os.kill(os.getpid(), 2)); program()"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize(("error", "is_told"), [("MemoryError", False), ("KeyError", True)])
def test_a_lack_of_memory_when_all_is_done_is_not_told(error: str, is_told: bool) -> None:
    program = (
        "import atexit, sys; from rondo.cli import program; sys.argv = ['rondo', '--version']\n"
        f"def fail(): raise {error}\n"
        "atexit.register(fail); program()"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert (error.encode() in done.stderr) is is_told


def test_errors_of_our_own_are_not_hidden(rondo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: RunFolder, *args: object) -> None:
        raise RuntimeError("the sizes do not fit")

    monkeypatch.setattr(RunFolder, "write_weights", write)
    with pytest.raises(RuntimeError, match="the sizes do not fit"):
        train(rondo)


def test_a_full_disk_under_tensorboard_is_told_once_and_the_training_goes_on(
    rondo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread fails first, and would print a traceback."""

    def write(self: RecordWriter, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", write)
    code, out, err = train(rondo, "--log", "tensorboard")
    assert code == 0
    assert "Traceback" not in err
    assert err.count("--log tensorboard failed ([Errno 28] No space left on device)") == 1
    assert "ended after" in out


# --- evaluate


def test_evaluation_agrees_with_the_training(rondo: Run) -> None:
    _, trained, _ = train(rondo)
    code, evaluated, _ = rondo("evaluate", "last")
    assert code == 0
    assert trained.split("\n", 1)[1].startswith(evaluated)


def test_one_split_is_evaluated_in_detail(rondo: Run) -> None:
    train(rondo)
    code, out, _ = rondo("evaluate", "last", "--split", "cross")
    assert code == 0
    assert "taken for female" in out
    assert "drawn-harsh" in out
    code, _, err = rondo("evaluate", "last", "--split", "crosss")
    assert code == 2
    assert "there is no split 'crosss'; did you mean 'cross'" in err


def test_evaluation_as_json(rondo: Run) -> None:
    train(rondo)
    _, out, _ = rondo("evaluate", "last", "--json")
    values = json.loads(out)
    assert set(values) == {"val", "test", "cross"}
    assert 0.5 <= values["test"]["majority_rate"] <= 1
    assert sum(map(sum, values["test"]["confusion"])) == values["test"]["accuracy"]["num_photos"]


# --- predict


def test_prediction_goes_on_after_a_broken_image(
    rondo: Run, last_run: Path, tmp_path: Path
) -> None:
    good, other = image(tmp_path / "a.png"), image(tmp_path / "c.png", 200)
    (tmp_path / "b.png").write_bytes(b"broken")
    code, out, _ = rondo("predict", "last", str(good), "b.png", str(other))
    assert code == 1
    header, first, second, third, *notes = out.splitlines()
    assert header.split() == ["answer", "female", "male", "photo"]
    assert first.endswith(str(good))
    assert first.split()[0] in ("female", "male")
    assert second.startswith("unread")
    assert second.count("b.png") == 1
    assert third.endswith(str(other))
    assert "this run has not ended" in notes[0]
    assert "one face that fills the picture" in notes[1]
    assert "made-up drawings" in notes[-1]


def test_prediction_as_json(rondo: Run, last_run: Path, tmp_path: Path) -> None:
    code, out, _ = rondo("predict", str(last_run), str(image(tmp_path / "a.png")), "--json")
    assert code == 0
    (prediction,) = json.loads(out)["predictions"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert prediction["probabilities"][prediction["answer"]] == prediction["probability"] >= 0.5
    assert prediction["error"] is None


def test_prediction_of_a_folder(rondo: Run, last_run: Path, tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg"):
        image(tmp_path / "photos" / name)
    (tmp_path / "photos" / "labels.csv").write_text("file,sex")
    code, out, _ = rondo("predict", "last", "photos")
    assert code == 0
    shown = [line.split()[-1] for line in out.splitlines()[1:3]]
    assert shown == [str(Path("photos/a.jpg")), str(Path("photos/b.PNG"))]
    (tmp_path / "none").mkdir()
    code, out, _ = rondo("predict", "last", "none")
    assert code == 1
    assert "none: the folder holds no image" in out


def test_prediction_of_standard_input(
    rondo: Run, last_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = image(tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(contents)))
    code, out, _ = rondo("predict", "last", "-")
    assert code == 0
    assert "standard input" in out
    monkeypatch.setattr(sys, "stdin", io.StringIO("a.png\n\nabsent.png\n"))
    code, out, _ = rondo("predict", "last", "-", "--from-list")
    assert code == 1
    assert [line.split()[0] == "unread" for line in out.splitlines()[1:3]] == [False, True]
    code, _, err = rondo("predict", "last", "a.png", "--from-list")
    assert code == 2
    assert "--from-list reads paths from standard input" in err
