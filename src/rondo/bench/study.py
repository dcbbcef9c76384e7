"""The studies of `rondo bench NAME`: how one is run, and what is written of it.

In go the name of a study and its options, out come Markdown, JSON and, where a study has one, a
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rondo.bench import bf16, busy, call, shape_map, token
from rondo.bench.findings import Findings, Say, first_notes, noting, peak_of
from rondo.bench.measure import machine
from rondo.bench.peak import Peak
from rondo.bench.report import row_values
from rondo.bench.study_options import StudyOptions
from rondo.bench.tables import progress
from rondo.extras import how_to_install
from rondo.system.files import write_text

PEAK_ROUNDS = 40


@dataclass(frozen=True)
class Study:
    """How a question is answered.

    Args:
        title: What it is about.
        measure: Takes the options; yields rows as they are measured.
        progress: Tells of a row in one line.
        tables: Returns the rows as Markdown, with what the numbers mean.
        values: Returns a row as JSON has it.
        picture: Returns the rows as SVG; it may need Matplotlib.
        without_missing: Returns the options less what this machine lacks, which it says.
    """

    title: str
    measure: Callable[[Any], Iterator[Any]]
    tables: Callable[[Sequence[Any], Any], str]
    progress: Callable[[Any], str] = progress
    values: Callable[[Any, Peak | None], dict[str, Any]] = row_values
    picture: Callable[[Sequence[Any]], str] | None = None
    without_missing: Callable[[Any, Say], Any] = lambda options, say: options


def _map_svg(rows: Sequence[Any]) -> str:
    from rondo.bench.map_plot import map_svg

    return map_svg(rows)


def _token_svg(rows: Sequence[Any]) -> str:
    from rondo.bench.token_plot import token_svg

    return token_svg(rows)


STUDIES: dict[str, Study] = {
    "map": Study("Drop-ins over many shapes", shape_map.measure, shape_map.tables,
                 picture=_map_svg),
    "busy": Study("Drop-ins beside busy processes", busy.measure, busy.tables, busy.progress,
                  busy.values, without_missing=busy.without_missing),
    "bf16": Study("Drop-ins in bfloat16", bf16.measure, bf16.tables),
    "call": Study("Calls of one or a few steps", call.measure, call.tables, call.progress,
                  call.values),
    "token": Study("The time of a token", token.measure, token.tables, picture=_token_svg,
                   without_missing=token.without_missing),
}  # fmt: skip
"""By the word of the command. One that yields rows of `rondo.bench.rows` states three things."""


@dataclass
class StudyFindings(Findings):
    """What was measured for a study.

    Args:
        name: The study, of `STUDIES`.
    """

    name: str = ""

    @property
    def study(self) -> Study:
        """How it was measured."""
        return STUDIES[self.name]

    def to_json(self) -> str:
        """The findings for programs."""
        return self.as_json(self.study.values, study=self.name)

    def to_markdown(self) -> str:
        """The findings for people."""
        tables = self.study.tables(self.rows, self.options)
        lines = [f"# {self.study.title}", "", *self.head_lines(), "", tables, *self.failed_lines()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, say: Say) -> None:
        """Writes NAME.json, NAME.md and, where there is a picture of it, NAME.svg."""
        texts = {"json": self.to_json(), "md": self.to_markdown()}
        if self.study.picture is not None:
            try:
                texts["svg"] = self.study.picture(self.rows)
            except ModuleNotFoundError as error:
                say(f"no picture: {error.name} is not installed; {how_to_install('plot')}")
        for ending, text in texts.items():
            write_text(folder / f"{self.name}.{ending}", text)
        say(f"wrote {', '.join(f'{self.name}.{ending}' for ending in texts)} in {folder}")


def run(name: str, options: StudyOptions, say: Say) -> StudyFindings:
    """Measures a study; an interruption ends it with what there is.

    Args:
        name: A key of `STUDIES`.
        options: Its options.
        say: Tells the user what goes on.
    """
    study, quick = STUDIES[name], None
    if options.is_quick:
        quick = "--quick: too small and too short to say how fast anything is"
    notes = first_notes(quick, say)
    leave_out = noting(notes, say)
    options = study.without_missing(options, leave_out)
    peak = peak_of(PEAK_ROUNDS, leave_out) if study.values is row_values else None
    torch.manual_seed(0)
    findings = StudyFindings(options, machine(), peak, notes=notes, name=name)
    try:
        for row in study.measure(options):
            findings.rows.append(row)
            say(study.progress(row))
        findings.is_whole = True
    except KeyboardInterrupt:
        say("interrupted; this is what was measured:")
    return findings
