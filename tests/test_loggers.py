"""Where records go beside `metrics.jsonl`: each of them once, and no failure ends a training."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from commands import Run
from rondo.errors import RunError
from rondo.training.loggers import LOGGERS, check_names, make_logger
from rondo.training.loggers.csv_table import COLUMNS, table_text
from rondo.training.loggers.logger import Loggers
from rondo.training.loggers.tracker import flat
from rondo.training.records import Record, write_records

CONFIG = {"task": "adding", "recipe": {"cell": "gru", "patience": None}, "words": "w" * 9000}
RECORDS: list[Record] = [
    {"split": "train", "step": 5, "num_seen": 200, "loss": 0.5, "per_second": 3.0},
    {"split": "val", "step": 5, "num_seen": 200, "loss": 0.4, "right": None, "solved": False},
    {"split": "train", "step": 9, "num_seen": 400, "loss": 0.3, "per_second": 4.0},
    {"split": "val", "step": 9, "num_seen": 400, "loss": 0.2, "right": 0.75, "solved": True},
    {"split": "test", "step": 9, "num_seen": 400, "loss": 0.25, "right": 0.5, "solved": True},
]


class Heard:
    """Hears what the user is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)


def logged(
    words: str | None, path: Path, parts: Sequence[Sequence[Record]], heard: Heard | None = None
) -> None:
    """Gives parts of the records to a logger, as a training does."""
    path.mkdir(exist_ok=True)
    logger = make_logger(words, path, CONFIG, Heard() if heard is None else heard)
    assert logger is not None
    for records in parts:
        write_records(path / "metrics.jsonl", RECORDS[: RECORDS.index(records[-1]) + 1])
        logger.write(records)
    logger.close()


def logged_with_a_break(words: str, path: Path) -> Heard:
    """A training that was interrupted after its second check and did that check again."""
    heard = Heard()
    logged(words, path, [RECORDS[:2], RECORDS[2:4]], heard)
    logged(None, path, [RECORDS[2:4], RECORDS[4:]], heard)
    return heard


# ---- which loggers ----


def test_nobody_who_does_not_ask_has_a_logger(tmp_path: Path) -> None:
    assert make_logger(None, tmp_path, CONFIG) is None
    assert make_logger("none", tmp_path, CONFIG) is None
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_names("csv, csv") == ["csv"]
    with pytest.raises(RunError, match="there is no logger 'tensorbord'; did you mean 'tensorbo"):
        check_names("csv,tensorbord")
    with pytest.raises(RunError, match="there is no logger ''"):
        check_names("csv,")
    with pytest.raises(RunError, match="--log none stands alone, but is 'csv,none'"):
        check_names("csv,none")
    for name in LOGGERS:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
        if name != "csv":
            with pytest.raises(RunError, match=rf"^{name} is not installed; do.*pip install .*"):
                check_names(name)


def test_a_run_that_goes_on_has_its_loggers(tmp_path: Path) -> None:
    assert make_logger("csv", tmp_path, CONFIG) is not None
    assert make_logger(None, tmp_path, CONFIG) is not None
    assert make_logger("none", tmp_path, CONFIG) is None
    assert make_logger(None, tmp_path, CONFIG) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"names": "csv"}', '{"names": [], "runs": 3, "sent": {}}']
)
def test_a_damaged_file_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "loggers.json").write_text(text)
    with pytest.raises(RunError, match=r"loggers\.json (cannot be read|is damaged).*; remove it"):
        make_logger(None, tmp_path, CONFIG)


def test_settings_are_sent_flat() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


# ---- csv ----


def test_the_table_has_a_line_for_each_record(tmp_path: Path) -> None:
    logged_with_a_break("csv", tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["split"], row["loss"], row["right"]) for row in rows] == [
        ("train", "0.5", ""),
        ("val", "0.4", ""),
        ("train", "0.3", ""),
        ("val", "0.2", "0.75"),
        ("test", "0.25", "0.5"),
    ]


def test_other_figures_have_columns_of_their_own() -> None:
    lines = table_text([{"split": "val", "loss": 1.0}, {"split": "val", "=f": "=x"}]).splitlines()
    assert lines[0] == ",".join(COLUMNS) + ",'=f"
    assert lines[1].endswith(",")
    assert lines[2].endswith(",'=x")


def test_a_training_writes_the_table(rondo: Run) -> None:
    """The records of a real training have the columns that stand first."""
    rondo(
        *[
            "train",
            "parity",
            "--length",
            "4",
            "--hidden-size",
            "4",
            "--sequences",
            "64",
            "--run",
            "r",
            "--threads",
            "1",
        ]
    )
    assert len(Path("r/metrics.jsonl").read_text().splitlines()) == 3
    logger = make_logger("csv", Path("r"), {})
    assert logger is not None
    logger.write([])
    assert Path("r/metrics.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


# ---- failures ----


class Failing:
    """A logger of which something fails."""

    def __init__(self, in_write: Exception | None, in_close: Exception | None) -> None:
        self.in_write, self.in_close, self.num_calls = in_write, in_close, 0

    def write(self, records: Sequence[Record]) -> None:
        self.num_calls += 1
        if self.in_write is not None:
            raise self.in_write

    def close(self) -> None:
        self.num_calls += 1
        if self.in_close is not None:
            raise self.in_close


def test_one_that_fails_is_told_once_and_left_out() -> None:
    heard = Heard()
    full, closed, good = (
        Failing(OSError(28, "No space left on device"), None),
        Failing(None, ConnectionError()),
        Failing(None, None),
    )
    loggers = Loggers({"a": full, "b": closed, "c": good}, heard)
    for _ in range(3):
        loggers.write(RECORDS)
    loggers.close()
    assert (full.num_calls, closed.num_calls, good.num_calls) == (1, 4, 4)
    assert heard.lines == [
        "--log a failed ([Errno 28] No space left on device); the training goes on without it, "
        "and metrics.jsonl holds all figures",
        "--log b failed (ConnectionError); the training goes on without it, and metrics.jsonl "
        "holds all figures",
    ]


def test_ctrl_c_is_not_a_failure() -> None:
    class Interrupted(Failing):
        def write(self, records: Sequence[Record]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Loggers({"a": Interrupted(None, None)}, Heard()).write(RECORDS)


def test_a_folder_that_is_gone_ends_no_training(tmp_path: Path) -> None:
    heard = Heard()
    path = tmp_path / "run"
    path.mkdir()
    logger = make_logger("csv", path, CONFIG, heard)
    (path / "loggers.json").unlink()
    path.rmdir()
    assert logger is not None
    logger.write(RECORDS)
    logger.close()
    assert len(heard.lines) == 1
    assert "--log csv failed" in heard.lines[0]


# ---- the packages themselves ----


def test_tensorboard_gets_each_figure_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert logged_with_a_break("tensorboard", tmp_path).lines == []
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = {
        name: [(event.step, round(event.value, 4)) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    assert found == {
        "train/loss": [(200, 0.5), (400, 0.3)],
        "train/per_second": [(200, 3.0), (400, 4.0)],
        "val/loss": [(200, 0.4), (400, 0.2)],
        "val/right": [(400, 0.75)],
        "test/loss": [(400, 0.25)],
        "test/right": [(400, 0.5)],
    }


@pytest.mark.filterwarnings("ignore")
def test_mlflow_gets_each_figure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert logged_with_a_break("mlflow", tmp_path / "run").lines == []
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("rondo")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert [(metric.step, metric.value) for metric in history] == [(200, 0.4), (400, 0.2)]
    assert [m.value for m in client.get_metric_history(run.info.run_id, "test/loss")] == [0.25]
    assert run.data.params["recipe.cell"] == "gru"
    assert run.data.params["words"] == "w" * 500
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")


@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_each_figure_once_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    heard = logged_with_a_break("wandb", tmp_path / "run")
    assert len(heard.lines) == 2
    assert all("wandb keeps the run offline; `wandb sync " in line for line in heard.lines)
    import wandb

    wandb.teardown()  # as at the end of the process: all is on the disk
    files = sorted(tmp_path.glob("run/wandb/offline-run-*/run-*.wandb"))
    before, after = (file.read_bytes() for file in files)
    assert b"val/loss" in before
    assert b"test/loss" not in before
    assert b"test/loss" in after
    assert b"val/loss" not in after
    assert before.count(b"per_second") >= 2


@pytest.mark.filterwarnings("ignore")
def test_trackio_gets_each_figure_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    assert logged_with_a_break("trackio", tmp_path / "run").lines == []
    assert capsys.readouterr().out == ""  # standard output is for results
    from trackio.sqlite_storage import SQLiteStorage

    (name,) = SQLiteStorage.get_runs("rondo")
    rows: list[dict[str, Any]] = SQLiteStorage.get_logs("rondo", name)
    found = [(row["step"], row["val/loss"]) for row in rows if "val/loss" in row]
    assert found == [(200, 0.4), (400, 0.2)]
    assert [row["test/loss"] for row in rows if "test/loss" in row] == [0.25]
