"""What `rondo bench call` measures and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import rondo
from rondo import cli
from rondo.bench.call import FORWARD, STACK, STREAM, TRAINING, measure
from rondo.bench.study_options import CallOptions

FEW = {"num_steps": (1, 2), "batch_sizes": (3,), "hidden_sizes": (4,), "num_rounds": 2}


def test_each_kind_of_call_has_a_row() -> None:
    options = CallOptions(kinds=("LSTM", "RNN"), budget_s=0.01, **FEW)  # type: ignore[arg-type]
    rows = list(measure(options))
    expected = [
        (kind, steps, batch, 4, what)
        for kind in ("LSTM", "RNN")
        for steps, batch, what in (
            *((steps, 3, what) for steps in (1, 2) for what in (FORWARD, TRAINING)),
            *((1, 1, what) for what in (STACK, STREAM)),
        )
    ]
    assert [tuple(vars(row).values())[:5] for row in rows] == expected
    assert len(rows) == options.num_rows
    for row in rows:
        assert row.ratio is not None, row
        assert min(row.rondo_us, row.torch_us) > 0
        low, high = row.ratio.shown
        assert low <= row.ratio.median <= high


def test_what_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(rondo.GRU):
        def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
            output, last = super().forward(input, hx)
            return output + 0.1, last

    monkeypatch.setattr(rondo, "GRU", Wrong)
    options = CallOptions(kinds=("GRU",), passes=("training",), budget_s=0.01, **FEW)  # type: ignore[arg-type]
    rows = list(measure(options))
    assert rows
    assert all(row.ratio is None and "differs by" in row.failures["Rondo"] for row in rows)


def test_the_table_is_printed_and_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    try:
        assert cli.main(["bench", "call", "--quick", "--output", str(tmp_path)]) == 0
    finally:
        torch.set_num_threads(threads)
    written = (tmp_path / "call.md").read_text()
    assert written.strip().splitlines()[-1] in capsys.readouterr().out
    told = json.loads((tmp_path / "call.json").read_text())
    assert told["is_whole"]
    assert len(told["rows"]) == 2 * 2 * 2 + 2
    assert written.count("| GRU") == len(told["rows"]) + 4
