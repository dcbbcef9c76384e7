"""Answers of runs of the tasks that ask for memory, for sequences of files and for new ones.

In go text files with a sequence a line, or tables of values and markers; out come the answers, each
beside the right one, which the sequence settles.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rondo.data.batch import Batch
from rondo.data.given import Unusable, arrays_of, bytes_of, each_file, source_name, text_of
from rondo.data.sources import Example
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.memory.forms import Form, Pairs, Told, form_of
from rondo.tasks.registry import folder_of
from rondo.training.answers import Given, why_not
from rondo.training.definition import DRAWN
from rondo.training.run_folder import read_run

HEADER = ["value", "marker"]
"""The first row of a table may be this."""

SHOWN = 40
"""So many characters of a sequence or an answer are told in a line."""


@dataclass(frozen=True)
class Remembered:
    """What the network answers to a sequence.

    Args:
        source: The file, and the line or the place in it.
        sequence: The sequence; of values and markers what is marked.
        answer: The answer; None where the sequence cannot be used.
        probability: Its probability, where there is one.
        right: The right answer.
        is_right: Whether the answer counts as right.
        error: What must stand there.
    """

    source: str
    sequence: str | None = None
    answer: Told | None = None
    probability: float | None = None
    right: Told | None = None
    is_right: bool | None = None
    error: str | None = None


class Answers:
    """What `rondo predict` tells of such a run.

    Args:
        run: The run folder.

    Raises:
        RunError: If the run cannot be used.
    """

    columns = ("source", "sequence", "answer", "probability", "right", "is_right", "error")
    head = f"{'':5} {'probability':>11}  answer, the right one, and the sequence"
    notes: tuple[str, ...] = ()

    def __init__(self, run: Path) -> None:
        definition = folder_of(run).definition
        config, self.model, _ = read_run(run, definition, SequenceModel)
        self.task = definition.make_task(config.options)
        self.form = form_of(definition.name, config.options)

    def iterate(self, sources: Sequence[Given]) -> Iterator[Remembered]:
        """Yields the answer to each sequence; the word "drawn" stands for new ones."""
        endings = (".csv", ".npz") if isinstance(self.form, Pairs) else (".txt",)
        for source in sources:
            if source == DRAWN:
                for number, example in enumerate(self.form.draw(self.task)):
                    yield self.answer(f"{DRAWN}#{number}", example)
                continue
            for file in each_file([source], endings, "file of sequences"):
                yield from self._of_file(file)

    def line(self, answer: Remembered) -> str:
        """Returns an answer beside the right one, or why there is none."""
        if answer.error is not None:
            return f"{'-':5} {'-':>11}  {why_not(answer.source, answer.error)}"
        verdict = "right" if answer.is_right else "wrong"
        chance = "-" if answer.probability is None else f"{100 * answer.probability:.1f} %"
        told = (answer.answer, answer.right, answer.sequence)
        words = "  ".join(map(_short, told))
        return f"{verdict:5} {chance:>11}  {words}  {answer.source}"

    @torch.no_grad()
    def answer(self, source: str, example: Example) -> Remembered:
        """Returns the answer to a sequence."""
        outputs, _ = self.model(example.inputs[None])
        batch = Batch(
            example.inputs[None],
            example.targets[None],
            torch.tensor([len(example.inputs)]),
            None if example.allowed is None else example.allowed[None],
        )
        assert self.task.right is not None
        told, probability = self.form.answer(outputs[0], example)
        return Remembered(
            source,
            self.form.shown(example),
            told,
            probability,
            self.form.right(example),
            bool(self.task.right(outputs, batch).all()),
        )

    def _of_file(self, file: Path | BinaryIO | Unusable) -> Iterator[Remembered]:
        name = source_name(file)
        try:
            found = _sequences_of(file, self.form)
        except ValueError as error:
            yield Remembered(name, error=str(error))
            return
        if not found:
            what = f"it holds no sequence; give {self.form.example_of_file}"
            yield Remembered(name, error=what)
        for place, given in found:
            try:
                example = self.form.parse(given)
            except ValueError as error:
                yield Remembered(f"{name}{place}", error=str(error))
                continue
            yield self.answer(f"{name}{place}", example)


def _sequences_of(file: Path | BinaryIO | Unusable, form: Form) -> list[tuple[str, Any]]:
    """The sequences of a file as they are given, with their places in it."""
    if isinstance(file, Unusable):
        raise ValueError(file.error)
    if not isinstance(form, Pairs):
        lines = enumerate(text_of(file).split("\n"), 1)
        return [(f":{number}", line) for number, line in lines if line.strip()]
    if isinstance(file, Path) and file.suffix.lower() == ".npz":
        return _tables_of_arrays(arrays_of(bytes_of(file)))
    return [(f"#{number}", rows) for number, rows in enumerate(_tables_of_text(text_of(file)))]


def _tables_of_arrays(arrays: dict[str, Any]) -> list[tuple[str, Any]]:
    """The sequences of arrays (T, 2) and (N, T, 2)."""
    found: list[tuple[str, Any]] = []
    for name, values in arrays.items():
        if values.ndim == 3:
            found += [(f"#{name}[{number}]", one.tolist()) for number, one in enumerate(values)]
        else:
            found.append((f"#{name}", values.tolist()))
    return found


def _tables_of_text(text: str) -> list[list[list[str]]]:
    """The tables of a CSV text; a line without anything parts two of them."""
    tables: list[list[list[str]]] = [[]]
    for row in _rows(text):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            tables.append([])
        elif [cell.lower() for cell in cells] != HEADER:
            tables[-1].append(cells)
    return [table for table in tables if table]


def _rows(text: str) -> list[list[str]]:
    try:
        return list(csv.reader(text.split("\n")))
    except csv.Error as error:
        raise ValueError(f"it is no CSV table that can be read: {error}") from error


def _short(value: Told | None) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
