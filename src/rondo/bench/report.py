"""A run of the suites, and its results as JSON and as Markdown."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from rondo.bench import peers
from rondo.bench.measure import FEW_ROUNDS, Peak, Spread, busy_note, machine, measure_peak
from rondo.bench.options import Options
from rondo.bench.rows import Row
from rondo.bench.suites import SUITES
from rondo.bench.tables import progress, suite_table
from rondo.extras import how_to_install
from rondo.system.files import write_bytes, write_text
from rondo.system.json_text import json_text

Say = Callable[[str], None]


@dataclass
class Report:
    """What was measured, where and how.

    Args:
        options: What was to be measured.
        machine: The processor, versions, date and command.
        peak: The best rate of products, which is the bound of every row.
        rows: The results so far.
        is_whole: Whether all was measured that was to be.
        notes: What was left out and why, and what else a reader must know.
    """

    options: Options
    machine: dict[str, str]
    peak: Peak
    rows: list[Row] = field(default_factory=list)
    is_whole: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """A line for each contender that failed its conformance check."""
        lines = [
            f"{row.suite}, {row.case}{f' ({row.sizes})' if row.sizes else ''}: {name}: {failure}"
            for row in self.rows
            for name, failure in row.failures.items()
        ]
        return list(dict.fromkeys(lines))

    def to_json(self) -> str:
        """The report for programs."""
        values = {
            "machine": self.machine,
            "options": asdict(self.options),
            "peak": asdict(self.peak),
            "is_whole": self.is_whole,
            "notes": self.notes,
            "failures": self.failures,
            "rows": [_row_values(row, self.peak) for row in self.rows],
        }
        return json_text(values, indent=1)

    def to_markdown(self) -> str:
        """The report for people."""
        lines = [f"- {name}: {text}" for name, text in self.machine.items()]
        lines.append(f"- peak of float32 products: {self.peak}")
        lines.append(
            f"- rounds: {self.options.num_rounds}, in which all sides take turns; shown are "
            f"medians and in brackets {self._brackets()}; each side first agreed with the plain "
            "loop in float64; a ratio whose brackets cover 1 shows no difference"
        )
        lines += [f"- {note}" for note in self.notes]
        if not self.is_whole:
            lines.append("- interrupted: not all was measured")
        for suite in SUITES:
            rows = [row for row in self.rows if row.suite == suite]
            if rows:
                lines += ["", f"## {suite}", "", suite_table(suite, rows, self.peak)]
        if self.failures:
            lines += ["", "## Failed the conformance check, so not timed", ""]
            lines += [f"- {line}" for line in self.failures]
        return "\n".join(lines) + "\n"

    def _brackets(self) -> str:
        return "quartiles" if self.options.num_rounds >= FEW_ROUNDS else "the lowest and highest"

    def write(self, folder: Path, say: Say) -> None:
        """Writes bench.json, bench.md and, where matplotlib is installed, bench.svg."""
        write_text(folder / "bench.json", self.to_json())
        write_text(folder / "bench.md", self.to_markdown())
        names = "bench.json, bench.md"
        try:
            from rondo.bench.plot import plot
        except ModuleNotFoundError as error:
            say(f"no plot: {error.name} is not installed; {how_to_install('plot')}")
        else:
            picture = io.BytesIO()
            plot(self.rows).savefig(picture, format="svg", metadata={"Date": None})
            write_bytes(folder / "bench.svg", picture.getvalue())
            names += ", bench.svg"
        say(f"wrote {names} in {folder}")


def run(options: Options, say: Say) -> Report:
    """Measures what is asked for; an interruption ends it with what there is.

    Args:
        options: What to measure.
        say: Tells the user what goes on.
    """
    notes = [note for note in (busy_note(), quick_note(options)) if note is not None]
    for note in notes:
        say(note)

    def leave_out(note: str) -> None:
        notes.append(note)
        say(note)

    options = replace(options, peers=peers.available(options, leave_out))
    torch.manual_seed(0)
    say("measuring the peak")
    report = Report(options, machine(), measure_peak(options.peak_size), notes=notes)
    try:
        for suite in options.suites:
            for row in SUITES[suite](options):
                report.rows.append(row)
                say(progress(row))
        report.is_whole = True
    except KeyboardInterrupt:
        say("interrupted; this is what was measured:")
    return report


def quick_note(options: Options) -> str | None:
    """Returns what a quick run leaves out; None for a whole one."""
    if not options.is_quick:
        return None
    whole = Options()
    left_out = [name for name in whole.suites if name not in options.suites]
    left_out += [name for name in whole.modules if name not in options.modules]
    if "cells" in options.suites and options.cells < whole.cells:
        left_out.append(f"{whole.cells - options.cells} of {whole.cells} cells")
    rest = f"; left out: {', '.join(left_out)}" if left_out else ""
    return f"--quick: sizes too small to say how fast anything is{rest}"


def _row_values(row: Row, peak: Peak) -> dict[str, Any]:
    """A row as JSON has it."""
    values: dict[str, Any] = {
        "suite": row.suite,
        "case": row.case,
        "run": row.run,
        "sizes": row.sizes and row.sizes._asdict(),
        "base": row.base,
        "times_s": {name: _spread_values(times) for name, times in row.times.items()},
        "ratios": {name: _spread_values(ratio) for name, ratio in row.ratios().items()},
        "bars": row.bars,
        "failures": row.failures,
        "compile_s": row.compile_s,
    }
    if row.flops is not None:
        values |= {
            "flops": row.flops,
            "bound_s": row.flops / peak.flops_per_s,
            "share_of_bound": row.share_of_bound(peak.flops_per_s),
        }
    if (per_multiplication := row.per_multiplication()) is not None:
        values["per_multiplication"] = _spread_values(per_multiplication)
    if (beyond := row.beyond_arithmetic()) is not None:
        values["beyond_arithmetic_s"] = _spread_values(beyond)
    return values


def _spread_values(spread: Spread) -> dict[str, Any]:
    low, high = spread.quartiles
    return {"median": spread.median, "quartiles": [low, high], "rounds": list(spread.values)}
