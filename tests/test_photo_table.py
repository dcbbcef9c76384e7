"""The lecture's table of photo networks, from a sweep over `model`."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from commands import Run
from rondo.measures.intervals import wilson
from rondo.report.plots import standalone
from rondo.tasks.photo.table import Row, best_runs, markdown, mean_share, page, points_of, write
from rondo.tasks.photo.table import Run as TrainedRun
from rondo.tasks.photo.time_plot import (
    NUM_TICKS,
    Point,
    accuracy_over_time,
    round_times,
    write_names,
)


def run(num_correct: int = 90) -> TrainedRun:
    return TrainedRun(
        test=wilson(num_correct, 100),
        cross=wilson(80, 100),
        num_parameters=1_234_567,
        num_multiplications=12_345_678,
        learning_rate=0.03,
        photos_per_second=456.7,
        seconds=1234.5,
    )


ROWS = (
    Row("cnn_2", (run(), run(93))),
    Row("lecture_rnn1", (replace(run(), cross=None),)),
    Row("sweep_net", (run(),)),
)


def test_the_markdown_of_the_table() -> None:
    first, _, header, _, *lines = markdown(ROWS, "2 epochs.").splitlines()
    assert first == "2 epochs."
    assert header.startswith("| network | test, % | cross, % | parameters |")
    assert lines[0] == (
        "| cnn_2 | 91.5 (84.4 to 95.5); 90.0, 93.0 | 80.0 (71.1 to 86.7); 80.0, 80.0 | 1,234,567 | "
        "12.3 | 0.03 | 457 | 1,234 | 83.5 | 2,030 |"
    )
    assert lines[1].startswith("| lecture_rnn1 | 90.0 (82.6 to 94.5) | – |")
    assert lines[2].endswith("| – | – |")
    assert "other photos, other hardware" in markdown(ROWS, "")


def test_the_page_of_the_table_stands_alone() -> None:
    text = page(ROWS, "2 epochs.", accuracy_over_time(points_of(ROWS)))
    assert not re.search(r"(src|href)=['\"]?(http|/|\w+\.)", text)
    for part in ("lecture_rnn1", "90.0, 93.0", "<svg", "must not be used for"):
        assert part in text


def test_the_plot_of_the_table() -> None:
    points = points_of(ROWS)
    ours, lecture = points.values()
    assert [point.name for point in ours] == ["cnn_2", "lecture_rnn1", "sweep_net"]
    assert (ours[0].seconds, ours[0].accuracy) == (1234.5, pytest.approx(91.5))
    assert [(point.name, point.seconds) for point in lecture][-1] == ("lecture_rnn1", 29571)
    svg = standalone(accuracy_over_time(points))
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in svg
    for name in ("cnn_2", "sweep_net", "training time in s"):
        assert name in svg
    empty: dict[str, list[Point]] = {title: [] for title in points}
    root = ElementTree.fromstring(standalone(accuracy_over_time(empty)))
    assert re.fullmatch(r"[\d.]+pt", root.attrib["width"])
    assert re.fullmatch(r"[\d.]+pt", root.attrib["height"])


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


def test_the_interval_of_several_seeds_is_that_of_the_photos_not_of_the_runs() -> None:
    share = mean_share([wilson(90, 100), wilson(93, 100)])
    assert share.value == 0.915
    assert (share.low, share.high) == (wilson(91.5, 100).low, wilson(91.5, 100).high)


def test_the_best_setting_of_each_network_counts(tmp_path: Path) -> None:
    settings = [{"model": "cnn_2", "r": "1"}, {"model": "cnn_1", "r": "1"}, {"model": "cnn_2"}]
    runs = [[Path("a")], [Path("b")], [Path("c")]]
    found = best_runs(settings, runs)
    assert list(found.items()) == [("cnn_1", [Path("b")]), ("cnn_2", [Path("a")])]
    write([{"recipe.dropout": "0.1"}], [[Path("a")]], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_photos_over_networks_writes_the_table(rondo: Run, tmp_path: Path) -> None:
    code, _, err = rondo(
        "sweep", "photo", "--recipe", "table", "--num-drawn", "16", "--image-size", "32",
        "--epochs", "2", "--batch-size", "8", "--precision", "float32", "--threads", "1",
        "--over", "model=cnn_1,tl_1", "--jobs", "2", "--sweep", "sweep",
    )  # fmt: skip
    assert code == 1
    assert "trial-002 failed: tl_1 needs weights of a trained ResNet" in err
    first, _, _, _, row, *_ = (tmp_path / "sweep" / "table.md").read_text().splitlines()
    assert first == (
        "2 epochs on drawings of 32 pixels, recipe table in batches of 8, float32, 1 thread."
    )
    records = (tmp_path / "sweep" / "trial-001" / "metrics.jsonl").read_text().splitlines()
    right = json.loads(records[-1])["right"]
    assert row.startswith(f"| cnn_1 | {100 * right:.1f} (")
    assert "| 97,938 |" in row
    assert (tmp_path / "sweep" / "table.html").exists()
