"""All that was looked at, as text, as JSON, and whether Rondo can be used here."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass

import rondo
from rondo.doctor import machine, packages
from rondo.doctor.finding import Finding
from rondo.system.json_text import json_text

WIDEST = 100
"""Characters of a line of the text, at most."""


@dataclass(frozen=True)
class Report:
    """What `rondo doctor` found; it prints as readable text.

    Args:
        findings: In the order in which they were looked at.
    """

    findings: tuple[Finding, ...]

    @property
    def is_usable(self) -> bool:
        """Whether nothing is broken; what merely lacks does no harm."""
        return all(finding.state != "broken" for finding in self.findings)

    def to_json(self) -> str:
        """The report for programs."""
        values = {
            "rondo": rondo.__version__,
            "is_usable": self.is_usable,
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json_text(values, indent=1)

    def __str__(self) -> str:
        width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
        lines = [f"rondo {rondo.__version__}", ""]
        for finding in self.findings:
            lines += _lines(finding, max(width, 60))
        return "\n".join([*lines, "", self._verdict()])

    def _verdict(self) -> str:
        numbers = Counter(finding.state for finding in self.findings)
        if not self.is_usable:
            return "Rondo cannot be used as it is: mend what is marked as broken"
        if numbers["lacks"]:
            return "Rondo can be used; what is marked as lacking is needed by some of it alone"
        return "Rondo can be used, with all that it has"


def diagnose() -> Report:
    """Looks at the machine and tries a cell; takes about two seconds beside importing torch."""
    of_torch, torch = packages.torch_finding()
    found = [*machine.findings(), of_torch]
    if torch is not None and of_torch.state == "ok":
        from rondo.doctor import kernels
        from rondo.doctor.self_test import self_test

        found += [*kernels.findings(), packages.gpu(torch), self_test()]
    return Report((*found, *packages.extras()))


def _lines(finding: Finding, width: int) -> list[str]:
    """A finding as lines, what to do below it."""
    begin = f"{finding.state:<7} {finding.name:<15} "
    indent = " " * len(begin)
    wrap = textwrap.TextWrapper(
        width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    wrap.initial_indent = begin
    lines = wrap.wrap(finding.text)
    if finding.remedy is not None:
        wrap.initial_indent, wrap.subsequent_indent = f"{indent}-> ", f"{indent}   "
        lines += wrap.wrap(finding.remedy)
    return lines
