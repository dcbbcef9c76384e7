"""`rondo bench token`: the time of a token beside others, its tables and its figure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rondo import cli
from rondo.bench import peers, token
from rondo.bench.conformance import gate
from rondo.bench.measure import Spread, take_turns
from rondo.bench.options import OURS, Sizes
from rondo.bench.rows import Row
from rondo.bench.study_options import TokenOptions
from rondo.bench.suites import ONNX_AWAKE_S, checked_modules, pause_s, runs_of
from rondo.bench.token_plot import token_svg

ROOT = Path(__file__).parents[1]
SIZES = Sizes(4, 3, 5, 7)
THEIRS, ONNX = "torch.nn", "ONNX Runtime"


def token_row(kind: str, batch_size: int, **sides: float) -> Row:
    names = {"ours": OURS, "nn": THEIRS, "onnx": ONNX}
    times = {names[side]: Spread((value,) * 3) for side, value in sides.items()}
    return Row("token", kind, "forward", Sizes(100, batch_size, 8, 8), times, num_gates=4)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_onnx_runtime_computes_the_same_forward(kind: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    sides, check = checked_modules(kind, SIZES, ("nn", "onnx"))
    assert [side.name for side in sides] == [OURS, THEIRS, ONNX]
    assert check.failures == {}
    assert set(runs_of(sides, "forward", {})) == {OURS, THEIRS, ONNX}
    assert set(runs_of(sides, "training", {})) == {OURS, THEIRS}, "it has no training"


def test_wrong_gates_of_onnx_runtime_are_red() -> None:
    pytest.importorskip("onnxruntime")
    onnx_layer = pytest.importorskip("onnx") and peers.onnx_layer
    cell, (x, grad_y), _ = peers.for_module("LSTM", SIZES, ())
    parameters = {key: value.detach() for key, value in cell.named_parameters()}
    parameters["weight_ih"] = parameters["weight_ih"].flip(0)
    side = onnx_layer.of_layer(ONNX, "LSTM", parameters, x)
    failure = gate(cell, x, grad_y).only("output").failure(side)
    assert failure is not None
    assert failure.startswith("the output is off by ")


def test_nothing_runs_for_a_moment_where_threads_of_onnx_runtime_are_awake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("rondo.bench.measure.time.sleep", waits.append)
    runs = {OURS: lambda: None, ONNX: lambda: None}
    take_turns(runs, num_rounds=2, pause_s=pause_s(runs))
    assert waits == [ONNX_AWAKE_S] * 4
    assert pause_s({OURS: None}) == pause_s(runs, is_quick=True) == 0


def test_a_peer_that_is_not_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name in ("onnx", "jax") else name)
    code = cli.main(["bench", "token", "--quick", "--budget", "0.01", "--output", str(tmp_path)])
    out = capsys.readouterr().out
    assert code == 0
    assert "- no JAX: it is not installed; do: " in out
    assert re.search(
        r"- no ONNX Runtime: it is not installed; do: .*install onnxruntime onnx\n", out
    )
    assert f"| B | rondo, µs | {THEIRS}, µs | {THEIRS} over rondo |" in out
    values = json.loads((tmp_path / "token.json").read_text())
    assert values["is_whole"]
    assert values["options"]["peers"] == ["nn"]
    assert [row["sizes"]["batch_size"] for row in values["rows"]] == [1, 4]
    assert all(set(row["times_s"]) == {OURS, THEIRS} for row in values["rows"])
    assert all(len(row["ratios"][THEIRS]["rounds"]) >= 5 for row in values["rows"])
    assert ElementTree.parse(tmp_path / "token.svg").getroot().tag.endswith("svg")


def test_the_time_of_a_token_is_that_of_a_step_of_a_row() -> None:
    row = token_row("LSTM", 4, ours=0.002, nn=0.004)
    assert token.token_us(row)[OURS].median == pytest.approx(5.0)
    options = TokenOptions(kinds=("LSTM", "GRU"), peers=("nn", "onnx"))
    failed = token_row("GRU", 2)
    failed.failures[OURS] = "the output is wrong"
    text = token.tables([row, token_row("LSTM", 8, ours=0.008, nn=0.004), failed], options)
    assert "## LSTM, forward" in text
    assert "| 4 | 5 | 10 | **2.00** (2.00–2.00) |" in text
    assert "| 8 | 10 | 5 | **0.50** (0.50–0.50) |" in text
    assert "| B | rondo, µs |\n| --- | --- |\n| 2 | failed |" in text


def test_the_figure_has_a_line_for_each_side_and_a_panel_for_each_kind() -> None:
    rows = [
        token_row(kind, batch_size, ours=0.001, nn=0.01, onnx=0.002)
        for kind in ("LSTM", "GRU")
        for batch_size in (1, 16, 128)
    ]
    text = token_svg(rows)
    for words in ("LSTM, forward", "GRU, forward", ">Rondo<", ">torch.nn<", ">ONNX Runtime<",
                  ">128<", "µs per token"):  # fmt: skip
        assert words in text
    assert "prefers-color-scheme: dark" in text
    assert "#010203" not in text
    dark = token_svg(rows, "#e6e9ef")
    assert "#e6e9ef" in dark
    assert "currentColor" not in dark
    assert "<svg" in token_svg([])


def test_the_pictures_of_the_page_are_of_the_results() -> None:
    program = (
        "import redraw; from readme_picture import DARK, IMAGES, LIGHT\n"
        "for name, theme in {'token.svg': LIGHT, 'token_dark.svg': DARK}.items():\n"
        "    drawn = redraw.token_svg(redraw.token_rows(), theme.ink)\n"
        "    assert drawn == (IMAGES / name).read_text(), 'run python benchmarks/redraw.py'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT / "benchmarks")
