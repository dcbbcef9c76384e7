"""`rondo table photo`: networks under one budget, stopped and resumed, and the table of them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from cases import slow_beyond
from commands import Run, check_answered_in_one_line, command_that_is_ended, command_to_its_end
from rondo.errors import RunError
from rondo.measures.intervals import wilson
from rondo.models import ResNet
from rondo.report.finish import predict_splits
from rondo.report.plots import standalone
from rondo.sweep import run as comparison
from rondo.sweep.page import Row, Table, mean_share, table_points, write_table
from rondo.sweep.result import Result, read_result
from rondo.sweep.run import Comparison, Outcome, compare
from rondo.sweep.time_plot import NUM_TICKS, Point, accuracy_over_time, round_times, write_names
from rondo.system.lock import FolderLock
from rondo.training import session
from rondo.training.config import RunConfig
from rondo.training.divergence import DivergedError
from rondo.training.engine import Engine
from rondo.training.run_folder import RunFolder
from rondo.training.session import Options
from run_records import without_times

OPTIONS = Options(
    num_drawn=16, image_size=32, recipe="table", epochs=2, batch_size=8, threads=1,
    precision="float32",
)  # fmt: skip
SMALL = Comparison(OPTIONS, models=("fcnn_1", "cnn_1", "tl_1"))


def silent(line: str) -> None:
    pass


def result(model: str, seed: int = 0, num_correct: int = 90) -> Result:
    return Result(
        model=model,
        seed=seed,
        accuracy=wilson(num_correct, 100),
        cross_accuracy=wilson(80, 100),
        num_parameters=1_234_567,
        num_multiplications=12_345_678,
        learning_rate=0.03,
        photos_per_second=456.7,
        seconds=1234.5,
        prediction_ms=5.67,
    )


def small_table() -> Table:
    rows = (
        Row("cnn_2", (result("cnn_2"), result("cnn_2", 1, 93))),
        Row("lecture_rnn1", (replace(result("lecture_rnn1"), cross_accuracy=None),)),
        Row("tl_1", (), comparison.NO_WEIGHTS),
    )
    config = session.make_config(OPTIONS)
    return Table(rows, config, {"train": 9101, "test": 100})


# --- the table


def test_the_markdown_of_a_table() -> None:
    text = comparison_text(".md")
    first, _, header, _, *lines = text.splitlines()
    assert first == (
        "2 epochs on drawings of 32 pixels (train 9,101, test 100), recipe table in batches of 8, "
        "float32, 1 thread."
    )
    assert header.startswith("| network | test, % | cross, % | parameters |")
    assert lines[0] == (
        "| cnn_2 | 91.5 (84.4 to 95.5); 90.0, 93.0 | 80.0 (71.1 to 86.7); 80.0, 80.0 | 1,234,567 | "
        "12.3 | 0.03 | 457 | 1,234 | 5.7 | 83.5 | 2,030 |"
    )
    assert lines[1].startswith("| lecture_rnn1 | 90.0 (82.6 to 94.5) | – |")
    assert lines[2] == (
        "| tl_1 | not run: no weights given | – | – | – | – | – | – | – | 85.6 | 119,975 |"
    )
    assert "other photos, other hardware" in text


def comparison_text(ending: str) -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_table(small_table(), Path(folder))
        return (Path(folder) / f"table{ending}").read_text()


def test_the_csv_of_a_table_has_a_line_for_each_run() -> None:
    lines = list(csv.DictReader(comparison_text(".csv").splitlines()))
    assert [(line["network"], line["status"], line["seed"]) for line in lines] == [
        ("cnn_2", "run", "0"),
        ("cnn_2", "run", "1"),
        ("lecture_rnn1", "run", "0"),
        ("tl_1", "not run: no weights given", ""),
    ]
    first = lines[0]
    assert (float(first["accuracy"]), int(first["num_test"])) == (0.9, 100)
    assert float(first["accuracy_low"]) == pytest.approx(wilson(90, 100).low)
    assert (first["lecture_accuracy_percent"], first["lecture_seconds"]) == ("83.5", "2030")
    assert lines[2]["cross_accuracy"] == lines[3]["accuracy"] == ""


def test_the_page_of_a_table_stands_alone() -> None:
    page = comparison_text(".html")
    assert not re.search(r"(src|href)=['\"]?(http|/|\w+\.)", page)
    for part in (
        "lecture_rnn1",
        "91.5<br>(84.4 to 95.5)<br>90.0, 93.0",
        "<svg",
        "must not be used for",
    ):
        assert part in page
    assert "<style>svg" not in page


def test_the_plot_of_a_table() -> None:
    points = table_points(small_table())
    ours, lecture = points.values()
    assert [point.name for point in ours] == ["cnn_2", "lecture_rnn1"]
    assert (ours[0].seconds, ours[0].accuracy) == (1234.5, pytest.approx(91.5))
    assert [(point.name, point.seconds) for point in lecture][-1] == ("tl_1", 119975)
    svg = comparison_text(".svg")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in svg
    for name in ("cnn_2", "tl_1", "training time in s"):
        assert name in svg
    empty = {title: [] for title in points}
    assert ElementTree.fromstring(standalone(accuracy_over_time(empty))) is not None


def test_names_in_the_plot_keep_apart() -> None:
    places = [(37, 86.5), (40, 86.1), (57, 85.8), (399, 92.5), (412, 92.2), (389, 93.8)]
    points = [
        Point(f"network_{i}", seconds, accuracy, accuracy - 1.4, accuracy + 1.4)
        for i, (seconds, accuracy) in enumerate(places)
    ]
    axes = Figure(figsize=(5.2, 4.2), dpi=72).add_subplot(xscale="log", xlim=(10, 2000))
    axes.set_ylim(80, 100)
    write_names(axes, points)
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert boxes.keys() == {point.name for point in points}
    for (_, first), (_, second) in combinations(boxes.items(), 2):
        assert not first.overlaps(second)


@pytest.mark.parametrize(("low", "high"), [(30, 77), (30, 400), (1, 1e5), (1e-3, 1e9), (7, 7000)])
def test_the_times_below_the_plot_are_round_and_few(low: float, high: float) -> None:
    times = round_times(low, high)
    assert 1 <= len(times) <= NUM_TICKS
    assert all(low <= time <= high for time in times)
    assert {f"{time:e}"[0] for time in times} <= {"1", "2", "5"}


def test_names_stay_within_the_plot() -> None:
    axes = Figure(figsize=(5.2, 4.2), dpi=72).add_subplot(xscale="log", xlim=(10, 100))
    axes.set_ylim(80, 100)
    write_names(axes, [Point("a_long_name", 99, 90, 89, 91), Point("another", 11, 99.5, 99, 100)])
    frame = axes.get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1


def test_a_figure_of_its_own_has_a_size() -> None:
    root = ElementTree.fromstring(standalone(accuracy_over_time({"here": []})))
    assert re.fullmatch(r"[\d.]+pt", root.attrib["width"])
    assert re.fullmatch(r"[\d.]+pt", root.attrib["height"])


def test_the_interval_of_several_seeds_is_that_of_the_photos_not_of_the_runs() -> None:
    share = mean_share([wilson(90, 100), wilson(93, 100)])
    assert share is not None
    assert share.value == 0.915
    assert (share.low, share.high) == (wilson(91.5, 100).low, wilson(91.5, 100).high)
    assert mean_share([]) is None


def test_figures_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert read_result(path) is None
    for one in (result("cnn_1"), replace(result("cnn_1"), cross_accuracy=None)):
        path.write_text(one.to_json())
        assert read_result(path) == one
    path.write_text("{}")
    with pytest.raises(RunError, match=r"cannot be read .*; remove it to measure again"):
        read_result(path)


# --- training


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    outcome = compare(SMALL, folder, silent)
    assert outcome.signal_number is None
    return folder


def runs_of(folder: Path) -> dict[str, RunFolder]:
    return {path.name: RunFolder(path) for path in sorted((folder / "runs").iterdir())}


def lines_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "table.csv").read_text().splitlines()))


def assert_same(one: Path, other: Path) -> None:
    """The runs have the same records and weights, and the tables the same accuracies."""
    assert runs_of(one).keys() == runs_of(other).keys()
    for first, second in zip(runs_of(one).values(), runs_of(other).values(), strict=True):
        assert without_times(first.read_metrics()) == without_times(second.read_metrics())
        assert first.model_file.read_bytes() == second.model_file.read_bytes()
        assert second.report_file.exists()
    lines = [lines_of(folder) for folder in (one, other)]
    timed = {"photos_per_second", "seconds", "prediction_ms"}
    for first, second in zip(*lines, strict=True):
        for name in first.keys() - timed:
            assert first[name] == second[name], name


def accuracy_on_test(run: Path) -> float:
    folder, config = RunFolder(run), RunFolder(run).read_config()
    photos = {"test": session.read_data(config, silent)["test"]}
    predicted = predict_splits(folder.read_model(), config, photos)["test"]
    return (predicted.argmax(1) == photos["test"].labels).float().mean().item()


def test_a_whole_table(whole: Path) -> None:
    assert list(runs_of(whole)) == ["cnn_1-0", "fcnn_1-0"]
    lines = lines_of(whole)
    assert [line["status"] for line in lines] == ["run", "run", "not run: no weights given"]
    cnn = lines[1]
    assert int(cnn["num_parameters"]) == 97_938
    records = RunFolder(whole / "runs" / "cnn_1-0").read_metrics()
    train = [record for record in records if record["split"] == "train"]
    speeds = [record["per_second"] for record in train]
    assert float(cnn["photos_per_second"]) == pytest.approx(sum(speeds) / 2)
    assert float(cnn["seconds"]) == pytest.approx(train[-1]["seconds"])
    assert 0 < float(cnn["prediction_ms"]) < 1000
    assert [record["split"] for record in records].count("test") == 1  # it is looked at once
    assert float(cnn["accuracy"]) == pytest.approx(accuracy_on_test(whole / "runs" / "cnn_1-0"))
    configs = [folder.read_config() for folder in runs_of(whole).values()]
    assert len({config.data_fingerprint for config in configs}) == 1
    assert len({config.recipe for config in configs}) == 1


class At:
    """Does something before a step of the run with a model."""

    def __init__(self, model: str, step: int, action: Callable[[], None]) -> None:
        self.model, self.step, self.action = model, step, action

    def __call__(self, engine: Engine) -> None:
        assert isinstance(engine.config, RunConfig)
        if (engine.config.model, engine.progress.step) == (self.model, self.step):
            self.action()


def compare_with(action: At, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    fit = comparison.fit
    with monkeypatch.context() as patch:
        patch.setattr(comparison, "fit", partial(fit, before_step=action))
        return compare(SMALL, folder, silent)


@pytest.mark.parametrize(
    ("number", "model", "step"),
    [
        (signal.SIGINT, "fcnn_1", 0),
        (signal.SIGTERM, "fcnn_1", 3),
        (signal.SIGINT, "cnn_1", 2),
    ],
)
@pytest.mark.slow
def test_an_interrupted_table_goes_on_to_the_same_numbers(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    model: str,
    step: int,
) -> None:
    stop = At(model, step, lambda: os.kill(os.getpid(), number))
    outcome = compare_with(stop, tmp_path, monkeypatch)
    assert outcome.signal_number == number
    status = "not run yet" if model == "fcnn_1" else ""
    assert outcome.table.rows[0].reason == status
    assert outcome.table.rows[1].reason == "not run yet"
    assert compare(SMALL, tmp_path, silent).signal_number is None
    assert_same(whole, tmp_path)


@pytest.mark.parametrize(
    "place", slow_beyond(["create", "finish", "measure", "write_table"], ["create"])
)
def test_a_table_killed_between_its_runs_goes_on_to_the_same_numbers(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*args: Any) -> None:
        raise Killed

    def die_after_making_the_folder(config: Any, data: Any, path: Path) -> None:
        (path / "resume").mkdir(parents=True)
        raise Killed

    with monkeypatch.context() as patch:
        owner: Any = session if place == "create" else comparison
        patch.setattr(owner, place, die_after_making_the_folder if place == "create" else die)
        with pytest.raises(Killed):
            compare(SMALL, tmp_path, silent)
    compare(SMALL, tmp_path, silent)
    assert_same(whole, tmp_path)


@pytest.mark.slow
def test_a_network_that_diverges_does_not_stop_the_others(
    rondo: Run, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = comparison.fit

    def fit_or_diverge(config: Any, *args: Any, **keywords: Any) -> Any:
        if config.model == "fcnn_1":
            raise DivergedError("the training has diverged: it is a test")
        return fit(config, *args, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "fit", fit_or_diverge)
        outcome = compare(SMALL, tmp_path / "table", silent)
        assert outcome.diverged == ("fcnn_1",)
        assert [row.reason for row in outcome.table.rows] == [
            *("its training diverged", "", "not run: no weights given"),
        ]
        code, out, err = rondo(*WORDS, "--output", "table")
    assert code == 1
    assert "| fcnn_1 | its training diverged |" in out
    assert "the training has diverged: it is a test" in err
    compare(SMALL, tmp_path / "table", silent)
    assert_same(whole, tmp_path / "table")


def test_a_table_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    with FolderLock(tmp_path).held(silent), pytest.raises(RunError, match="is in use by this proc"):
        compare(SMALL, tmp_path, silent)


def test_finished_runs_are_not_trained_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    trained = []
    fit = comparison.fit
    monkeypatch.setattr(
        comparison,
        "fit",
        lambda run, **keywords: trained.append(run.config.model) or fit(run, **keywords),
    )
    compare(SMALL, tmp_path / "copy", silent)
    assert trained == []
    assert (tmp_path / "copy" / "table.md").read_text() == (whole / "table.md").read_text()
    outcome = compare(replace(SMALL, models=("cnn_1", "cnn_2")), tmp_path / "copy", silent)
    assert trained == ["cnn_2"]
    assert [row.name for row in outcome.table.rows] == ["cnn_1", "cnn_2"]


def test_runs_of_other_settings_are_refused(whole: Path) -> None:
    for changes, message in (
        ({"epochs": 3}, "was begun with num_epochs 2, and asked for is 3; give the same"),
        ({"image_size": 64}, "was begun with .*another --output"),
        ({"num_drawn": 17}, "was begun with photos of fingerprint '"),
        ({"threads": 2}, "was begun with num_threads 1, and asked for is 2"),
    ):
        with pytest.raises(RunError, match=message):
            compare(replace(SMALL, options=replace(OPTIONS, **changes)), whole, silent)


@pytest.mark.slow
def test_several_seeds_see_the_same_photos(tmp_path: Path) -> None:
    several = replace(SMALL, models=("fcnn_1",), seeds=(0, 3))
    outcome = compare(several, tmp_path, silent)
    assert [one.seed for one in outcome.table.rows[0].results] == [0, 3]
    first, second = (folder.read_config() for folder in runs_of(tmp_path).values())
    assert (first.seed, second.seed) == (0, 3)
    assert first.data_fingerprint == second.data_fingerprint
    data = session.read_data(second, silent)
    assert session.fingerprint(data) == second.data_fingerprint


@pytest.mark.slow
def test_transfer_learning_is_part_of_the_table_where_weights_are_given(tmp_path: Path) -> None:
    torch.save(ResNet(18).state_dict(), tmp_path / "w.pth")
    one_epoch = replace(OPTIONS, epochs=1, num_drawn=8)
    weights = str(tmp_path / "w.pth")
    outcome = compare(
        Comparison(one_epoch, ("tl_1", "tl_3"), weights=weights), tmp_path / "t", silent
    )
    rates = [row.mean("learning_rate") for row in outcome.table.rows]
    assert rates == [0.03, 0.01]
    assert outcome.table.rows[0].mean("num_parameters") == 11_177_538


# --- the command


WORDS = [
    *("table", "photo", "--num-drawn", "16", "--size", "32", "--epochs", "2", "--batch-size", "8"),
    *("--threads", "1", "--precision", "float32", "--models", "fcnn_1,cnn_1,tl_1"),
]


def test_the_command_prints_the_table(rondo: Run, tmp_path: Path, whole: Path) -> None:
    code, out, err = rondo(*WORDS)
    assert code == 0
    assert "| tl_1 | not run: no weights given |" in out
    folder = tmp_path / "runs" / "photo-table"
    assert out.endswith(f"table: {(folder / 'table.html').as_uri()}\n")
    assert "[2/2] cnn_1, seed 0" in err
    assert_same(whole, folder)
    code, again, _ = rondo(*WORDS)
    assert (code, again) == (0, out)
    code, out, _ = rondo("evaluate", str(folder / "runs" / "cnn_1-0"), "--json")
    assert json.loads(out)["test"]["accuracy"]["value"] == pytest.approx(
        compare(SMALL, folder, silent).table.rows[1].accuracy.value  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table foto", "there is no 'foto' here; did you mean 'photo'"),
        ("table photo --model cnn_1", "does not take '--model'; did you mean '--models'"),
        ("table photo --models cnn1", "there is no model 'cnn1'; did you mean 'cnn_1'"),
        ("table photo --models cnn_1,", "there is no model ''; there are:"),
        ("table photo --models tl_1,tl_2", "tl_1, tl_2 need weights of a trained ResNet"),
        ("table photo --seeds 0,a", "must be whole numbers with commas between, .* is '0,a'"),
        ("table photo --seeds -1", "argument --seeds: "),
        ("table photo --size 50", "must be a multiple of 32, but is 50; try 64"),
        ("table photo --epochs 0", "the number of epochs must be 1 or more, but is 0"),
        ("table photo --weights absent.pth", "cannot use the weights: there is no file absent"),
        ("table photo --data absent", "cannot use the data .*absent does not exist"),
        ("table photo --output file", "cannot make file: file cannot be written to; give another"),
        ("table photo --output file/x", "cannot make .*; give another --output"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    rondo: Run, tmp_path: Path, words: str, message: str
) -> None:
    check_answered_in_one_line(rondo, tmp_path, words, message)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_the_whole_command_can_be_ended_and_given_again(
    whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """In a process of its own, by a real signal within the second network."""
    words = [*WORDS, "--output", str(tmp_path)]
    ended, _ = command_that_is_ended(words, number, 0.05, lambda line: line.startswith("[2/2]"))
    assert ended in (code, 0)  # it may have ended before
    command_to_its_end(*words)
    assert_same(whole, tmp_path)
