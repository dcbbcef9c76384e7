"""The self-test: a cell that nobody compiled before is compiled and checked."""

from __future__ import annotations

import random
import time
import warnings

import torch
from torch import Tensor, nn

from rondo.compiler.c_compiler import NoCompilerError, compiler
from rondo.doctor.finding import Finding
from rondo.layers.check import Report, check

REPORT_IT = "please report it with what `rondo doctor --json` prints"


class NewCell(nn.Module):
    """h' = tanh(U x + a W h), with a number `a` of its own that stands in its kernel."""

    state_size = 24

    def __init__(self) -> None:
        super().__init__()
        self.U, self.W = nn.Linear(12, 24), nn.Linear(24, 24, bias=False)
        self.a = random.SystemRandom().uniform(0.5, 1.0)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state, which are the same."""
        h = torch.tanh(self.U(x) + self.a * self.W(h))
        return h, h


def self_test() -> Finding:
    """Compiles a new cell, compares it with the plain loop; returns what came of it."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings(action="ignore"):  # the report has the reasons
            report = check(NewCell(), torch.randn(3, 5, 12))
    except Exception as error:  # whatever is wrong, it is to be told
        text = f"raised {type(error).__name__}: {error}".rstrip(": ")
        return Finding("self-test", text, "broken", REPORT_IT)
    return _finding(report, time.perf_counter() - began)


def _finding(report: Report, seconds: float) -> Finding:
    found = report.comparison
    facts = {
        "seconds": seconds,
        "engine": report.engine,
        "backward_engine": report.backward_engine,
        "reason": report.reason,
        "largest_difference": None if found is None else found.largest,
    }
    took = f"in {seconds:.1f} s"
    if not report or found is None or found.skipped is not None:
        lines = "; ".join(line.strip() for line in str(report).splitlines()[1:])
        return Finding("self-test", f"failed {took}: {lines}", "broken", REPORT_IT, facts)
    equal = f"equals the plain loop to {found.largest:.0e}, forward and backward"
    if (report.engine, report.backward_engine) == ("cpu", "cpu"):
        return Finding("self-test", f"a new cell was compiled and {equal} ({took})", facts=facts)
    text = f"a new cell was not compiled ({report.reason}); it {equal} ({took})"
    if _is_compiler_there():
        return Finding("self-test", text, "broken", f"mend what it says, or {REPORT_IT}", facts)
    remedy = "install a C compiler, see above; layers run without one, but slower"
    return Finding("self-test", text, "lacks", remedy, facts)


def _is_compiler_there() -> bool:
    try:
        compiler()
    except NoCompilerError:
        return False
    return True
