"""Commands hit by faults at random moments: what is lost, half, other, or told badly.

Each row is one command (compiling, training, saving, exporting, serving the page), hit by one fault
(SIGKILL, SIGINT, a full disk, a limit of memory, a compiler that is gone or fails) at a moment that
is drawn, then resumed or repeated, and compared with the same command undisturbed. A failure is
printed with what is needed to repeat it.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from fault_kinds import DRAWS
from fault_places import PLACES, Place, Undisturbed, undisturbed
from fault_processes import Lane, lane
from fault_rows import PHASES, Result, Row, drawn_row, run_row
from kept_runs import note, write_page
from rondo.system.columns import markdown_table

Item = TypeVar("Item")

OWN_MOUNTS = "RONDO_CAMPAIGN_MOUNTS"
"""Set in the environment of a campaign whose mounts nobody else sees."""

COLUMNS = ("lost", "half files", "other numbers", "wrong endings", "hangs", "left behind")
"""What must not be."""

NOTES = """\
{num} commands on small runs, each hit by one fault at a random moment: at any time, or at a change
of one of its files and up to {delay_ms:g} ms later; "saving" are trainings that are always hit
there. The process stands still while the fault comes about. Then the command is resumed, or
repeated where there is nothing to resume, and compared with the same command undisturbed. Commands
are forked from a process that has imported what they need. Disk full: {disk}. Memory limit:
RLIMIT_AS at what the process has then, and up to 48 MiB more. Compiler: it is removed, also killed
while it compiles, fails, writes nothing or something else than a library.

Hit "before", "while", "after": the first save of a training, the first new file of an export, the
first kernel (while: a compiler runs), the first answer of the page (while: a request is being
answered); "missed": the command had ended each time. "Lost" is a file, a record or a step of the
saved state that was there when the fault came and is no more, or a run that cannot be resumed.
"Half files" are JSON, weights and states (with their digests), pictures, pages, tables or kernels
that cannot be read whole, at once and after the repetition. "Other numbers" are records, weights,
exported files and answers of the page that are not, bit for bit, those of the undisturbed command;
where the process told that a compiler failed and the reference engine ran, they may differ by
rounding (0.1 %). "Wrong endings" are an exit code or a last line that does not say what happened, a
traceback of ours (torch logs some of its own), a warning that does not name the compiler. "Left
behind" are processes, locks that are held and unfinished files.
"""


def in_own_mounts() -> bool:
    """Whether what is mounted ends with this program; it is started again to make it so."""
    if OWN_MOUNTS in os.environ:
        return True
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    for words in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        trial = [*words, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:
            os.environ[OWN_MOUNTS] = "yes"
            os.execvp(words[0], [*words, sys.executable, *sys.orig_argv[1:]])
    return False


class Campaign:
    """Rows that are run, in several lanes at once.

    Args:
        folder: An empty folder for all that it needs.
        seed: What the rows are drawn with.
        numbers: Their numbers.
        can_mount: Whether disks can be mounted.
    """

    def __init__(self, folder: Path, seed: int, numbers: list[int], can_mount: bool) -> None:
        self.folder, self.seed, self.can_mount = folder, seed, can_mount
        self.warm = folder / "kernels"
        self.known: dict[Place, Undisturbed] = {}
        self.numbers = numbers
        self.results: list[Result] = []

    def run(self, num_lanes: int) -> None:
        with ExitStack() as stack:
            lanes = [
                stack.enter_context(lane(self.folder / f"lane-{number}", self.can_mount))
                for number in range(num_lanes)
            ]
            rows = [drawn_row(self.seed, number) for number in self.numbers]
            needed = list(dict.fromkeys(row.command for row in rows))
            self._in_lanes(lanes, needed, self._prepare)
            self._in_lanes(lanes, rows, self._run_row)
        self.results.sort(key=lambda result: result.row.number)

    def _in_lanes(
        self, lanes: list[Lane], items: list[Item], do: Callable[[Item, Lane], None]
    ) -> None:
        """Does something with each item, in whichever lane is free; a failure ends all."""
        waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        for item in items:
            waiting.put(item)
        failures: list[BaseException] = []

        def work(where: Lane) -> None:
            try:
                while not failures:
                    do(waiting.get_nowait(), where)
            except queue.Empty:
                pass
            except BaseException as error:
                note(f"the campaign itself fails: {error!r}")
                failures.append(error)

        threads = [threading.Thread(target=work, args=(where,)) for where in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure

    def _prepare(self, place: Place, where: Lane) -> None:
        kept = Path(tempfile.mkdtemp(dir=self.folder, prefix="known-"))
        self.known[place] = undisturbed(place, where, kept, self.warm)

    def _run_row(self, row: Row, where: Lane) -> None:
        result = run_row(row, where, self.known[row.command], self.warm)
        self.results.append(result)
        ending = "hangs" if result.code is None else f"exit code {result.code}"
        note(f"{len(self.results)}/{len(self.numbers)} {row}: {result.phase}, {ending}")
        if result.wrong:
            note(failure_text(result, self.seed))


def failure_text(result: Result, seed: int) -> str:
    """All that is needed to repeat a row that failed."""
    what = "".join(f"\n  {column}: {text}" for column, text in result.wrong)
    told = "".join(f"\n  | {line}" for line in result.text.splitlines())
    repeat = f"python benchmarks/faults.py --seed {seed} --only {result.row.number}"
    return f"WRONG: {result.row}{what}\n  told:{told}\n  repeat: {repeat}"


def table(results: list[Result]) -> str:
    """The counts of each place and fault."""
    rows = []
    for place in PLACES:
        for fault in DRAWS:
            found = [r for r in results if (r.row.place, r.row.fault.name) == (place, fault)]
            if found:
                rows.append([place, fault, *counts(found)])
    rows.append(["all", "", *counts(results)])
    head = ["place", "fault", "runs", *PHASES, "missed", *COLUMNS, "exit codes"]
    return markdown_table(head, rows)


def counts(results: list[Result]) -> list[str]:
    phases = Counter(result.phase for result in results)
    wrong = Counter(column for r in results for column in {column for column, _ in r.wrong})
    codes = Counter("none" if r.code is None else str(r.code) for r in results)
    told = ", ".join(f"{code}: {number}" for code, number in sorted(codes.items()))
    numbers = [
        len(results),
        *(phases[phase] for phase in (*PHASES, "")),
        *(wrong[column] for column in COLUMNS),
    ]
    return [*map(str, numbers), told]


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--rows", type=int, default=200, help="how many commands (default: 200)")
    add("--seed", type=int, default=0, help="what all is drawn with (default: 0)")
    add("--only", help="the numbers of some rows, with commas between; no table is written")
    add("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="commands at once")
    add("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> int:
    arguments = arguments_of()
    can_mount, began = in_own_mounts(), time.monotonic()
    only = arguments.only
    numbers = list(range(arguments.rows)) if only is None else list(map(int, only.split(",")))
    with tempfile.TemporaryDirectory(prefix="rondo-faults-") as folder:
        campaign = Campaign(Path(folder), arguments.seed, numbers, can_mount)
        campaign.run(arguments.jobs)
    failed = [result for result in campaign.results if result.wrong]
    if only is None:
        disk = "a small tmpfs that is filled" if can_mount else "RLIMIT_FSIZE"
        notes = NOTES.format(num=len(numbers), delay_ms=3, disk=disk)
        sections = [
            table(campaign.results),
            f"Nothing was wrong in {len(numbers) - len(failed)} of {len(numbers)} rows; all took "
            f"{(time.monotonic() - began) / 60:.1f} minutes.",
            *(f"```\n{failure_text(result, arguments.seed)}\n```" for result in failed),
        ]
        write_page(arguments.output / "faults.md", "Faults", notes, sections, None)
    note(f"{len(failed)} of {len(numbers)} rows are wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
