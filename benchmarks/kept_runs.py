"""Runs that are kept in a folder: what is finished is read, what is not goes on where it was."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rondo.training.memory import keep_freed_memory

keep_freed_memory()  # before torch takes its first memory

from rondo.bench.measure import machine_lines  # noqa: E402
from rondo.errors import RunError  # noqa: E402
from rondo.tasks.registry import definition_of, folder_of  # noqa: E402
from rondo.training.definition import Definition  # noqa: E402
from rondo.training.fit import fit  # noqa: E402
from rondo.training.recipe import Recipe  # noqa: E402
from rondo.training.request import Request, make_config  # noqa: E402
from rondo.training.run_folder import RunFolder  # noqa: E402
from rondo.training.session import begin, resume  # noqa: E402

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Kept:
    """A finished run.

    Args:
        records: Its checks, and last its test.
    """

    records: list[dict[str, Any]]

    @property
    def test(self) -> dict[str, Any]:
        return self.records[-1]

    @property
    def best_check(self) -> float:
        """The smallest loss in a check."""
        return min(record["loss"] for record in self.records if record["split"] == "val")


def kept_run(runs: Path, label: str, task: str, **given: Any) -> Kept:
    """A finished run: read from its folder, or trained now, from its beginning or saved state.

    Args:
        runs: Where all runs are kept.
        label: The name of this one's folder.
        task: The name of the task.
        given: Options of the task, of its recipe and of every run, as on the command line; what is
            None is not given.
    """
    definition, path = definition_of(task), runs / label
    request = request_of(definition, **given)
    folder = RunFolder(path, definition)
    records = folder.read_metrics()
    if folder.config_file.exists():
        check_same(folder, request)
        if records and records[-1]["split"] == "test":
            return Kept(records)
        run = resume(definition, path, given.get("data"), quiet)
    else:
        run = begin(definition, request, path, quiet)
    outcome = fit(run, say=quiet)
    if outcome.signal_number is not None:
        raise SystemExit(128 + outcome.signal_number)
    test = outcome.records[-1]
    note(
        f"{label}: {'solved, ' if test['solved'] else ''}{test['num_seen']} sequences, "
        f"test {test['loss']:.4f}, {test['seconds']:.0f} s"
    )
    return Kept(outcome.records)


def request_of(definition: Definition, epochs: int | None = None, **given: Any) -> Request:
    """What options ask for that are named as on the command line."""
    named = {"num_epochs": epochs, **given}
    named = {name: value for name, value in named.items() if value is not None}
    own = {item.name for item in fields(definition.options)}
    of_recipe = {item.name for item in fields(Recipe)} - own
    return Request(
        options={name: value for name, value in named.items() if name in own},
        recipe={name: value for name, value in named.items() if name in of_recipe},
        **{name: value for name, value in named.items() if name not in own | of_recipe},
    )


def check_same(folder: RunFolder, request: Request) -> None:
    """Fails where a kept run was asked to do something else, wherever its data lie."""
    kept, (asked, _, _) = folder.read_config(), make_config(folder.definition, request)
    if replace(kept, versions={}, options=asked.options) != replace(asked, versions={}):
        raise RunError(f"{folder.path} was made with other settings; give another --runs")


def total_minutes(runs: Path) -> float:
    """The time that all finished runs took, in minutes."""
    folders = [folder_of(path.parent) for path in runs.glob("*/config.json")]
    last = [records[-1] for folder in folders if (records := folder.read_metrics())]
    return sum(record["seconds"] for record in last) / 60


def write_page(
    file: Path,
    title: str,
    notes: str,
    sections: Sequence[str],
    runs: Path | None,
    *given: Path | None,
) -> None:
    """Writes and prints the result of a benchmark, with PATH in the place of folders.

    Args:
        file: Where it is written.
        title: Its title.
        notes: What is measured, paragraphs in lines of any length.
        sections: What was found.
        runs: Where the runs are kept, or None.
        given: Other folders that were given, or None.
    """
    paragraphs = notes.strip().split("\n\n")
    told = "\n\n".join(textwrap.fill(item, 98, break_on_hyphens=False) for item in paragraphs)
    lines = machine_lines()
    if runs is not None:
        lines += f"- time of all runs: {total_minutes(runs):.0f} minutes\n"
    page = f"# {title}\n\n{lines}\n{told}\n\n" + "\n\n".join(sections) + "\n"
    for path in (*given, runs, file.parent):
        page = page if path is None else page.replace(str(path), "PATH")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page)
    print(page)


def quiet(_text: str) -> None:
    """Says nothing."""


def note(text: str) -> None:
    """Tells how far it is."""
    print(text, file=sys.stderr, flush=True)
