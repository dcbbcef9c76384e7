"""The studies `rondo bench map`, `busy` and `bf16`: what is measured, shown and written."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

import rondo
from commands import check_refused
from rondo import cli
from rondo.bench import bf16, busy, busy_sides, cgroups, shape_map, study
from rondo.bench.busy import BusyRow, Calls
from rondo.bench.map_plot import map_svg, short
from rondo.bench.measure import Spread
from rondo.bench.options import OURS, Sizes
from rondo.bench.rows import Row
from rondo.bench.study_options import STUDIES, BusyOptions, Condition, MapOptions, quick
from rondo.system.cgroup import folders_for_groups

THEIRS = "torch.nn"


def measured(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, *words: str
) -> tuple[str, dict[str, Any]]:
    """What a quick study prints, and its JSON; the printed text is also in its file."""
    code = cli.main(["bench", name, "--quick", "--output", str(folder), *words])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert (folder / f"{name}.md").read_text() == captured.out
    values = json.loads((folder / f"{name}.json").read_text())
    assert values["is_whole"]
    assert values["failures"] == []
    assert len(values["rows"]) == captured.err.count(f"\n{name}: ")
    return captured.out, values


def map_row(kind: str, run: str, sizes: Sizes, *ratios: float) -> Row:
    times = {OURS: Spread((1.0,) * len(ratios)), THEIRS: Spread(ratios)}
    return Row("map", kind, run, sizes, times, num_gates=3)


# --- the map


def test_the_map_leaves_out_the_shapes_of_most_work() -> None:
    options = MapOptions()
    shapes = options.shapes
    assert len(shapes) == len(set(shapes)) == 79
    assert all(shape.flops(1, training=False) <= 1e10 for shape in shapes)
    assert Sizes(256, 64, 512, 512) not in shapes
    assert Sizes(256, 64, 256, 256) in shapes
    assert all(shape.input_size == shape.hidden_size for shape in shapes)


def test_the_map_of_few_shapes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, values = measured(capsys, tmp_path, "map", "--budget", "0.01")
    assert "| T, B | H 32 |" in out
    for line in ("1, 1", "1, 4", "4, 1", "4, 4"):
        assert re.search(rf"\| {line} \| (\*\*)?[\d.]+(\*\*)? \([\d.]+–[\d.]+\) \|", out)
    assert out.count("\n## GRU, forward") == 2
    assert "| GRU | forward and backward |" in out
    assert len(values["rows"]) == 8
    for row in values["rows"]:
        assert 0 < row["share_of_bound"] <= 1.2
        assert len(row["ratios"][THEIRS]["rounds"]) >= shape_map.LEAST_ROUNDS
        assert row["sizes"]["input_size"] == row["sizes"]["hidden_size"] == 32
    assert ElementTree.parse(tmp_path / "map.svg").getroot().tag.endswith("svg")


def test_the_largest_shapes_are_first_and_time_is_shared() -> None:
    options = MapOptions(
        kinds=("RNN",), passes=("forward",), budget_s=0.01,
        num_steps=(1, 2), batch_sizes=(1,), hidden_sizes=(8, 16),
    )  # fmt: skip
    found = [row.sizes for row in shape_map.measure(options) if row.sizes is not None]
    assert [sizes.num_steps * sizes.hidden_size**2 for sizes in found] == [512, 256, 128, 64]


def test_a_grid_and_a_summary() -> None:
    options = MapOptions(
        kinds=("LSTM",), passes=("forward",), num_steps=(1, 256), batch_sizes=(64,),
        hidden_sizes=(128, 512),
    )  # fmt: skip
    rows = [
        map_row("LSTM", "forward", Sizes(1, 64, 128, 128), 0.9, 1.1, 1.2),
        map_row("LSTM", "forward", Sizes(1, 64, 512, 512), 0.6, 0.5, 0.7),
        map_row("LSTM", "forward", Sizes(256, 64, 128, 128), 2.0, 2.0, 2.5),
    ]
    text = shape_map.tables(rows, options)
    assert "median over 3 rounds" in text
    assert "Shapes with more than 10 GFLOP" in text
    assert "| LSTM | forward | 1.10 | 1 of 3 | 0.60 | 1, 64, 512 |" in text
    assert "| T, B | H 128 | H 512 |" in text
    assert "| 1, 64 | 1.10 (0.90–1.20) | **0.60** (0.50–0.70) |" in text
    assert "| 256, 64 | **2.00** (2.00–2.50) | – |" in text


def test_a_wrong_layer_gets_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = rondo.GRU.forward

    def wrong_when_long(self: rondo.GRU, x: torch.Tensor) -> Any:
        y, state = forward(self, x)
        return (y * 1.01, state) if len(x) > 4 else (y, state)

    options = MapOptions(
        kinds=("GRU",), passes=("forward",), budget_s=0.01, num_steps=(4, 6), batch_sizes=(1,),
        hidden_sizes=(8,),
    )  # fmt: skip
    monkeypatch.setattr(rondo.GRU, "forward", wrong_when_long)
    long, short_one = shape_map.measure(options)
    assert short_one.ratios()
    assert long.times == {}
    assert long.failures[OURS].startswith("the output is off by ")
    findings = study.StudyFindings(options, {}, None, [long, short_one], is_whole=True, name="map")
    assert findings.failures == [f"map, GRU (6, 1, 8, 8): {OURS}: {long.failures[OURS]}"]
    assert "| 6, 1 | failed |" in findings.to_markdown()
    assert "## Failed the conformance check, so not timed" in findings.to_markdown()


def test_the_heat_map_has_a_cell_for_each_shape_and_fits_light_and_dark_pages() -> None:
    rows = [
        map_row(kind, run, Sizes(steps, 1, 8, 8), 10.0**steps)
        for kind in ("GRU", "RNN")
        for run in ("forward", "training")
        for steps in (-1, 0, 1, 2)
    ]
    text = map_svg(rows)
    for words in ("GRU, forward", "RNN, training", "T 1 B 1", "H 8", ">0.10<", ">10.0<", ">100<"):
        assert words in text
    assert "prefers-color-scheme: dark" in text
    assert "#010203" not in text
    assert "currentColor" in text
    width = float(re.search(r'width="([\d.]+)pt"', text)[1])  # type: ignore[index]
    assert width < 360, "it must be readable on a narrow page"
    ElementTree.fromstring(text)
    assert "<svg" in map_svg([])


def test_ratios_are_short() -> None:
    shown = [short(ratio) for ratio in (0.333, 9.876, 12.34, 123.4)]
    assert shown == ["0.33", "9.88", "12.3", "123"]


# --- busy neighbours


def test_calls_beside_busy_processes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("--neighbours", "1", "--threads", "7", "--passes", "forward", "--budget", "0.01")
    out, values = measured(capsys, tmp_path, "busy", *words)
    assert "## 1 busy neighbour, 7 threads\n" in out
    assert "No busy neighbours" not in out
    assert re.search(r"\| GRU \| forward \| 4 \| [\d.]+, [\d.]+, [\d.]+ \| [\d.]+, ", out)
    (row,) = values["rows"]
    assert row["condition"] == {"neighbours": 1, "limit": None, "num_threads": 7}
    for figures in row["calls"].values():
        assert 0 < figures["median"] <= figures["p99"]
        assert figures["calls"] >= busy.LEAST_TURNS
    ours, theirs = row["calls"][OURS], row["calls"][THEIRS]
    assert row["ratios"]["p99"] == pytest.approx(theirs["p99"] / ours["p99"])
    assert not (tmp_path / "busy.svg").exists()


def test_the_figures_of_calls() -> None:
    calls = Calls(tuple(map(float, range(200, 0, -1))))
    assert (calls.median, calls.mean, calls.p99) == (100.5, 100.5, 199.0)
    assert Calls((3.0, 1.0)).p99 == 3.0, "of few calls the longest"


def test_a_long_tail_misses_the_bar_and_a_wrong_output_has_no_number() -> None:
    sizes = Sizes(50, 4, 128, 128)
    calls = {OURS: Calls((0.001, 0.001, 0.004)), THEIRS: Calls((0.002, 0.002, 0.002))}
    none, half = Condition(num_threads=64), Condition(limit=0.5, num_threads=64)
    rows = [
        BusyRow("busy", "GRU", "forward", sizes, none, calls),
        BusyRow("busy", "RNN", "training", sizes, half, {}, {OURS: "the output is wrong"}),
    ]
    text = busy.tables(rows, BusyOptions(neighbours=(0,), num_threads=64))
    assert "| No busy neighbours, 64 threads | 1 | 0 | 0 | 1 | 0 |" in text
    assert "| A control group of 0.5 cores, 64 threads | 0 | 0 | 0 | 0 | 0 |" in text
    assert "\n## No busy neighbours, 64 threads\n" in text
    times = "1.00, 2.00, 4.00 | 2.00, 2.00, 2.00"
    line = f"| GRU | forward | 4 | {times} | **2.00** | **1.00** | **0.50** | 4.0, missed | 1.0 |"
    assert line in text
    assert "| RNN | forward and backward | 4 | failed | – | – | – | – | – | – |" in text
    assert "FAILED: the output is wrong" in busy.progress(rows[1])


def test_all_conditions_and_those_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[BusyOptions] = []

    def nothing(options: BusyOptions) -> Any:
        found.append(options)
        yield from ()

    only = study.Study("Busy", nothing, busy.tables, busy.progress, busy.values)
    monkeypatch.setitem(study.STUDIES, "busy", only)
    several = [Condition(number) for number in range(5)]
    limits = [Condition(limit=limit) for limit in (0.5, 1.0, 1.5)]
    for words, expected in {
        "": [*several, *limits, Condition(num_threads=64)],
        "--neighbours 0,2": [several[0], several[2]],
        "--neighbours all": several,
        "--limits 1.5": limits[2:],
        "--limits all --neighbours 1": [several[1], *limits],
        "--threads 3 --limits 1": [Condition(limit=1.0, num_threads=3)],
    }.items():
        assert cli.main(["bench", "busy", *words.split()]) == 0
        capsys.readouterr()
        assert found.pop().conditions == expected


def test_sides_within_a_control_group(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reason = cgroups.why_not()
    words = ("--limits", "0.5", "--passes", "forward", "--budget", "0.01")
    out, values = measured(capsys, tmp_path, "busy", *words)
    if reason is not None:
        assert f"- limits of 0.5 cores are left out: {reason}\n" in out
        assert values["rows"] == []
        return
    assert "\n## A control group of 0.5 cores\n" in out
    (row,) = values["rows"]
    assert row["condition"]["limit"] == 0.5
    assert [folder for folder, _ in folders_for_groups() if [*folder.glob("rondo-bench-*")]] == []


def test_a_group_limits_and_is_removed_also_after_an_error() -> None:
    if (reason := cgroups.why_not()) is not None:
        pytest.skip(reason)
    program = (
        "from rondo.system.cgroup import cpu_share, most_threads_at_once\n"
        "import sys; sys.stdin.read(1); print(cpu_share().cores, most_threads_at_once())\n"
        "sys.stdout.flush(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        with suppress(KeyError), cgroups.limited_to(0.5) as group:
            group.add(process.pid)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("x")
            process.stdin.flush()
            assert process.stdout.readline() == "0.5 1\n"
            raise KeyError
        assert not group.folder.exists(), "it is removed though a process is still at work"
        assert process.poll() is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no control group can be made: no control groups for processors are mounted"),
        ({"cgroup.subtree_control": "memory io\n"}, "no control groups for processors"),
        ({"cgroup.subtree_control": "cpu memory\n"}, None),
        ({"cgroup.subtree_control": "cpu\n", "is a file": ""}, ": File exists"),
    ],
)
def test_where_a_group_can_be_made(
    tmp_path: Path, files: dict[str, str], message: str | None
) -> None:
    groups = tmp_path / "sys/fs/cgroup"
    groups.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    mounted = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "proc/self/mountinfo").write_text(mounted if files else "")
    for name, text in files.items():
        name = name.replace("is a file", f"rondo-bench-{os.getpid()}-limit")
        (groups / name).write_text(text)
    if message is None:
        made = cgroups._made(1.5, "limit", tmp_path)
        assert (made / "cpu.max").read_text() == "150000 100000"
        return
    with pytest.raises(cgroups.NoGroupError, match=re.escape(message)):
        cgroups._made(1.5, "limit", tmp_path)


def test_a_side_answers_with_an_output_and_with_times() -> None:
    case = busy_sides.Case("LSTM", "training", Sizes(3, 2, 5, 5))
    outputs = [torch.tensor(busy_sides.prepared(side, case)[1]) for side in (OURS, THEIRS)]
    torch.testing.assert_close(*outputs)
    calls: list[int] = []
    assert len(busy_sides.times_of(lambda: calls.append(1), 0.0)) == len(calls) == 1


def test_a_side_that_ended_is_told() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(RuntimeError, match="the process of rondo has ended; it says why above"):
        busy_sides.ask(ours, OURS, 0.1)


def test_busy_processes_end_with_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(busy_sides.subprocess, "Popen", start)
    with busy_sides.busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert [process.poll() for process in started] == [-9, -9]


# --- bfloat16


def test_bfloat16_beside_float32(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, values = measured(capsys, tmp_path, "bf16", "--budget", "0.01")
    assert "| gain, autocast | gain, bf16 module | torch.nn over rondo, float32 |" in out
    assert "| GRU | 7, 4, 16, 16 | forward and backward |" in out
    assert len(values["rows"]) == 2
    names = {f"{side}, {form}" for side in (OURS, THEIRS)
             for form in ("float32", "autocast", "bf16 module")}  # fmt: skip
    for row in values["rows"]:
        assert set(row["times_s"]) == names
        assert all(times["median"] > 0 for times in row["times_s"].values())


def test_each_form_computes_in_its_type() -> None:
    sizes = Sizes(3, 2, 4, 4)
    dtypes = {}
    for form, one in bf16.contenders(*bf16._cell_and_batch("GRU", sizes), "GRU"):
        results = one.results()
        dtypes[form.name] = results["gradient of weight_hh"].dtype
    expected = {"float32": torch.float32, "autocast": torch.float32, "bf16 module": torch.bfloat16}
    assert dtypes == expected


def test_a_wrong_form_is_red_and_gets_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = rondo.GRU.forward

    def forgetful(self: rondo.GRU, x: torch.Tensor) -> Any:
        if x.dtype == torch.bfloat16:
            with torch.no_grad():
                self.weight_hh_l0[:, 0] = 0
        return forward(self, x)

    monkeypatch.setattr(rondo.GRU, "forward", forgetful)
    row = next(bf16.measure(quick("bf16")))  # type: ignore[arg-type]
    assert set(row.failures) == {f"{OURS}, bf16 module"}
    assert f"{OURS}, bf16 module" not in row.times
    text = bf16.tables([row], quick("bf16"))  # type: ignore[arg-type]
    assert "| failed |" in text
    assert "| – |" in text


# --- the command


def test_every_study_has_options_words_and_a_quick_form() -> None:
    from rondo.cli.bench import STUDY_HELP

    assert set(STUDIES) == set(study.STUDIES) == set(STUDY_HELP)
    for name, options in STUDIES.items():
        assert quick(name).budget_s < options.budget_s
        assert quick(name).is_quick


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mpa", "there is no 'mpa' here; did you mean 'map'?"),
        ("bsy", "there is no 'bsy' here; did you mean 'busy'?"),
        ("nothing", "there is no 'nothing' here; there are: map, busy, bf16, call, token"),
        ("map --kinds GUR", "there is no 'GUR' here; did you mean 'GRU'?"),
        ("map --passes trainin", "there is no 'trainin' here; did you mean 'training'?"),
        ("map --budget soon", "argument --budget: must be seconds, more than 0, but is 'soon'"),
        ("map --budget -1", "argument --budget: must be seconds, more than 0, but is '-1'"),
        ("map --budget inf", "argument --budget: must be seconds, more than 0, but is 'inf'"),
        ("map --suite layers", "rondo bench map does not take '--suite'"),
        ("--suite layers map", "rondo bench map does not take '--suite'; it is for suites"),
        ("--quick --outptu x", "rondo bench does not take '--outptu'; did you mean '--output'?"),
        ("token --peers nn", "rondo bench token does not take '--peers'"),
        ("token --kinds GRUU", "there is no 'GRUU' here; did you mean 'GRU'?"),
        ("map --neighbours 1", "rondo bench map does not take '--neighbours'"),
        ("busy --neighbours 5", "there is no '5' here; there are: 0, 1, 2, 3, 4"),
        ("busy --limits 2", "there is no '2' here; there are: 0.5, 1, 1.5"),
        ("map --limits 1", "rondo bench map does not take '--limits'"),
        ("busy --threads 0", "argument --threads: must be a whole number of 1 or more, but is '0'"),
        ("map --output pyproject.toml", "--output must be a folder, but pyproject.toml is a file"),
    ],
)
def test_wrong_words_are_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    check_refused(capsys, f"bench {words}", message)


def test_what_stands_before_the_name_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def few(options: Any) -> Any:
        assert options.is_quick
        yield map_row("GRU", "forward", Sizes(1, 1, 32, 32), 2.0)
        raise KeyboardInterrupt

    only = study.Study("Map", few, shape_map.tables, picture=map_svg)
    monkeypatch.setitem(study.STUDIES, "map", only)
    monkeypatch.setattr(study, "peak_of", lambda num_rounds, say: None)
    code = cli.main(["bench", "--quick", "--output", str(tmp_path), "map"])
    assert code == 130
    assert "- interrupted: not all was measured" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.json", "map.md", "map.svg"]
    assert not json.loads((tmp_path / "map.json").read_text())["is_whole"]
