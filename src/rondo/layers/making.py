"""Programs are made of calls, compared with the plain loop, and refused with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rondo.compiler import Program, TraceError
from rondo.compiler.check import (
    NUMBERS_OF_ROWS,
    Comparison,
    Subject,
    compare,
)
from rondo.compiler.engines import OfMachine
from rondo.compiler.numbers import Variants
from rondo.compiler.program import apart, compile_step
from rondo.compiler.reference import warn
from rondo.layers.call import Call
from rondo.system.memory import is_lack_of_memory

Numbers = Mapping[str, bool | int | float]
"""The numbers that a cell holds, by name."""

_told: set[str] = set()


class MismatchError(ValueError):
    """A program that does not give what the plain loop over its cell gives."""


@dataclass
class Fallback:
    """Why a cell runs in the plain loop.

    Args:
        reason: The reason.
        is_told: Whether it was told.
    """

    reason: TraceError | MismatchError
    is_told: bool = False


def compile_call(
    call: Call, tell: Callable[[str], None], variants: Variants | None = None
) -> Program:
    """Compile the cell of a call, or take what its step was compiled to with other numbers.

    Raises:
        TraceError: Where its step is not one graph for all inputs, or mixes rows of the batch.
    """
    if torch.compiler.is_compiling():
        call = apart(call.real)
    return compile_step(
        call.cell,
        call.held.own,
        call.rows,
        call.form.unflatten(call.leaves),
        instead=call.held.instead,
        wanted=call.wanted,
        input_wanted=torch.is_grad_enabled() and call.rows.requires_grad,
        engine=call.engine,
        return_states=call.return_states,
        tell=tell,
        reuse=(Variants() if variants is None else variants).program_for,
    )


def compare_call(
    call: Call, program: Program, numbers_of_rows: Sequence[int] = NUMBERS_OF_ROWS
) -> Comparison:
    """Compare the program of a call with the plain loop, for some numbers of rows."""
    held, given = call.held, [*call.held.given.values()]
    subject = Subject(
        program, call.cell, held.own, given, call.rows, call.leaves, call.form, numbers_of_rows
    )
    return apart(lambda: compare(subject))


def check_program(
    call: Call, program: Program, numbers_of_rows: Sequence[int] = NUMBERS_OF_ROWS
) -> None:
    """Fail where a program does not give what the plain loop gives.

    Raises:
        MismatchError: With the value that differs, and by how much.
    """
    found = compare_call(call, program, numbers_of_rows)
    if not found.differences:
        return
    first, *rest = found.differences
    more = f" (and {len(rest)} more values differ)" if rest else ""
    raise MismatchError(
        f"the program that was compiled for {type(call.cell).__name__} does not give what a loop "
        f"over its steps gives: {first}{more}; please report it with the code of the cell, and "
        "give the layer engine='plain' meanwhile"
    )


def failure(cell: nn.Module, error: Exception) -> MismatchError:
    """What is said where a cell cannot be compiled, though nothing in it is refused."""
    failed = MismatchError(f"{type(cell).__name__} could not be compiled, {_why(error)}")
    failed.__cause__ = error
    return failed


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return (
            f"for its calls are nested deeper than Python's limit of {sys.getrecursionlimit():,} "
            "allows while it is traced; nest its modules less deeply, or call "
            "sys.setrecursionlimit with more"
        )
    told = f"{type(error).__name__}: {error}"
    if is_lack_of_memory(error):
        return f"for there is not enough memory ({told})"
    return f"through a fault of Rondo's ({told}); please report it with the code of the cell"


def check_graph(call: Call, program: Program | Fallback) -> None:
    """Fail where a graph of torch's cannot hold a cell.

    Raises:
        ValueError: With the reason.
    """
    instead = "keep the layer out with torch.compiler.disable(layer)"
    if isinstance(program, Fallback):
        reason = str(program.reason)
    elif program.form != call.form:
        reason = f"it gets its state as {call.form} and returns it as {program.form}"
        instead = f"begin with a state in the form in which it is returned, or {instead}"
    elif program.guards:
        reason = f"the step asks whether the number of rows is {program.guards[0].text}"
    else:
        return
    raise ValueError(
        f"torch.compile and torch.export cannot take {type(call.cell).__name__} into a graph: "
        f"{reason}; {instead}"
    )


def not_covered(program: Program, call: Call) -> TraceError | None:
    """Why a program is not right for the rows and the checkpoints of a call, or None."""
    num_rows = call.num_rows if program.guards else 0
    for guard in program.guards:
        if not guard.holds(num_rows):
            return TraceError(
                f"treats a batch of {num_rows} rows in another way than most: it asks whether "
                f"their number is {guard.text}",
                line=guard.line,
            )
    if call.checkpoint_every is None or not torch.is_grad_enabled() or program.runs_once is None:
        return None
    return TraceError(
        f"does not give the same when a checkpoint runs it again: {program.runs_once}",
        "leave out checkpoint_every for a kernel",
    )


def refusal(call: Call, reason: TraceError | MismatchError) -> ValueError:
    """The error where an engine was asked for by name that cannot run a cell."""
    if isinstance(reason, MismatchError):
        return reason
    name = type(call.cell).__name__
    error = ValueError(
        f"engine={call.engine!r} cannot run {name}: {reason}; engine='auto' or 'plain' can"
    )
    error.__cause__ = reason
    return error


def tell_of_engine(cell: nn.Module, reason: str) -> None:
    """Say that no kernel runs, and why; what is true of all cells, once in a process."""
    if isinstance(reason, OfMachine):
        if reason in _told:
            return
        _told.add(reason)
    warn(f"{type(cell).__name__} runs on the slower reference engine: {reason}")


def forget_told() -> None:
    """Say again what was said of all cells."""
    _told.clear()


def tell_of_numbers(cell: nn.Module, variants: Variants, before: Numbers, now: Numbers) -> None:
    """Say that a cell is compiled again and again, since a number that it holds changes."""
    changed = [name for name in now if name in before and before[name] != now[name]]
    if not changed:
        return
    name = type(cell).__name__
    values = ", ".join(f"{key} (now {now[key]})" for key in changed)
    warn(
        f"{name} was compiled {variants.num_compiled} times, since a number that it holds changes: "
        f"{values}. It cannot be an argument of the kernel, as numbers can that the step adds, "
        "multiplies or compares with. Keep it in a tensor, as in "
        f'self.register_buffer("{changed[0].rpartition(".")[2]}", torch.tensor(...)), and change '
        'that by .fill_(); or give the layer engine="reference" or "plain", which compile nothing'
    )
