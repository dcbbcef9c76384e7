"""The peak of the machine, and the bound that it sets to each row of `rondo bench`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rondo import cli
from rondo.bench import findings
from rondo.bench.measure import Spread
from rondo.bench.options import OURS, Sizes, Work
from rondo.bench.peak import Level, Peak, measure_peak
from rondo.bench.rows import Row
from rondo.bench.tables import suite_table
from rondo.compiler.c_compiler import NoCompilerError
from rondo.system.processor import Cache, caches

PEAK = Peak(
    num_threads=2,
    vector_bytes=32,
    flops_per_s=1e9,
    flops_per_s_of_one=6e8,
    first_bytes=1000,
    levels=(Level("cache 2", 10_000, 4e6), Level("memory", math.inf, 1e6)),
)
"""A peak of round numbers."""


def test_the_machine_has_a_peak() -> None:
    peak = measure_peak(num_rounds=3)
    assert peak.num_threads == torch.get_num_threads()
    assert peak.vector_bytes in (16, 32, 64)
    assert 1e8 < peak.flops_per_s_of_one <= peak.flops_per_s
    rates = [level.bytes_per_s for level in peak.levels]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 1e7
    assert peak.levels[-1].name == "memory"


def test_products_or_weights_bound_the_time() -> None:
    assert PEAK.bound_s(Work(2_000_000_000, ())) == 2.0
    assert PEAK.bound_s(Work(1, ((900, 1e9),))) == 1e-9, "what the first level holds is no bound"
    assert PEAK.bound_s(Work(1, ((8000, 1000),))) == 2.0
    assert PEAK.bound_s(Work(1, ((20_000, 100), (40_000, 0.5)))) == pytest.approx(2.02)


def test_the_work_of_a_layer_is_that_of_the_stated_formulas() -> None:
    sizes, of_h, of_x = Sizes(5, 3, 7, 11), 4 * 4 * 11 * 11, 4 * 4 * 11 * 7
    forward, training = (sizes.work(4, training=training) for training in (False, True))
    assert forward.flops == 2 * 5 * 3 * 4 * 11 * (7 + 11)
    assert training.flops == 3 * forward.flops
    (size, times), (both, share) = forward.reads
    assert (size, times, both) == (of_h, 5, of_h + of_x)
    assert both * share == pytest.approx(of_x), "those of x are read once"
    assert training.reads[0] == (of_h, 10)


def test_a_row_shows_its_share_of_the_bound() -> None:
    times = {OURS: Spread((0.5,))}
    row = Row("layers", "GRU", "forward", Sizes(1, 1, 4, 4), times, num_gates=3)
    assert row.work is not None
    assert row.share_of_bound(PEAK) == pytest.approx(PEAK.bound_s(row.work) / 0.5)
    fast = Row("layers", "GRU", "forward", row.sizes, {OURS: Spread((4e-7,))}, num_gates=3)
    table = suite_table("layers", [row, fast], PEAK)
    assert "| rondo, ms | % of bound |" in table
    assert "| 0.0 |" in table
    assert "| 48 |" in table
    assert "% of bound" not in suite_table("layers", [row], None)


def test_the_peak_is_told_in_one_line() -> None:
    assert str(PEAK) == (
        "1 GFLOP/s on 1 thread, 1 on 2 (multiply-add of 256-bit vectors); read by 2 threads: "
        "cache 2 0 GB/s; memory 0 GB/s"
    )
    told = str(replace(PEAK, first_bytes=math.inf))
    assert told.endswith("; the system tells of no caches, so reading bounds nothing")
    assert PEAK.to_values()["levels"] == {"cache 2": 4e6, "memory": 1e6}


def test_without_a_compiler_the_column_is_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(num_rounds: int) -> Peak:
        raise NoCompilerError("no C compiler was found")

    monkeypatch.setattr(findings, "measure_peak", fail)
    words = ["--suite", "streaming", "--rounds", "1", "--peers", "nn"]
    assert cli.main(["bench", "--quick", *words]) == 0
    captured = capsys.readouterr()
    assert "- no share of the bound: no C compiler was found" in captured.out
    assert "| rondo, µs | arithmetic, µs |" in captured.out


def test_caches_as_the_system_describes_them(tmp_path: Path) -> None:
    described = {
        "index0": ("Data", "1", "32K", "0"),
        "index1": ("Instruction", "1", "64K", "0"),
        "index3": ("Unified", "3", "8192K", "0-3,8"),
        "index2": ("Unified", "2", "512K", "0,4"),
        "index4": ("Unified", "4", "", "0"),
    }
    for name, values in described.items():
        (tmp_path / name).mkdir()
        for file, value in zip(("type", "level", "size", "shared_cpu_list"), values, strict=True):
            (tmp_path / name / file).write_text(f"{value}\n")
    (tmp_path / "index5").mkdir()
    expected = [Cache(1, 32 << 10, 1), Cache(2, 512 << 10, 2), Cache(3, 8 << 20, 5)]
    assert caches(tmp_path) == expected
    assert caches(tmp_path / "absent") == []
