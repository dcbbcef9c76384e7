"""What `benchmarks/call.py` measures and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rondo.bench.call import FORWARD, STACK, STREAM, TRAINING, CallRow, call_rows

ROOT = Path(__file__).parents[1]


def test_each_kind_of_call_has_a_row() -> None:
    sizes = {"steps": (1, 2), "batches": (3,), "sizes": (4,)}
    rows = list(call_rows(kinds=("LSTM", "RNN"), **sizes, num_rounds=2, turn_s=0.0))
    expected = [
        (kind, steps, batch, 4, what)
        for kind in ("LSTM", "RNN")
        for steps, batch, what in (
            *((steps, 3, what) for steps in (1, 2) for what in (FORWARD, TRAINING)),
            *((1, 1, what) for what in (STACK, STREAM)),
        )
    ]
    assert [tuple(vars(row).values())[:5] for row in rows] == expected
    for row in rows:
        assert isinstance(row, CallRow)
        assert row.rondo_us > 0
        assert row.torch_us > 0
        low, high = row.spread
        assert low <= row.ratio.median <= high
        assert len(row.ratio.values) == 2


def test_the_table_is_printed_and_written(tmp_path: Path) -> None:
    script = str(ROOT / "benchmarks" / "call.py")
    words = ["--quick", "--rounds", "1", "--threads", "1", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, script, *words], capture_output=True, text=True, check=True, timeout=300
    )
    written = (tmp_path / "call.md").read_text()
    rows = [line for line in done.stdout.splitlines() if line.startswith("| GRU")]
    assert len(rows) == 2 * 2 * 2 * 2 + 2 + 1
    assert all(row in written for row in rows)
    assert "| GRU | forward | 8 |" in written  # the summary
    told = json.loads((tmp_path / "call.json").read_text())
    assert (told["rounds"], told["threads"], len(told["rows"])) == (1, 1, len(rows))
