"""`rondo bench`: the gate, the turns, the tables, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import rondo
from commands import check_refused
from rondo import cli
from rondo.bench import cells, peers, report, rows, suites
from rondo.bench.conformance import gate
from rondo.bench.contenders import Contender, compiled
from rondo.bench.measure import Spread, busy_note, take_turns, take_turns_for
from rondo.bench.options import OURS, QUICK, RAGGED_BARS, Options, Sizes
from rondo.bench.plot import plot
from rondo.bench.tables import spread_text, suite_table
from rondo.cli.manual import words_of
from rondo.extras import how_to_install

SIZES = Sizes(4, 3, 5, 7)


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["bench", "--quick", "--threads", "1", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# --- measuring


def test_a_spread_has_a_median_quartiles_and_paired_ratios() -> None:
    spread = Spread((1.0, 2.0, 3.0, 4.0, 5.0))
    assert (spread.median, spread.quartiles) == (3.0, (2.0, 4.0))
    assert Spread((2.0,)).quartiles == (2.0, 2.0)
    assert Spread((2.0, 9.0)).over(Spread((1.0, 3.0))).values == (2.0, 3.0)
    assert spread.shown == (1.0, 5.0), "of few rounds all is shown"
    assert Spread(tuple(map(float, range(1, 10)))).shown == (3.0, 7.0)
    assert Spread((2.0, 9.0)).minus(Spread((1.0, 3.0))).values == (1.0, 6.0)


def test_a_random_cell_is_the_same_for_a_seed() -> None:
    for seed in range(4):
        (first, num_gates), (second, _) = cells.random_cell(seed), cells.random_cell(seed)
        one, other = first(5, 7), second(5, 7)
        assert isinstance(one, cells.RandomCell)
        assert isinstance(other, cells.RandomCell)
        assert (one.activations, one.operations) == (other.activations, other.operations)
        assert one.weight_hh.shape == (num_gates * 7, 7)


def test_contenders_take_turns_forwards_and_backwards() -> None:
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = take_turns(runs, num_rounds=3)
    assert "".join(calls) == "aabb" + "ab" + "ba" + "ab"
    assert [len(spread.values) for spread in times.values()] == [3, 3]


def test_quick_calls_are_repeated_within_a_turn() -> None:
    calls: list[int] = []
    take_turns({"a": lambda: calls.append(1)}, num_rounds=1, turn_s=0.001)
    assert len(calls) > 10


def test_flops_of_products() -> None:
    assert Sizes(2, 3, 5, 7).flops(4, training=False) == 2 * 2 * 3 * 4 * 7 * (5 + 7)
    assert Sizes(2, 3, 5, 7).flops(4, training=True) == 3 * 2 * 2 * 3 * 4 * 7 * (5 + 7)


def test_rounds_fill_the_time_within_limits() -> None:
    def nothing() -> None:
        pass

    times = take_turns_for({"a": nothing}, seconds=0, turn_s=0.0, least=3, most=5)
    assert len(times["a"].values) == 3
    times = take_turns_for({"a": nothing, "b": nothing}, seconds=60, turn_s=0.0, least=1, most=5)
    assert [len(spread.values) for spread in times.values()] == [5, 5]


# --- the gate


@pytest.mark.parametrize("name", cells.CUSTOM_CELLS)
def test_rondo_passes_the_gate_with_every_cell(name: str) -> None:
    cell, batch = cells.CUSTOM_CELLS[name][0](5, 7), peers.new_batch(SIZES)
    (ours,) = peers.for_cell(cell, batch, ())
    assert gate(cell, *batch).failure(ours) is None


def test_a_missing_column_is_red_and_gets_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    forward = rondo.GRU.forward

    def forgetful(self: rondo.GRU, x: Tensor) -> Any:
        with torch.no_grad():
            self.weight_hh_l0[:, 0] = 0
        return forward(self, x)

    monkeypatch.setattr(rondo.GRU, "forward", forgetful)
    code, out, err = bench(
        capsys, *("--suite", "layers", "--module", "GRU,RNN", "--output", str(tmp_path))
    )
    assert code == 1
    assert "rondo: layers, GRU (7, 3, 5, 8): rondo: the output is off by" in err
    values = json.loads((tmp_path / "bench.json").read_text())
    gru, rnn = (row for row in values["rows"] if row["run"] == "forward")
    assert gru["times_s"] == gru["ratios"] == {}
    assert "is allowed" in gru["failures"][OURS]
    assert rnn["times_s"].keys() >= {OURS, "torch.nn"}
    assert "| GRU | 7, 3, 5, 8 | forward | failed | – |" in out
    assert "## Failed the conformance check, so not timed" in out


def test_what_a_contender_lacks_or_raises_is_told() -> None:
    cell, batch = rondo.GRUCell(5, 7), peers.new_batch(SIZES)
    checked = gate(cell, *batch)

    def contender(results: Any) -> Contender:
        return Contender("other", lambda: None, None, results)

    def broken() -> Any:
        raise RuntimeError("no compiler\nat all")

    assert checked.failure(contender(dict)) == "there is no gradient of bias_hh"
    wrong = {**checked.exact, "output": torch.zeros(1)}
    assert checked.failure(contender(lambda: wrong)) == "the output is (1,), not (4, 3, 7)"
    missing = {**checked.exact, "output": checked.exact["output"] * torch.nan}
    assert "the output is off by nan" in (checked.failure(contender(lambda: missing)) or "")
    assert checked.failure(contender(broken)) == "it raises RuntimeError: no compiler"


def test_a_plain_loop_follows_lengths_and_resets() -> None:
    cell, (x, _) = rondo.LSTMCell(5, 7), peers.new_batch(SIZES)
    lengths, resets = torch.tensor([4, 0, 2]), torch.rand(3, 4) < 0.5
    y, state = cells.PlainLoop(cell)(x, lengths, resets)
    layer = rondo.Recurrent(cell, batch_first=False, engine="reference")
    expected, last = layer(x, lengths=lengths, resets=resets)
    torch.testing.assert_close((y, state), (expected, last))


# --- peers


def test_a_peer_that_is_not_installed_is_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    said: list[str] = []
    assert peers.available(Options(peers=("nn", "jax")), said.append) == ("nn",)
    (line,) = said
    assert line.startswith("no JAX: it is not installed; do: ")
    assert line.endswith("pip install jax")


def test_a_peer_that_the_suites_do_not_have_is_left_out_with_a_word_if_asked_for() -> None:
    said: list[str] = []
    chosen = Options(suites=("layers",), peers=("nn", "compile"))
    assert peers.available(chosen, said.append) == ("nn",)
    assert said == ["torch.compile is left out: it is in cells alone"]
    assert peers.available(Options(suites=("import",)), said.append) == ()
    assert len(said) == 1


@pytest.mark.parametrize("name", cells.TORCH_CELLS)
def test_jax_computes_the_same(name: str) -> None:
    pytest.importorskip("jax")
    cell, batch, contenders = peers.for_module(name, SIZES, ("jax",))
    assert [contender.name for contender in contenders] == [OURS, "JAX"]
    assert gate(cell, *batch).failure(contenders[1]) is None


def test_jax_computes_the_same_for_a_cell_of_ones_own() -> None:
    pytest.importorskip("jax")
    cell, batch = cells.NormPeepholeLSTM(5, 7), peers.new_batch(SIZES)
    _, other = peers.for_cell(cell, batch, ("jax",))
    assert gate(cell, *batch).failure(other) is None


def test_torchrecurrent_computes_the_same() -> None:
    pytest.importorskip("torchrecurrent")
    for cell_class in peers.TORCHRECURRENT:
        cell, batch = cell_class(5, 7), peers.new_batch(SIZES)
        _, other = peers.for_cell(cell, batch, ("torchrecurrent",))
        assert gate(cell, *batch).failure(other) is None


@pytest.mark.slow
def test_torch_compile_computes_the_same() -> None:
    for _ in range(5):  # torch would run the fifth eagerly
        cell, (x, grad_y) = rondo.ElmanCell(5, 7), peers.new_batch(SIZES)
        contender = compiled("torch.compile", cells.PlainLoop(cell), x, grad_y)
        check = suites._check(gate(cell, x, grad_y), [contender])
        assert check.failures == {}
        assert check.compile_s["torch.compile"] > 1


# --- the command


def test_all_suites_of_one_module(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = bench(
        capsys,
        *("--suite", "layers,ragged,streaming,import", "--module", "GRU", "--peers", "nn,loop"),
        *("--rounds", "2", "--output", str(tmp_path / "results")),
    )
    assert code == 0, err
    for suite in ("layers", "ragged", "streaming", "import"):
        assert f"\n## {suite}\n" in out
        assert f"\n{suite}: " in err
    assert "| GRU | 7, 3, 5, 8 | forward and backward |" in out
    assert "and in brackets the lowest and highest" in out
    assert "- --quick: sizes too small" in out
    assert "JAX is left out" not in out
    assert (tmp_path / "results" / "bench.md").read_text() == out
    assert "<svg" in (tmp_path / "results" / "bench.svg").read_text()
    values = json.loads((tmp_path / "results" / "bench.json").read_text())
    assert values["is_whole"]
    assert values["failures"] == []
    assert any(note.startswith("--quick") for note in values["notes"])
    assert values["peak"]["flops_per_s"] > 0
    row = next(row for row in values["rows"] if row["run"] == "training")
    assert row["sizes"] == {"num_steps": 7, "batch_size": 3, "input_size": 5, "hidden_size": 8}
    times, ratios = row["times_s"], row["ratios"]
    assert set(times) == {OURS, "torch.nn", "eager loop"}
    assert len(times[OURS]["rounds"]) == 2
    first = times["torch.nn"]["rounds"][0] / times[OURS]["rounds"][0]
    assert ratios["torch.nn"]["rounds"][0] == pytest.approx(first)
    assert row["bound_s"] == pytest.approx(row["flops"] / values["peak"]["flops_per_s"])
    measured = [row for row in values["rows"] if row["suite"] != "import"]
    assert all(0 < row["share_of_bound"] <= 1.2 for row in measured)
    step = next(row for row in values["rows"] if row["suite"] == "streaming")
    whole, sequence = step["times_s"][OURS]["rounds"], step["times_s"][rows.IN_SEQUENCE]["rounds"]
    assert step["beyond_arithmetic_s"]["rounds"][0] == pytest.approx(whole[0] - sequence[0])
    assert set(step["ratios"]) == {
        "Recurrent.step",
        "torch.nn's cell",
        "torch.nn's layer, T = 1",
    }
    assert "| rondo, µs | % of bound | arithmetic, µs | beyond it, µs | Recurrent.step |" in out
    assert "| rondo, s |" in out
    assert row["share_of_bound"] == pytest.approx(row["bound_s"] / times[OURS]["median"])
    ways = {row["case"]: set(row["times_s"]) for row in values["rows"] if row["suite"] == "ragged"}
    assert ways == {
        "GRU, rondo": {"dense", "half of the tokens", "resets"},
        "GRU, torch.nn": {"dense", "half of the tokens"},
    }


def test_cells_are_measured_by_the_time_of_a_multiplication(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "minimal gated unit"
    monkeypatch.setattr(suites, "CUSTOM_CELLS", {name: cells.CUSTOM_CELLS[name]})
    code, out, err = bench(capsys, "--suite", "cells", "--peers", "loop", "--rounds", "1")
    assert code == 0, err
    titles = " | ".join(["rondo, ms", "% of bound", "eager loop", "per multiplication"])
    assert f"| run | {titles} |" in out
    times = {OURS: Spread((3.0,)), rows.OUR_LSTM: Spread((2.0,))}
    row = rows.Row("cells", name, "forward", SIZES, times, num_gates=2)
    ratio = row.per_multiplication()
    assert ratio is not None
    assert ratio.median == pytest.approx(3.0)


def test_a_bar_is_in_the_title_and_a_number_above_it_is_marked() -> None:
    times = {
        "dense": Spread((1.0,)),
        "half of the tokens": Spread((0.5,)),
        "resets": Spread((1.2,)),
    }
    row = rows.Row("ragged", "GRU", "forward", SIZES, times, "dense", bars=RAGGED_BARS)
    table = suite_table("ragged", [row], None)
    assert "| half of the tokens (bar 0.6) | resets (bar 1.1) |" in table
    assert "| **0.50** (0.50–0.50) | **1.20** (1.20–1.20), missed |" in table
    plot([row]).canvas.draw()


def test_a_ratio_that_noise_made_says_so() -> None:
    assert spread_text(Spread((0.9, 1.2, 3.0))) == "1.20 (0.90–3.00), covers 1"
    assert spread_text(Spread((1.1, 1.2, 3.0))) == "**1.20** (1.10–3.00)"
    rest = (1.3,) * 8
    assert spread_text(Spread((0.5, *rest))) == "**1.30** (1.30–1.30)"


def test_a_busy_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1 * cores, 9.0, 9.0))
    assert busy_note() is None
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0 * cores, 0.0, 0.0))
    assert f"a mean of {3 * cores:.1f} processes ran on {cores} cores" in (busy_note() or "")


def test_a_quick_run_says_what_it_leaves_out() -> None:
    assert report.quick_note(Options()) is None
    note = report.quick_note(QUICK)
    assert note is not None
    assert note.endswith("; left out: import, RNN, LSTM, 6 of 7 cells")
    whole = Options(is_quick=True)
    assert report.quick_note(whole) == "--quick: sizes too small to say how fast anything is"
    assert Options().cells == len(cells.CUSTOM_CELLS)


def test_words_may_be_in_small_letters() -> None:
    assert words_of(("GRU", "RNN"))("rnn,Gru,rnn") == ("RNN", "GRU")
    assert words_of(("GRU", "RNN"))("ALL") == ("GRU", "RNN")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--suite layrs", "there is no 'layrs' here; did you mean 'layers'?"),
        ("--suite layers,", "there is no '' here; there are: layers, cells, ragged"),
        ("--peers nn,jx", "there is no 'jx' here; did you mean 'jax'?"),
        ("--module GRUU", "there is no 'GRUU' here; did you mean 'GRU'?"),
        ("--rounds 0", "argument --rounds: must be a whole number of 1 or more, but is '0'"),
        (
            "--threads two",
            "argument --threads: the number of threads must be from 1 to ",
        ),
        ("--outptu x", "rondo bench does not take '--outptu'; did you mean '--output'?"),
        ("--output pyproject.toml", "--output must be a folder, but pyproject.toml is a file"),
        (
            "--output pyproject.toml/x",
            "nothing can be written to pyproject.toml/x: Not a directory",
        ),
        ("--threads 9999999", "argument --threads: the number of threads must be from 1 to "),
    ],
)
def test_wrong_words_are_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    check_refused(capsys, f"bench {words}", message)


def test_an_interrupted_run_tells_what_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(options: Any) -> Any:
        yield rows.Row("streaming", "GRU", "step", SIZES, {OURS: Spread((1e-5,))})
        raise KeyboardInterrupt

    monkeypatch.setitem(report.SUITES, "streaming", interrupted)
    code, out, err = bench(capsys, "--suite", "streaming,import", "--output", str(tmp_path))
    assert code == 130
    assert "- interrupted: not all was measured" in out
    assert "| GRU | 4, 3, 5, 7 | step | 10.0 (10.0–10.0) |" in out
    assert "interrupted" in err
    values = json.loads((tmp_path / "bench.json").read_text())
    assert (values["is_whole"], len(values["rows"])) == (False, 1)


def test_without_matplotlib_the_plot_is_left_out(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(['matplotlib', 'lightning', 'PIL']); "
        "from rondo import cli; sys.exit(cli.main(['bench', '--quick', '--suite', 'streaming', "
        "'--module', 'RNN', '--rounds', '1', '--output', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"no plot: matplotlib is not installed; {how_to_install('plot')}\n" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]


def test_a_figure_of_nothing_can_be_drawn() -> None:
    plot([]).canvas.draw()
