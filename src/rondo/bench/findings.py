"""What was measured, where and how: what the suites and the studies have in common.

In go the rows of a run, out come JSON, and what every page tells of the machine, of notes and of
sides that were not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rondo.bench.measure import busy_note
from rondo.bench.peak import Peak, measure_peak
from rondo.compiler.c_compiler import NoCompilerError
from rondo.system.json_text import json_text

Say = Callable[[str], None]

Values = Callable[[Any, Peak | None], dict[str, Any]]


@dataclass
class Findings:
    """What was measured, where and how.

    Args:
        options: What was to be measured.
        machine: The processor, versions, date and command.
        peak: The best rates of the machine, which bound every row; None without a compiler.
        rows: The results so far.
        is_whole: Whether all was measured that was to be.
        notes: What was left out and why, and what else a reader must know.
    """

    options: Any
    machine: dict[str, str]
    peak: Peak | None
    rows: list[Any] = field(default_factory=list)
    is_whole: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """A line for each side that computed something else, and was not timed."""
        return failure_lines(self.rows)

    def as_json(self, values_of: Values, **more: Any) -> str:
        """The findings for programs.

        Args:
            values_of: Returns a row as JSON has it.
            more: What else there is to tell.
        """
        values = {
            **more,
            "machine": self.machine,
            "options": asdict(self.options),
            "peak": self.peak and self.peak.to_values(),
            "is_whole": self.is_whole,
            "notes": self.notes,
            "failures": self.failures,
            "rows": [values_of(row, self.peak) for row in self.rows],
        }
        return json_text(values, indent=1)

    def head_lines(self, *facts: str) -> list[str]:
        """Where and how it was measured, with more facts after those of the machine."""
        lines = [f"{name}: {text}" for name, text in self.machine.items()]
        lines += [] if self.peak is None else [f"peak: {self.peak}"]
        lines += [*facts, *self.notes]
        lines += [] if self.is_whole else ["interrupted: not all was measured"]
        return [f"- {line}" for line in lines]

    def failed_lines(self) -> list[str]:
        """The section on what was not timed; nothing where all was."""
        if not self.failures:
            return []
        head = ["", "## Failed the conformance check, so not timed", ""]
        return head + [f"- {line}" for line in self.failures]


def failure_lines(rows: Iterable[Any]) -> list[str]:
    """Returns a line for each contender that failed, once."""
    lines = [
        f"{row.suite}, {row.case}{f' ({row.sizes})' if row.sizes else ''}: {name}: {failure}"
        for row in rows
        for name, failure in row.failures.items()
    ]
    return list(dict.fromkeys(lines))


def first_notes(quick: str | None, say: Say) -> list[str]:
    """Returns what a reader must know before all else, and says it."""
    notes = [note for note in (quick, busy_note()) if note is not None]
    for note in notes:
        say(note)
    return notes


def noting(notes: list[str], say: Say) -> Say:
    """Returns what adds a note and says it."""

    def note(text: str) -> None:
        notes.append(text)
        say(text)

    return note


def peak_of(num_rounds: int, say: Say) -> Peak | None:
    """Returns the peak; None without a compiler, which it says."""
    try:
        return measure_peak(num_rounds)
    except NoCompilerError as error:
        say(f"no share of the bound: {error}")
        return None
