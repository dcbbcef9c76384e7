"""One row of the campaign: a command, a fault at a moment, what came of it, and what is wrong."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import fault_judge as judge
from fault_kinds import DRAWS, MAY_END_WITH, WARNED, Fault, Target, hit, take_back, wrong_ending
from fault_places import PLACES, Place, Undisturbed, Workplace, new_workplace
from fault_processes import Command, Lane
from fault_visits import HANGS, NEEDS_COMPILER, NO_ANSWER, Visitor

PHASES = ("before", "while", "after")
"""When a command was hit, as seen from what it writes; see the notes of the table."""

LONGEST_DELAY_S = 0.003
"""How long after a change of a file a fault comes at most, in seconds."""

MOST_TRIES, SOONER = 5, 0.7
"""How often a row is tried whose command had ended before the fault, each time so much sooner."""


@dataclass(frozen=True)
class Row:
    """What is to happen.

    Args:
        number: Its number in the campaign.
        place: What the command does.
        variant: Which of the place's commands it is.
        fault: What hits it.
        share: When: the share of the undisturbed time, or of its changes of files.
        delay_s: None: at that time; else so long after that change, in seconds.
    """

    number: int
    place: str
    variant: int
    fault: Fault
    share: float
    delay_s: float | None

    @property
    def command(self) -> Place:
        return PLACES[self.place][self.variant]

    def __str__(self) -> str:
        what = "its time" if self.delay_s is None else "its changes of files"
        return (
            f"row {self.number}, {self.place}: {self.fault} at {100 * self.share:.1f} % of {what} "
            f"in `rondo {' '.join(self.command.words)}`"
        )


def drawn_row(seed: int, number: int) -> Row:
    """Draws a row, the same one for the same seed and number; places and faults take turns."""
    draws = random.Random(f"{seed} {number}")
    place = list(PLACES)[number % len(PLACES)]
    name = list(DRAWS)[number // len(PLACES) % len(DRAWS)]
    variant = draws.randrange(len(PLACES[place]))
    command = PLACES[place][variant]
    delay = draws.uniform(0, LONGEST_DELAY_S) * draws.choice([0, 1])
    share, is_at_change = draws.random(), draws.random() < command.at_changes
    return Row(number, place, variant, DRAWS[name](draws), share, delay if is_at_change else None)


@dataclass
class Result:
    """What came of a row.

    Args:
        row: The row.
        phase: When it was hit; empty where the command ended before, each time.
        code: The exit code of the command that was hit; None where it hung.
        text: What that and the next one told.
        wrong: What is wrong, each with the column of the table that counts it.
    """

    row: Row
    phase: str = ""
    code: int | None = None
    text: str = ""
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def note(self, column: str, found: Iterator[str] | list[str]) -> None:
        self.wrong += [(column, text) for text in found]


def run_row(row: Row, lane: Lane, known: Undisturbed, warm: Path) -> Result:
    """Has a command hit by a fault, goes on with what it left, and says what is wrong."""
    for number in range(MOST_TRIES):
        tried = replace(row, share=row.share * SOONER**number)
        place = new_workplace(lane, known.before, None if row.command.is_cold else warm)
        command, is_stopped, visitor = started(tried, lane, place, known)
        if is_stopped:
            return _Hit(Result(row), lane, known, place, command, visitor).judged()
        command.send(signal.SIGKILL)
        command.end()
    return Result(row, code=command.code, text=command.text)


def started(
    row: Row, lane: Lane, place: Workplace, known: Undisturbed
) -> tuple[Command, bool, Visitor]:
    """Starts a command and stops it at the moment of its row; False where it ended before."""
    stop_at = 0 if row.delay_s is None else 1 + int(row.share * known.num_changes)
    command = place.start(lane, list(row.command.words), stop_at)
    visitor = Visitor(command)
    if row.command.serves:
        visitor.keep_asking()
    if row.delay_s is None:
        return command, command.stop_after(row.share * known.seconds), visitor
    is_stopped = bool(command.is_stopped(2 * known.seconds + 10))
    if is_stopped and row.delay_s:
        command.go_on()
        is_stopped = command.stop_after(row.delay_s)
    return command, is_stopped, visitor


@dataclass
class _Hit:
    """A command that stands still at the moment of its fault, and what becomes of it."""

    result: Result
    lane: Lane
    known: Undisturbed
    place: Workplace
    command: Command
    visitor: Visitor

    @property
    def row(self) -> Row:
        return self.result.row

    def judged(self) -> Result:
        """Has the fault come about, and judges all that follows."""
        result, home = self.result, self.place.home
        before = judge.snapshot(home)
        result.phase = self._phase(before)
        target = Target(self.command, self.place.programs, self.lane.disk, self.known.num_bytes)
        hit(self.row.fault, target)
        self.command.go_on()
        if self.row.command.serves:
            self._visit()
        result.code = self.command.end()
        self.visitor.stop.set()
        result.text = self.command.text
        take_back(target)
        result.note("left behind", self.command.left_behind())
        self._judge_ending()
        result.note("half files", judge.half_files(home))
        if not result.wrong:
            result.note("lost", judge.lost(before, judge.snapshot(home)))
        if not result.wrong:
            self._go_on()
        return result

    def _phase(self, before: judge.Snapshot) -> str:
        place, home = self.row.command, self.place.home
        if place.serves:
            is_after = self.visitor.num_answers > 0
            return "while" if self.visitor.is_asking else PHASES[2 * is_after]
        if place.is_cold and not any((home / "cache").glob("*.so")):
            return "while" if judge.is_building(home) else "before"
        if judge.unfinished(home) or (place.is_cold and judge.is_building(home)):
            return "while"
        if place.before:
            is_new = any(
                (home / name).stat().st_mtime_ns > (self.known.before / name).stat().st_mtime_ns
                for name in place.results
            )
            return PHASES[2 * is_new]
        is_after = bool(before.steps) or any((home / name).exists() for name in place.results)
        return PHASES[2 * is_after]

    def _visit(self) -> None:
        """Asks a server that was hit once more, and ends it."""
        fault = self.row.fault.name
        if fault in ("SIGKILL", "SIGINT"):
            return
        if self.visitor.find():
            answers = self.visitor.round()
            if fault != "memory limit":
                self._judge_answers(answers, self.command)
            elif HANGS in answers.values():
                self.result.note("hangs", ["an answer does not come"])
        self.visitor.stop.set()
        self.command.send(signal.SIGINT)

    def _judge_answers(self, answers: dict[str, str], command: Command) -> None:
        for path, answer in answers.items():
            expected = self.known.answers[path]
            if path == NEEDS_COMPILER and answer == "422" and not is_exact(command.text):
                continue
            if answer in (HANGS, NO_ANSWER) or answer.split()[0] != expected.split()[0]:
                self.result.note("wrong endings", [f"{path} is answered with {answer}"])
            elif answer != expected and is_exact(command.text):
                self.result.note("other numbers", [f"{path} is answered otherwise"])

    def _judge_ending(self) -> None:
        row, code = self.row, self.result.code
        if code is None:
            self.result.note("hangs", ["the command did not end"])
            return
        endings = MAY_END_WITH[row.fault.name]
        if row.command.serves and row.fault.name not in ("SIGKILL", "SIGINT"):
            endings = (130, *(code for code in endings if code))
        wrong = wrong_ending(row.fault, code, self.result.text, endings)
        self.result.note("wrong endings", [wrong] if wrong else [])

    def _go_on(self) -> None:
        """Resumes or repeats the command, undisturbed, and compares what it gives."""
        result, place, home = self.result, self.row.command, self.place.home
        result.note(
            "left behind",
            [f"{path} is locked" for path in home.rglob("lock") if not judge.is_free(path)],
        )
        command = self.place.start(self.lane, place.again(home))
        if place.serves:
            self._judge_answers(Visitor(command).round_and_end(), command)
        code = command.end()
        result.text += f"--- then: rondo {' '.join(place.again(home))}\n{command.text}"
        if code != (130 if place.serves else 0):
            result.note("lost", [f"it cannot be gone on with: exit code {code}"])
            return
        exact = is_exact(result.text)
        result.note(
            "other numbers", judge.other_numbers(self.known.after, home, place.results, exact)
        )
        result.note("half files", judge.half_files(home))
        result.note("half files", judge.half_kernels(self.place.cache))
        result.note("left behind", judge.unfinished(home))
        result.note("left behind", command.left_behind())


def is_exact(text: str) -> bool:
    """Whether all numbers are promised bit for bit: all kernels were compiled."""
    return not any(words in text for words in WARNED)
