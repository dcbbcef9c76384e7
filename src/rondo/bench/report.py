"""A run of the suites, and its results as JSON and as Markdown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rondo.bench import peers
from rondo.bench.findings import Findings, Say, first_notes, noting, peak_of
from rondo.bench.measure import FEW_ROUNDS, Spread, machine
from rondo.bench.options import Options
from rondo.bench.peak import Peak
from rondo.bench.rows import Row
from rondo.bench.suites import SUITES
from rondo.bench.tables import progress, suite_table
from rondo.extras import how_to_install
from rondo.system.files import write_bytes, write_text


class Report(Findings):
    """What was measured of the suites."""

    def to_json(self) -> str:
        """The report for programs."""
        return self.as_json(row_values)

    def to_markdown(self) -> str:
        """The report for people."""
        lines = self.head_lines(
            f"rounds: {self.options.num_rounds}, in which all sides take turns; shown are "
            f"medians and in brackets {self._brackets()}; each side first agreed with the plain "
            "loop in float64; a ratio whose brackets cover 1 shows no difference"
        )
        for suite in SUITES:
            rows = [row for row in self.rows if row.suite == suite]
            if rows:
                lines += ["", f"## {suite}", "", suite_table(suite, rows, self.peak)]
        return "\n".join([*lines, *self.failed_lines()]) + "\n"

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
    notes = first_notes(quick_note(options), say)
    leave_out = noting(notes, say)
    options = replace(options, peers=peers.available(options, leave_out))
    report = Report(options, machine(), peak_of(options.peak_rounds, leave_out), notes=notes)
    try:
        for suite in options.suites:
            torch.manual_seed(0)  # what a suite draws does not depend on those before it
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


def row_values(row: Row, peak: Peak | None) -> dict[str, Any]:
    """Returns a row as JSON has it."""
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
    if row.work is not None:
        values["flops"] = row.work.flops
    if row.work is not None and peak is not None:
        values["bound_s"] = peak.bound_s(row.work)
        values["share_of_bound"] = row.share_of_bound(peak)
    if (per_multiplication := row.per_multiplication()) is not None:
        values["per_multiplication"] = _spread_values(per_multiplication)
    if (beyond := row.beyond_arithmetic()) is not None:
        values["beyond_arithmetic_s"] = _spread_values(beyond)
    return values


def _spread_values(spread: Spread) -> dict[str, Any]:
    low, high = spread.quartiles
    return {"median": spread.median, "quartiles": [low, high], "rounds": list(spread.values)}
